"""One optimisation step: pictures in, weights moved."""

import math

import torch
import torch.nn.functional as F

from nin_helpers.hardware import autocast, pick_precision
from nin_helpers.preprocessing import preprocess, random_flip


class TrainStep:
    """Takes the steps of a training of `model`, with an optimizer, a schedule and a loss scale of its own.

    model: on its device, from images (batch, channel, height, width) to logits (batch, classes). config: a
    `TrainConfig`. num_steps: the length of the learning rate's schedule. forward: what images go through, `model`
    itself unless something is put in its place.
    """

    def __init__(self, model, config, num_steps):
        self.model, self.forward, self.config = model, model, config
        self.device = next(model.parameters()).device
        self.precision = pick_precision(config.precision, self.device)
        self.optimizer, self.schedule = make_optimizer(model, config, num_steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def __call__(self, batch, size=None, weight=1.0, accumulation_steps=1):
        """Take one step on a batch of `LabelledImages`; return logits (batch, classes) and loss, both on the device.

        size: of the images in pixels, the configuration's unless given. weight: of the loss, this process's share of
        the batch beside an equal share; 1 without others. accumulation_steps: in how many pieces the batch goes
        through; their gradients are added up.
        """
        self.model.train()
        self.optimizer.zero_grad()
        logits, losses = [], []
        for piece in batch.split(math.ceil(len(batch) / accumulation_steps)):
            images = random_flip(piece.images) if self.config.random_flip else piece.images
            x = preprocess(images, size or self.config.size, self.config.mean, self.config.std)  # (B, C, S, S)
            with autocast(self.device, self.precision):
                logits.append(self.forward(x))  # (B, classes)
            loss = F.cross_entropy(logits[-1].float(), piece.labels, label_smoothing=self.config.label_smoothing)
            losses.append(loss * len(piece) / len(batch))
            self.scaler.scale(weight * losses[-1]).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return torch.cat(logits).detach(), torch.stack(losses).sum().detach()


def make_optimizer(model, config, num_steps):
    """Return the optimizer that `config` names, and the schedule of its learning rate over `num_steps`."""
    layers, rest = (
        [parameter for parameter in model.parameters() if (parameter.dim() > 1) is weights] for weights in (True, False)
    )
    groups = [{"params": layers}, {"params": rest, "weight_decay": 0.0}]  # no decay of biases and normalisations
    options = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=config.momentum, **options)
    else:
        optimizer = (torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW)(groups, **options)

    def factor(step):
        if config.schedule == "constant":
            return 1.0
        warmup = max(1, num_steps // 10)
        return min((step + 1) / warmup, (num_steps - step) / max(1, num_steps - warmup))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def shuffled_batches(count, batch_size, num_steps, seed, device="cpu"):
    """Yield `num_steps` index tensors (batch,) on `device`: each epoch all `count` examples in a new order.

    An epoch's last batch has what is left.
    """
    generator = torch.Generator().manual_seed(seed)  # of the CPU: the same order on every device
    while True:
        for index in torch.randperm(count, generator=generator).to(device).split(batch_size):
            if num_steps == 0:
                return
            num_steps -= 1
            yield index
