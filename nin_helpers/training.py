"""Recipes, profiles and the training loop."""

import contextlib
import gc
import itertools
import json
import math
import os
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from nin_helpers.checkpoints import find_checkpoints, load_checkpoint, save_checkpoint
from nin_helpers.datasets import flip_half, prepare
from nin_helpers.diagnostics import diagnose
from nin_helpers.hardware import (
    autocast,
    environment,
    is_out_of_memory,
    keep_memory,
    pick_device,
    pick_precision,
    release_memory,
    wait_for,
)
from nin_helpers.shapes import check_whole_number

# How the weights start, how they move, and how an image becomes numbers: (x / 255 − mean) / std.
RECIPES = {
    # Dive into Deep Learning before 2022: SGD, lr 0.1, the framework's own initialisation
    "sgd_default": {"init": "default", "optimizer": "sgd", "lr": 0.1},
    # Dive into Deep Learning, the 2022 edition: SGD, lr 0.05, Xavier initialisation
    "sgd_xavier": {"init": "xavier", "optimizer": "sgd", "lr": 0.05},
    # the Paddle edition's choice: Adam, lr 0.001, pixels in [−1, 1]
    "adam": {"init": "default", "optimizer": "adam", "lr": 1e-3, "mean": 0.5, "std": 0.5},
    # ours: every class map starts alive; warm-up and linear decay; pixels with mean 0 and standard deviation 1
    "alive": {
        "init": "alive", "optimizer": "adamw", "lr": 1e-3, "schedule": "warmup_linear", "mean": 0.286, "std": 0.353,
    },
    # the same network with today's habits, for accuracy in little time
    "modern": {
        "init": "alive", "batch_norm": True, "optimizer": "adamw", "lr": 5e-3, "weight_decay": 0.05,
        "schedule": "warmup_linear", "label_smoothing": 0.1, "flip": True, "mirror": True,
        "mean": 0.286, "std": 0.353,
    },
}  # fmt: skip
# the same in less time: half of its steps on smaller pictures, which have less than half of the pixels
RECIPES["growing"] = {**RECIPES["modern"], "small_share": 0.5}

# How much of it: the textbook's run; one for a CPU in minutes, whose last map is still 2 × 2; one for tests.
PROFILES = {
    "full": {"size": 224, "batch_size": 128, "num_epochs": 10, "num_points": 10},
    "quick": {"size": 112, "batch_size": 64, "num_steps": 1500},
    # all images, ten times, at a size that a CPU can do
    "long": {"size": 99, "batch_size": 128, "num_epochs": 10, "num_points": 10},
    # one of the many runs of an experiment
    "reduced": {"size": 99, "batch_size": 32, "num_steps": 300, "num_points": 6, "test_limit": 2000},
    # one of the fewer, longer runs behind the solutions; the last map is 3 × 3
    "study": {"size": 131, "batch_size": 64, "num_steps": 300, "num_points": 6, "test_limit": 5000},
    "smoke": {"size": 67, "batch_size": 32, "num_steps": 80, "num_points": 4, "test_limit": 1000},
}

SMALL = 0.68  # of the size, in a small step: 67 of 99 pixels, 152 of 224


class StuckWarning(UserWarning):
    """The loss stays at ln(classes): the network answers the same whatever the image."""


