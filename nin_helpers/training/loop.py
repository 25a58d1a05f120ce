"""The training loop."""

import functools
import itertools
import math
import signal
import sys
import threading
import warnings
from dataclasses import asdict

import torch
from tqdm import tqdm

from nin_helpers.hardware import keep_memory
from nin_helpers.training.checkpoints import Checkpointer
from nin_helpers.training.config import FASHION_MNIST
from nin_helpers.training.distributed import ProcessGroup
from nin_helpers.training.evaluation import evaluate
from nin_helpers.training.fallback import FallbackStep
from nin_helpers.training.history import Meter, new_history
from nin_helpers.training.step import TrainStep, shuffled_batches
from nin_helpers.training.tensorboard import EventWriter


def train(model, data, config, on_evaluation=None, *, checkpoints=None, checkpoint_minutes=10, log_dir=None):
    """Train `model` in place on `data.train` and return the history, a dictionary that JSON can hold.

    model: takes (batch, channel, config.size, config.size), returns logits (batch, classes). data: an `ImageData`.
    config: a `TrainConfig`. on_evaluation: called with the history at each new evaluation (a live plot); None shows a
    progress bar. checkpoints: a folder; a run that finds a checkpoint there goes on from it, on a CPU to the same bits;
    one is written at the end of each epoch and every `checkpoint_minutes`. log_dir: a folder for TensorBoard.
    ValueError and CheckpointError say, before the first step, what cannot be used.

    Several processes: see `ProcessGroup`. Batches too large for the memory: see `FallbackStep`. The stop button: see
    `StopButton`; the model keeps what it has learned and is still tested. A loss that stays within 1 % of ln(classes)
    for 50 steps gives a `StuckWarning`, once; one that is not finite at an evaluation ends the training.
    """
    check_network(model, data, config)
    group = ProcessGroup(config.device)
    num_steps = check_run(data, config, group)
    torch.manual_seed(config.seed + group.rank)  # each process has a dropout of its own
    data, model = data.to(group.device), model.to(group.device, memory_format=torch.channels_last)
    train_step = TrainStep(model, config, num_steps)
    history = new_history(data, train_step, num_steps, group.size)
    meter = Meter(model, train_step, data, history, group)
    checkpointer = Checkpointer(checkpoints, checkpoint_minutes, train_step, meter, group)
    done = checkpointer.resume()
    train_step.forward = group.wrap(model)
    take_step = FallbackStep(train_step, history)
    batches = shuffled_batches(len(data.train), config.batch_size, num_steps, config.seed, group.device)
    batches = progress_bar(itertools.islice(batches, done, None), num_steps, done, on_evaluation or group.rank > 0)
    with keep_memory(group.device), EventWriter(log_dir, group.rank) as events, StopButton(group) as button:
        for step, index in enumerate(batches, done + 1):
            share, weight = group.shard(index)
            batch = data.train[share]
            logits, loss = take_step(batch, config.size_at(step, num_steps), weight, len(index) == config.batch_size)
            meter.add(logits, loss, batch.labels)
            if step * config.num_evaluations // num_steps > (step - 1) * config.num_evaluations // num_steps:
                events.write(history, meter.record(step))
                button.allow(on_evaluation, history)
                meter.restart()  # a plot that is drawn is no training
                if not math.isfinite(history["evaluations"][-1]["train_loss"]):
                    warnings.warn(f"the loss is not finite at step {step}: stopped; try a smaller lr", stacklevel=2)
                    break
            checkpointer.maybe_save(step, button.pressed)
            if button.pressed:
                break
    history["interrupted"] = button.pressed
    answer = functools.partial(meter.predict, alone=button.pressed)  # where other processes are then is not known
    history.update(evaluate(model, data, config, answer=answer))
    return history


def check_run(data, config, group):
    """Return the number of steps of a run; ValueError: it has no images for a part of it, or for a process."""
    for split in ("train", "validation", "test"):
        if len(getattr(data, split)) == 0:
            raise ValueError(f"data.{split} is empty; training needs at least one image there")
    num_steps = config.num_steps or config.num_epochs * math.ceil(len(data.train) / config.batch_size)
    group.check(len(data.train), config.batch_size, num_steps)
    return num_steps


def check_network(model, data, config):
    """Raise ValueError for a network that is made for other channels or classes than `data` has.

    Warn where the pixels of one's own data are normalised by the mean and the standard deviation of Fashion-MNIST's.
    """
    for name, wanted in data.model_options().items():
        if getattr(model, name, wanted) != wanted:
            raise ValueError(
                f"the network has {name}={getattr(model, name)}, but {data.title} needs {wanted}: "
                f"NiN(**config.model_options(data)) makes one that fits"
            )
    if not data.like_fashion_mnist and asdict(config).items() >= FASHION_MNIST.items():
        warnings.warn(
            f"mean={config.mean} and std={config.std} are Fashion-MNIST's; make_config(…, data=data) takes those of "
            f"{data.title}",
            stacklevel=3,
        )


def progress_bar(batches, num_steps, done=0, hidden=False):
    """Return `batches`, counted by a bar on standard error: at most a line in ten seconds where it is no terminal."""
    interval = 0.2 if sys.stderr.isatty() else 10
    return tqdm(batches, "train", num_steps, initial=done, disable=bool(hidden), mininterval=interval)


class StopButton:
    """Ctrl-C, or the stop button of a notebook, ends the training after the step that it is in; pressed again, at once.

    So the step's checkpoint is whole. Each of several processes stops at once, and without a checkpoint: they would
    wait for one another. Attribute pressed: whether to stop.
    """

    def __init__(self, group):
        self.pressed, self.usual = False, None
        self.waits = group.size == 1 and threading.current_thread() is threading.main_thread()

    def __enter__(self):
        if self.waits and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.usual = signal.signal(signal.SIGINT, self._press)
        return self

    def _press(self, *_):
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True

    def allow(self, function, history):
        """Call `function`, if there is one, with the history; it may press the button by raising KeyboardInterrupt."""
        try:
            if function:
                function(history)
        except KeyboardInterrupt:
            self.pressed = True

    def __exit__(self, kind, *_):
        if self.usual:
            signal.signal(signal.SIGINT, self.usual)
        if kind is KeyboardInterrupt:
            self.pressed = True
        return kind is KeyboardInterrupt
