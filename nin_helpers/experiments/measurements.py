"""What is measured besides accuracy: memory, seconds, the first steps, shifted pictures, the maps inside."""

import itertools
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from nin_helpers.architecture import INITS, smallest_input_size
from nin_helpers.checks import check_whole_number
from nin_helpers.datasets import LabelledImages, load_data
from nin_helpers.diagnostics import diagnose, map_states, shift_accuracy
from nin_helpers.experiments.networks import NETWORKS, build
from nin_helpers.experiments.results import start_result
from nin_helpers.experiments.specs import EXPERIMENTS, FIRST_RATES, FIRST_STEPS, TIMED
from nin_helpers.files import write_json
from nin_helpers.hardware import autocast, pick_device
from nin_helpers.nin import NiN
from nin_helpers.preprocessing import preprocess
from nin_helpers.provenance import environment
from nin_helpers.resources import measured_memory
from nin_helpers.training.config import make_config
from nin_helpers.training.step import TrainStep, shuffled_batches


def run_resources(repeats=3, *, out=Path("results"), device="cpu", batch_size=32):
    """Measure the memory that training and prediction take for LeNet, AlexNet, VGG-11 and NiN: `out`/resources.json.

    In FP32, at 224 pixels, one pass of `batch_size` images, without an optimizer, `repeats` times; see
    `resources.measured_memory`, whose error it may raise. What the file has already is not measured again.
    """
    check_whole_number("repeats", repeats, 1)
    check_whole_number("batch_size", batch_size, 1)
    path = Path(out) / "resources.json"
    result = start_result(path, "resources", f"batch of {batch_size}", device, "fp32")
    result |= {"data": "random numbers", "threads": torch.get_num_threads()}
    done = [(run["network"], run["pass"], run["repeat"]) for run in result["runs"]]
    tasks = itertools.product(range(repeats), NETWORKS, ("training", "prediction"))
    for repeat, network, kind in tqdm([task for task in tasks if (*task[1:], task[0]) not in done], "resources"):
        with torch.device("meta"):
            model = NETWORKS[network]()
        found = measured_memory(model, (batch_size, 1, 224, 224), kind == "training", device)
        result["runs"].append({"network": network, "pass": kind, "repeat": repeat, "bytes": found})
        write_json(path, result)
    return result


def run_speed(rounds=7, profile="study", *, out=Path("results"), device="cpu", precision="fp32"):
    """Time a training step of each case of `TIMED`, in turns, `rounds` times: `out`/speed.json.

    A turn is three steps (on a GPU thirty) on one batch of random pixels, after one that is not timed; all threads. It
    takes a minute or two and is begun anew each time: what was measured at another time would not be in turns.
    """
    check_whole_number("rounds", rounds, 1)
    config = make_config(profile, device=device, precision=precision)
    device = pick_device(config.device)
    steps = 3 if device.type == "cpu" else 30
    images = torch.randint(256, (config.batch_size, 1, 28, 28), dtype=torch.uint8, device=device)
    batch = LabelledImages(images, torch.randint(10, (config.batch_size,), device=device))
    models = {}
    for group in TIMED:
        for case in EXPERIMENTS[group]:
            model = build(case, config).to(device, memory_format=torch.channels_last)
            models[f"{group}: {case['case']}"] = TrainStep(model, config, num_steps=1000)
    result = {"experiment": "speed", "data": "random pixels", "profile": profile, "precision": precision}
    result |= {**environment(device), "runs": []}
    for turn, (case, take_step) in tqdm(list(itertools.product(range(-1, rounds), models.items())), "speed"):
        start = time.perf_counter()
        for _ in range(steps):
            _, loss = take_step(batch)
        loss.item()  # waits for the device
        if turn >= 0:
            result["runs"].append({"case": case, "round": turn, "seconds": (time.perf_counter() - start) / steps})
    write_json(Path(out) / "speed.json", result)
    return result


def run_first_steps(*, root=None, out=Path("results")):
    """Record `first_steps` of each initialisation and rate on Fashion-MNIST: `out`/first_steps.json, in some minutes.

    The file is written after each run; the runs that it has are not repeated. On a CPU, in FP32.
    """
    path = Path(out) / "first_steps.json"
    result = start_result(path, "first_steps", "reduced", "cpu", "fp32") | {"threads": torch.get_num_threads()}
    done = [(run["init"], run["lr"]) for run in result["runs"]]
    data = load_data("fashion_mnist", root)
    tasks = [task for task in itertools.product(INITS, FIRST_RATES) if task not in done]
    for init, lr in tqdm(tasks, "first_steps"):
        result["runs"].append({"init": init, "lr": lr, "seed": 0, "states": list(first_steps(data, init, lr))})
        write_json(path, result)
    return result


