"""Ways to train NiN whose speed is compared, each a loop that calls `pause(images_per_second)` after some steps.

settings: a dictionary with size (pixels), batch_size, precision ("fp32", "bf16", "fp16"), device, num_workers (of the
textbook's loader), copies (how often the data set is repeated), compiled (whether by torch.compile), and steps between
two pauses. `data` is an `ImageData`. A loop goes on until `pause` raises KeyboardInterrupt.
"""

import itertools
import sys
import time
import warnings
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.datasets import FashionMNIST
from torchvision.transforms import Compose, Resize, ToTensor

from nin_helpers.datasets import LabelledImages
from nin_helpers.hardware import autocast, keep_memory
from nin_helpers.nin import NiN
from nin_helpers.preprocessing import preprocess
from nin_helpers.roofline import matrix_rate, memory_rate
from nin_helpers.training import TrainStep, compiled, make_config, train


class Pictures(FashionMNIST):
    """torchvision's data set, with the pictures of a `LabelledImages`, which are verified."""

    def __init__(self, split, transform):
        self.data, self.targets = split.images[:, 0], split.labels
        self.transform, self.target_transform = transform, None


def textbook(settings, data, pause):
    """As the textbook trains, from its description, without what is ours.

    torchvision's data set gives pictures one by one; each is resized by PIL and made a tensor; a DataLoader puts
    batches together; FP32, SGD, and the loss is read at every step. Source: Dive into Deep Learning, 4.2, 8.3.
    """
    pictures = Pictures(data.train, Compose([Resize((settings["size"],) * 2), ToTensor()]))
    loader = torch.utils.data.DataLoader(
        pictures,
        settings["batch_size"],
        shuffle=True,
        num_workers=settings["num_workers"],
        multiprocessing_context="fork" if settings["num_workers"] and sys.platform == "linux" else None,  # as outside
    )
    device = torch.device(settings["device"])
    model = NiN(init="xavier").to(device)
    loss_function, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.05)
    model.train()
    count, start = 0, time.perf_counter()
    for number, (x, y) in enumerate(itertools.chain.from_iterable(itertools.repeat(loader)), start=1):
        x, y = x.to(device), y.to(device)
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        count += len(y)
        if number % settings["steps"] == 0:
            pause(count / (time.perf_counter() - start))
            count, start = 0, time.perf_counter()


def ours(settings, data, pause):
    """`nin_helpers.training.train` itself, recipe "adamw_alive"; to go on in another way would be an error."""
    warnings.filterwarnings("error", "memory ran out|torch.compile failed")
    torch.manual_seed(0)
    repeated = LabelledImages(
        *(part.repeat(settings["copies"], *(1,) * (part.dim() - 1)) for part in vars(data.train).values())
    )
    num_evaluations = 10_000  # more than anybody waits for
    config = _config(settings, num_steps=num_evaluations * settings["steps"], num_evaluations=num_evaluations)
    data = replace(data, train=repeated, validation=data.validation[:2], test=data.test[:1])
    model = NiN(**config.model_options())
    train(model, data, config, lambda history: pause(history["evaluations"][-1]["images_per_second"]))


def compute_only(settings, data, pause):
    """The same step on a batch that is there already, prepared: no input pipeline can be faster."""
    config, device = _config(settings, num_steps=10**9), torch.device(settings["device"])
    split = data.train[: config.batch_size].to(device)
    x = preprocess(split.images, config.size, config.mean, config.std)
    model = NiN(**config.model_options()).to(device, memory_format=torch.channels_last).train()
    step = TrainStep(model, config, config.num_steps)  # for what goes on with it; its data path is left out
    forward = compiled(model) if config.compile else model
    with keep_memory(device):
        while True:
            start = time.perf_counter()
            for _ in range(settings["steps"]):
                step.optimizer.zero_grad()
                with autocast(device, step.precision):
                    logits = forward(x)
                loss = F.cross_entropy(logits.float(), split.labels)
                step.scaler.scale(loss).backward()
                step.scaler.step(step.optimizer)
                step.scaler.update()
                step.schedule.step()
            loss.item()  # waits for the device
            pause(settings["steps"] * len(x) / (time.perf_counter() - start))


def limits(settings, data, pause):
    """No training: the rates of the chip in this precision, as (FLOP a second, bytes a second)."""
    device = torch.device(settings["device"])
    while True:
        pause((matrix_rate(device, settings["precision"]), memory_rate(device)))


def _config(settings, **changes):
    chosen = {key: settings[key] for key in ("size", "batch_size", "precision", "device")}
    return make_config("full", "adamw_alive", compile=settings["compiled"], **chosen, **changes)