@dataclass(frozen=True)
class TrainConfig:
    """All that a run depends on besides the model and the data; raises ValueError naming what is out of range.

    recipe, profile: the names under which the other values were chosen.
    init: how the weights start, see `nin.initialise`; for whoever builds the model, `train` leaves weights alone.
    optimizer: "sgd", "adam" or "adamw", with learning rate lr, momentum (SGD only) and weight_decay
        (not of biases and normalisations).
    schedule: "constant", or "warmup_linear": 10 % of the steps up to lr, then linearly down to 0.
    batch_norm: whether the network has batch normalisation; as init, for whoever builds the model.
    label_smoothing: the share of the target that is spread over all classes, 0 ≤ label_smoothing < 1.
    flip: whether each training image is mirrored, left to right, with probability one half.
    mirror: whether an answer is the mean of those to the image and to its mirror image.
    mean, std: the normalisation of pixels in 0 … 1.
    size: height and width in pixels to which the images are resized.
    small_share: the share of the steps, from the first, 0 ≤ small_share < 1, that are taken at `SMALL` of that size, in
        less than half the time each. It wants a network that takes both sizes, as NiN does.
    num_epochs, num_steps: the length; num_steps, where given, comes first.
    num_points: how often the history gets a point, with the accuracy on held-out images.
    validation_limit, test_limit: how many held-out and test images are used; None: all.
    precision: "fp32"; "bf16" or "fp16", multiplications in 16 bits and weights in FP32; "auto": see `pick_precision`.
    compile: whether the network goes through torch.compile first: that takes up to a minute or two before it can gain
        anything; `python -m benchmarks --compile` tells after how many images it has repaid.
    device: "auto" (CUDA, else MPS, else CPU), or a name that PyTorch knows, such as "cuda:1".
    seed: sets the order of the images and the dropout.
    """

    recipe: str = "alive"
    profile: str = "quick"
    init: str = "alive"
    optimizer: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    batch_norm: bool = False
    label_smoothing: float = 0.0
    flip: bool = False
    mirror: bool = False
    mean: float = 0.0
    std: float = 1.0
    size: int = 224
    small_share: float = 0.0
    batch_size: int = 128
    num_epochs: int = 1
    num_steps: int | None = None
    num_points: int = 20
    validation_limit: int | None = 1000
    test_limit: int | None = None
    precision: str = "auto"
    compile: bool = False
    device: str = "auto"
    seed: int = 0

    def __post_init__(self):
        for name in ("size", "batch_size", "num_epochs", "num_points"):
            check_whole_number(name, getattr(self, name), 1)
        check_whole_number("seed", self.seed, 0)
        for name in ("num_steps", "validation_limit", "test_limit"):
            if getattr(self, name) is not None:
                check_whole_number(name, getattr(self, name), 1)
        for name, choices in (
            ("optimizer", ("sgd", "adam", "adamw")),
            ("schedule", ("constant", "warmup_linear")),
            ("precision", ("auto", "fp32", "bf16", "fp16")),
            ("batch_norm", (True, False)),
            ("flip", (True, False)),
            ("mirror", (True, False)),
            ("compile", (True, False)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(map(repr, choices))}")
        for name in ("lr", "momentum", "weight_decay", "label_smoothing", "small_share", "mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name}={value!r} must be a finite number")
        for name in ("lr", "std"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        for name in ("momentum", "weight_decay", "label_smoothing", "small_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least 0 and less than 1")

    def network(self):
        """Return the arguments of `nin.NiN` that the run is meant for: init, batch_norm and input_size."""
        return {"init": self.init, "batch_norm": self.batch_norm, "input_size": self.size}

    def at(self, step, num_steps):
        """Return the `TrainConfig` of step `step` of 1 … `num_steps`: itself, or for a small step one of that size."""
        return replace(self, size=round(SMALL * self.size)) if step <= self.small_share * num_steps else self


def make_config(profile="quick", recipe="alive", **changes):
    """Return the `TrainConfig` of a profile (how much) and a recipe (how), with `changes` to single fields.

    Raises ValueError for a profile, recipe or field that does not exist, naming those that do.
    """
    for name, value, known in (("profile", profile, PROFILES), ("recipe", recipe, RECIPES)):
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown; there are {', '.join(known)}")
    known = [field.name for field in fields(TrainConfig)]
    for name in changes:
        if name not in known:
            raise ValueError(f"{name}={changes[name]!r} is no setting of a training run; there are {', '.join(known)}")
    values = {"profile": profile, "recipe": recipe, **PROFILES[profile], **RECIPES[recipe], **changes}
    if "num_epochs" in changes and "num_steps" not in changes:
        values["num_steps"] = None
    return TrainConfig(**values)


def default_profile():
    """Return the profile that the notebooks run: NIN_PROFILE where it is set, else "full" on CUDA, else "quick"."""
    return os.environ.get("NIN_PROFILE") or ("full" if torch.cuda.is_available() else "quick")


def train(model, data, config, on_point=None, *, checkpoints=None, checkpoint_minutes=10):
    """Train `model` in place on `data.train` and return the history, a dictionary that JSON can hold.

    model: takes (batch, channel, config.size, config.size) and returns logits (batch, classes).
    data: an `ImageData`. config: a `TrainConfig`.
    on_point: called with the history whenever it has a new point (a live plot); None shows a progress bar.
    checkpoints: a folder; every epoch and every `checkpoint_minutes` a checkpoint goes there, and a run that finds one
    there goes on from it, on a CPU to the same bits as if it had never stopped. CheckpointError: not to be used.

    Started by `accelerate launch`, each process trains on its share of each batch, and the gradients are averaged: the
    batch and the recipe stay as they are, but batch normalisation averages over a share. Each answers for its share of
    the held-out and the test images, too. The history speaks of all processes, and each of them returns it. A process
    more than the checkpoint knows of draws the dropout masks of a new run. End a script of your own by `leave_team()`.

    Where memory runs out and PyTorch says so (on GPUs; Linux may end a process whose main memory is full), a batch goes
    through in halves, quarters …, whose gradients are added up, with a warning: the recipe stays, but for dropout's
    draws and what batch normalisation averages over. With several processes it is an error. No step waits for the
    device: only a point of the history, a checkpoint, and the order of a new epoch do.

    The stop button (KeyboardInterrupt) ends the training: the model keeps what it has learned and is still tested. A
    loss that stays within 1 % of ln(classes) raises a `StuckWarning`, once; one that is no longer finite ends it.
    """
    for split in ("train", "validation", "test"):
        if len(getattr(data, split)) == 0:
            raise ValueError(f"data.{split} is empty; training needs at least one image there")
    team = Team(config)
    device = team.device
    precision = pick_precision(config.precision, device)
    torch.manual_seed(config.seed + team.rank)  # each process has a dropout of its own
    data = data.to(device)
    model.to(device, memory_format=torch.channels_last)
    num_steps = config.num_steps or config.num_epochs * math.ceil(len(data.train) / config.batch_size)
    optimizer, schedule = make_optimizer(model, config, num_steps)
    history = new_history(data, config, device, precision, num_steps, team.size)
    meter = Meter(model, data, config, precision, history, team)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    keeper = Keeper(checkpoints, checkpoint_minutes, model, optimizer, schedule, scaler, meter, team)
    done = keeper.resume()
    steps = Steps(team.replica(model), optimizer, schedule, scaler, config, precision, history)
    batches = shuffled_batches(len(data.train), config.batch_size, num_steps, config.seed, device)
    batches = itertools.islice(batches, done, None)
    memory = keep_memory(device)
    try:
        hidden = on_point is not None or team.rank > 0
        for step, index in enumerate(progress_bar(batches, num_steps, done, hidden), done + 1):
            whole = len(index) == config.batch_size
            index, weight = team.share(index)
            batch = data.train[index]
            logits, loss = steps.take(batch, config.at(step, num_steps), weight, whole)
            meter.add(logits, loss, batch.labels)
            if step * config.num_points // num_steps > (step - 1) * config.num_points // num_steps:
                meter.record(step)
                if on_point:
                    on_point(history)
                    meter.restart()  # a plot that is drawn is no training
                if not math.isfinite(history["points"][-1]["train_loss"]):
                    warnings.warn(f"the loss is not finite at step {step}: stopped; try a smaller lr", stacklevel=2)
                    break
            keeper.after(step)
    except KeyboardInterrupt:
        history["interrupted"] = True
    finally:
        memory.close()
    alone = history["interrupted"]  # where the other processes are then is not known
    history.update(evaluate(model, data, config, precision, predict if alone else team.predict))
    return history


def compiled(model):
    """Return `model` behind torch.compile, on CUDA with CUDA graphs, which start a whole pass at once.

    Each shape is compiled for itself, such as that of small pictures, so that none slows the rest.
    """
    on_cuda = next(model.parameters()).device.type == "cuda"
    return torch.compile(model, mode="reduce-overhead" if on_cuda else None, dynamic=False)


def train_step(model, batch, optimizer, schedule, config, precision, weight=1.0, scaler=None, parts=1):
    """Take one optimisation step on a batch of uint8 images; return logits (batch, classes) and loss.

    weight: of this batch beside those that other processes train on at the same time, 1 on average.
    scaler: the torch.amp.GradScaler of fp16.
    parts: the batch goes through in as many pieces, and their gradients are added up.
    Logits and loss stay on the device.
    """
    scaler = scaler or torch.amp.GradScaler(enabled=False)  # which changes nothing
    model.train()
    optimizer.zero_grad()
    logits, losses = [], []
    for part in batch.split(math.ceil(len(batch) / parts)):
        images = flip_half(part.images) if config.flip else part.images
        x = prepare(images, config.size, config.mean, config.std)  # (B, C, S, S)
        with autocast(x.device, precision):
            logits.append(model(x))  # (B, classes)
        loss = F.cross_entropy(logits[-1].float(), part.labels, label_smoothing=config.label_smoothing)
        losses.append(loss * len(part) / len(batch))
        scaler.scale(weight * losses[-1]).backward()
    logits, loss = torch.cat(logits).detach(), torch.stack(losses).sum().detach()
    scaler.step(optimizer)
    scaler.update()
    schedule.step()
    return logits, loss


class Steps:
    """Takes the steps of a run by `train_step`, and finds another way where one fails: smaller parts, not compiled."""

    def __init__(self, model, optimizer, schedule, scaler, config, precision, history):
        self.plain, self.compiled = model, None
        self.optimizer, self.schedule, self.scaler = optimizer, schedule, scaler
        self.precision, self.history = precision, history
        if config.compile and history["parts"] == 1:
            try:
                self.compiled = compiled(model)
            except Exception as error:  # a Python that it does not know, for one
                self._give_way(error, config.batch_size, config, was_compiled=True)

    def take(self, batch, config, weight=1.0, whole=True):
        """Take one step on `batch` by `config`; return what `train_step` does.

        whole: whether it is a full batch. What is left at the end of an epoch is not worth compiling for.
        """
        while True:
            model = self.compiled if whole and self.compiled is not None else self.plain
            tools = self.optimizer, self.schedule, config, self.precision, weight, self.scaler
            try:
                return train_step(model, batch, *tools, self.history["parts"])
            except Exception as error:
                self._give_way(error, len(batch), config, model is not self.plain)
            # here the error is gone, and with it the tensors that its frames held
            if model is not self.plain:
                torch.compiler.reset()  # gives up the memory of CUDA graphs, which nothing else could use
                release_memory(batch.images.device)

    def _give_way(self, error, count, config, was_compiled):
        """Choose what to do otherwise and warn, or raise `error`."""
        parts = 2 * self.history["parts"]
        full = is_out_of_memory(error)
        if full and isinstance(self.plain, DistributedDataParallel):
            raise error  # the other processes would wait for this one
        if full and parts <= count:
            self.history["parts"] = parts
            message = (
                f"memory ran out with {count} images of {config.size} pixels: from here on a batch goes through "
                f"in {parts} parts, whose gradients are added up; the recipe stays the same, a step takes a bit longer"
            )
        elif was_compiled:
            reason = str(error).strip().split("\n")[0]
            message = f"torch.compile failed ({type(error).__name__}: {reason}): going on without it"
        else:
            raise error
        self.compiled = None  # nor with parts: CUDA graphs would write each one's gradient over the one before
        warnings.warn(message, stacklevel=4)


class Team:
    """The processes that train together: as many as `accelerate launch` has started, or this one alone."""

    def __init__(self, config):
        self.accelerator, self.rank, self.size = None, 0, 1
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            if torch.cuda.is_available():  # or each process would take memory of the first GPU too
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
            self.accelerator = _accelerator(pick_device(config.device))
            self.rank, self.size = self.accelerator.process_index, self.accelerator.num_processes
        self.device = self.accelerator.device if self.accelerator else pick_device(config.device)

    def replica(self, model):
        """Return `model`, wrapped so that a backward pass averages the gradients of all processes."""
        return self.accelerator.prepare_model(model) if self.accelerator else model

    def share(self, index):
        """Return this process's part of a batch's indices, and its weight beside equal parts. ValueError: too few."""
        if len(index) < self.size:
            raise ValueError(f"a batch of {len(index)} is too small for {self.size} processes; use a larger batch_size")
        part = index[self.rank :: self.size]
        return part, self.size * len(part) / len(index)

    def sum(self, tensor):
        """Return the sum of `tensor` over the processes."""
        return self.accelerator.reduce(tensor, "sum") if self.accelerator else tensor

    def gather(self, tensor):
        """Return (processes, …), on the CPU: each one's `tensor`."""
        return (self.accelerator.gather(tensor[None].to(self.device)) if self.accelerator else tensor[None]).cpu()

    def agree(self, step, due):
        """Return whether `due` holds in any process. Several ask only every hundred steps, as asking takes waiting."""
        if self.size == 1:
            return due
        return step % 100 == 0 and self.sum(torch.tensor(float(due), device=self.device)).item() > 0

    def predict(self, model, images, config, precision):
        """Return what `predict` does: each process answers for its share of the images, and all learn all answers."""
        if len(images) < self.size or self.size == 1:
            return predict(model, images, config, precision)
        for buffer in model.buffers():  # batch normalisation: the first process's running statistics
            torch.distributed.broadcast(buffer, 0)
        mine = slice(self.rank, None, self.size)
        found = predict(model, images[mine], config, precision)
        logits = found.new_zeros(len(images), found.shape[1])
        logits[mine] = found
        return self.sum(logits)


def _accelerator(device):
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ValueError("several processes need accelerate: pip install 'nin_helpers[accelerate]'") from error
    import torch.distributed.nn  # noqa: F401  (after the group is made, its defaults would hold it for good)

    return Accelerator(cpu=device.type == "cpu", mixed_precision="no", dynamo_backend="no")  # `config` has these


def leave_team():
    """End the group that `train` has made of several processes, if it has: the last call of a script that trains.

    It waits for the group's threads. One that lets go of a tensor while Python ends would abort the process.
    """
    if torch.distributed.is_initialized():
        gc.collect()  # a compiled replica of the model, which has a hold on the group, is part of a cycle
        torch.distributed.destroy_process_group()


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
    """Yield `num_steps` index tensors (batch,) on `device`: each epoch all `count` examples in a new order."""
    generator = torch.Generator().manual_seed(seed)  # of the CPU: the same order on every device
    while True:
        for index in torch.randperm(count, generator=generator).to(device).split(batch_size):
            if num_steps == 0:
                return
            num_steps -= 1
            yield index


def progress_bar(batches, num_steps, done=0, hidden=False):
    """Return `batches`, counted by a bar on standard error: at most a line in ten seconds where it is no terminal."""
    interval = 0.2 if sys.stderr.isatty() else 10
    return tqdm(batches, "train", num_steps, initial=done, disable=hidden, mininterval=interval)


@torch.inference_mode()
def predict(model, images, config, precision="fp32", batch_size=100):
    """Return the logits (count, classes), float32, of uint8 images (count, channel, height, width), dropout off."""
    model.eval()
    parts = []
    for batch in images.split(batch_size):
        x = prepare(batch, config.size, config.mean, config.std)
        with autocast(images.device, precision):
            logits = model(x).float()
            parts.append((logits + model(x.flip(3)).float()) / 2 if config.mirror else logits)
    return torch.cat(parts)


def accuracy(logits, labels, k=1):
    """Return the share of rows of logits (count, classes) whose label is among the k largest, 0 to 1."""
    k = min(k, logits.shape[1])
    return (logits.topk(k).indices == labels[:, None]).any(dim=1).sum().item() / len(labels)


def is_plateau(loss, num_classes):
    """Return whether `loss` is within 1 % of ln(num_classes), what a network pays that knows nothing."""
    return abs(loss / math.log(num_classes) - 1) <= 0.01


def dead_classes(logits):
    """Return how many classes have the logit 0 for every image, as a last ReLU that never opens leaves it."""
    return (logits == 0).all(dim=0).sum().item()


def evaluate(model, data, config, precision="fp32", answer=predict):
    """Return test_accuracy and test_top5_accuracy (0 to 1), dead_classes and test_images, over `data.test`."""
    split = data.test[: config.test_limit]
    logits = answer(model, split.images, config, precision)
    return {
        "test_accuracy": accuracy(logits, split.labels),
        "test_top5_accuracy": accuracy(logits, split.labels, k=5),
        "dead_classes": dead_classes(logits),
        "test_images": len(split),
    }


class Meter:
    """Sums up the steps on the device, and turns them into the history's points: one synchronisation a point."""

    KEPT = ("stuck_since_step", "training_seconds", "points", "parts")  # of the history, by a checkpoint
    PATIENCE = 50  # steps on the plateau before it is worth a warning

    def __init__(self, model, data, config, precision, history, team):
        self.model, self.config, self.precision, self.history = model, config, precision, history
        self.team = team
        self.held_out = data.validation[: config.validation_limit]
        self.num_classes = len(data.classes)
        self.free_since = 0
        self.restart()
        self.sums = self._zeros = torch.zeros(3, device=data.train.images.device)

    def add(self, logits, loss, labels):
        """Add one batch: its loss, how many it got right, how many there are."""
        right = (logits.argmax(dim=1) == labels).sum()
        self.sums = self.sums + torch.stack([loss * len(labels), right, torch.ones_like(loss) * len(labels)])

    def record(self, step):
        """Append a point: means since the last one, accuracy on held-out images, images per second of training."""
        loss, right, count = self.team.sum(self.sums).tolist()
        now = time.perf_counter()
        logits = self.team.predict(self.model, self.held_out.images, self.config, self.precision)
        point = {
            "step": step,
            "train_loss": loss / count,
            "train_accuracy": right / count,
            "validation_accuracy": accuracy(logits, self.held_out.labels),
            "images_per_second": count / (now - self.start),
        }
        self.history["points"].append(point)
        self.history["training_seconds"] += now - self.start
        self._look_for_plateau(point)
        self.sums = self._zeros
        self.restart()

    def restart(self):
        """Count the time of the next point from now on."""
        self.start = time.perf_counter()

    def state_dict(self):
        """Return what a checkpoint needs of it, and of the history."""
        history = {key: self.history[key] for key in self.KEPT}
        elapsed = time.perf_counter() - self.start
        return {"sums": self.sums, "free_since": self.free_since, "elapsed": elapsed, "history": history}

    def load_state_dict(self, state):
        """Go on from a checkpoint; the history goes on too, but names the device and versions of now."""
        self.sums, self.free_since = state["sums"].to(self.sums.device), state["free_since"]
        self.start = time.perf_counter() - state["elapsed"]
        self.history.update(state["history"])

    def _look_for_plateau(self, point):
        if not is_plateau(point["train_loss"], self.num_classes):
            self.free_since = point["step"]
        elif point["step"] - self.free_since >= self.PATIENCE and self.history["stuck_since_step"] is None:
            self.history["stuck_since_step"] = self.free_since
            split, why = self.held_out[:64], 'Start again with recipe="alive".'
            if len(split) > 1:  # a single image does not show whether the logits depend on it
                x = prepare(split.images, self.config.size, self.config.mean, self.config.std)
                why = diagnose(self.model, (x, split.labels)).sentence
            warnings.warn(
                f"the loss has stayed within 1 % of ln({self.num_classes}) = {math.log(self.num_classes):.4f} since "
                f"step {self.free_since}. {why}",
                StuckWarning,
                stacklevel=4,
            )


class Keeper:
    """Writes the checkpoints of a run, and brings a new run to where the last one is; does nothing without a folder."""

    def __init__(self, folder, minutes, model, optimizer, schedule, scaler, meter, team):
        self.folder, self.seconds, self.model, self.meter, self.team = folder, 60 * minutes, model, meter, team
        self.kept = {"optimizer": optimizer, "schedule": schedule, "scaler": scaler, "meter": meter}
        history = meter.history
        self.run = {key: history[key] for key in ("data", "train_images", "config", "precision", "num_steps")}
        self.epoch = math.ceil(history["train_images"] / history["config"]["batch_size"])  # in steps
        self.device, self.written = meter.sums.device, time.monotonic()

    def resume(self):
        """Go to where the newest checkpoint is and return its step; 0 without one."""
        found = find_checkpoints(self.folder) if self.folder else []
        if not found:
            return 0
        step, state = load_checkpoint(found[-1], self.model, self.run)
        for name, part in self.kept.items():
            part.load_state_dict(state[name])
        if self.team.rank < len(state["random"]):  # cloned: PyTorch reads from the beginning of a tensor's storage
            torch.set_rng_state(state["random"][self.team.rank].clone())
            if self.device.type == "cuda" and "cuda_random" in state:  # not if a CPU wrote it
                torch.cuda.set_rng_state(state["cuda_random"][self.team.rank].clone(), self.device)
        return step

    def after(self, step):
        """Write a checkpoint if an epoch or the run ends with `step`, or the minutes are over.

        The first process writes it; all take part, since each has random numbers of its own.
        """
        ends = step % self.epoch == 0 or step == self.run["num_steps"]
        if not self.folder or not (ends or self.team.agree(step, time.monotonic() - self.written > self.seconds)):
            return
        wait_for(self.device)  # the steps are still training …
        self.written = time.monotonic()
        state = {name: part.state_dict() for name, part in self.kept.items()}
        state["random"] = self.team.gather(torch.get_rng_state())
        if self.device.type == "cuda":
            state["cuda_random"] = self.team.gather(torch.cuda.get_rng_state(self.device))
        if self.team.rank == 0:
            save_checkpoint(self.folder, step, self.model, state, self.run)
        self.meter.start += time.monotonic() - self.written  # … and this is none


def describe_progress(history):
    """Return the history's last point as a sentence, with the time that is left at the speed of that point."""
    last, config = history["points"][-1], history["config"]
    seconds = (history["num_steps"] - last["step"]) * config["batch_size"] / last["images_per_second"]
    left = f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"
    return (
        f"Step {last['step']:,} of {history['num_steps']:,}: loss {last['train_loss']:.3f}, accuracy "
        f"{last['train_accuracy']:.3f}, on held-out images {last['validation_accuracy']:.3f}; "
        f"{last['images_per_second']:,.0f} images/s, {left if seconds else 'done'}."
    )


def new_history(data, config, device, precision, num_steps, processes):
    """Return the history before the first step: what ran on what, and an empty list of points."""
    return {
        "data": data.name,
        "stand_in": data.is_stand_in,
        "train_images": len(data.train),
        "config": asdict(config),
        "precision": precision,
        "num_steps": num_steps,
        "processes": processes,
        "parts": 1,
        "interrupted": False,
        "stuck_since_step": None,
        "training_seconds": 0.0,
        "points": [],
        **environment(device),
    }


def write_json(path, content):
    """Write `content` as JSON to `path`, whole or not at all; OSError names the path."""
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def write_whole(path, content):
    """Write the bytes `content` to `path`, whole or not at all, and make its folder; OSError names the path."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # gone already if all went well
            temporary.unlink()


def check_writable(path):
    """Raise OSError naming `path` unless a file can be written there; to be asked before hours of training."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