def first_steps(data, init, lr, seed=0):
    """Train NiN by plain SGD for a hundred steps, and yield its state on 64 held-out images at each of `FIRST_STEPS`.

    A state is {"step", "loss", "live": the share of channels behind ReLUs that are not 0 throughout, "gradient": the
    norm of the loss's gradient, "spread": {ReLU: how much its output differs across images, see `diagnose`}}; what is
    not finite is None, and of a network whose loss is not finite nothing is alive or dead: None. Profile "reduced":
    99 pixels, batches of 32.
    """
    last = FIRST_STEPS[-1]
    changes = {"init": init, "lr": lr, "mean": 0.286, "std": 0.353, "num_steps": last, "seed": seed}
    config = make_config("reduced", "sgd_default", device="cpu", precision="fp32", **changes)
    torch.manual_seed(seed)
    model = NiN(num_classes=len(data.classes), **config.model_options())
    take_step = TrainStep(model, config, last)
    split = data.validation[:64]
    x = preprocess(split.images, config.size, config.mean, config.std)
    batches = shuffled_batches(len(data.train), config.batch_size, last, seed)
    for step in range(last + 1):
        if step in FIRST_STEPS:
            yield {"step": step, **_state(model, x, split.labels)}
        if step < last:
            take_step(data.train[next(batches)])


def _state(model, x, labels):
    layers = diagnose(model, (x, labels)).layers
    relus = [layer for layer in layers if layer.type == "ReLU"]
    with torch.no_grad():
        loss = F.cross_entropy(model.eval()(x), labels).item()
    figures = {
        "loss": loss,
        "live": sum(layer.live for layer in relus) / len(relus) if math.isfinite(loss) else math.nan,
        "gradient": math.hypot(*(layer.gradient for layer in layers if layer.gradient is not None)),
    }
    spread = {layer.name: _finite(layer.spread) for layer in relus}
    return {name: _finite(value) for name, value in figures.items()} | {"spread": spread}


def _finite(value):
    return value if math.isfinite(value) else None


def _measure_shifts(model, data, config, precision):
    """Return the accuracy on 1,000 test images, shifted, and, where the head takes them, at other sizes."""
    split = data.test[:1000].to(next(model.parameters()).device)
    fill = (0 - config.mean) / config.std
    with autocast(split.images.device, precision):
        x = preprocess(split.images, config.size, config.mean, config.std)
        shifts = shift_accuracy(model, x, split.labels, SHIFTS, fill)
        found = {"shifts": {str(shift): accuracy for shift, accuracy in shifts.items()}}  # as JSON has them
        if model.head == "gap":
            found["sizes"] = {}
            for size in range(config.size - 64, config.size + 97, 32):
                if size >= smallest_input_size():
                    x = preprocess(split.images, size, config.mean, config.std)
                    found["sizes"][str(size)] = shift_accuracy(model, x, split.labels, (0,))[0]
    return found


def _measure_maps(model, data, config, precision):
    """Return the `MapState` of each ReLU from the last pooling on, over 500 test images, in FP32."""
    images = data.test.images[:500].to(next(model.parameters()).device)
    states = map_states(model, preprocess(images, config.size, config.mean, config.std))
    return {"maps": [asdict(state) for state in states if state.name.startswith(("block3", "reduction", "block4"))]}


SHIFTS = (0, 4, 8, 12, 16, 24, 32)


MEASURES = {"shifts": _measure_shifts, "maps": _measure_maps}


@torch.no_grad()
def change_start(model, change):
    """Take a part of the cure out of the class block, "no lift" or "no copies", or kill its first `change` classes."""
    if change is None:
        return
    convolutions = [layer for layer in model.block4 if isinstance(layer, nn.Conv2d)]
    if change == "no lift":
        convolutions[0].bias.zero_()
    elif change == "no copies":
        for convolution in convolutions[1:]:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    elif change:
        convolutions[-1].bias[:change] = -100
