"""What is measured besides the accuracy of a trained network: memory, the time of a step, the first steps."""

import math
import time

import torch
import torch.nn.functional as F
from tqdm import tqdm

from nin_helpers.datasets import LabelledImages, load_data
from nin_helpers.diagnostics import diagnose
from nin_helpers.experiments.cases import NETWORKS, build, case_config, recorded_config
from nin_helpers.experiments.results import add_run, resume, write_result
from nin_helpers.experiments.specs import EXPERIMENTS
from nin_helpers.files import as_json
from nin_helpers.hardware import pick_device
from nin_helpers.nin import NiN
from nin_helpers.preprocessing import preprocess
from nin_helpers.provenance import environment
from nin_helpers.resources import measured_memory
from nin_helpers.training.config import make_config
from nin_helpers.training.step import TrainStep, shuffled_batches

FIRST_STEPS = (0, 1, 2, 5, 10, 20, 40, 70, 100)  # after so many steps a training is looked at


def run_memory(experiment, path):
    """Measure the memory that training and prediction take for each of `NETWORKS`; see `run_experiment`.

    In FP32, at 224 pixels, one pass of a batch, without an optimizer; see `resources.measured_memory`, whose error it
    may raise.
    """
    shape = (experiment.batch_size, 1, 224, 224)
    config = {"size": 224, "batch_size": experiment.batch_size, "precision": "fp32"}
    planned = [
        {"network": network, "pass": kind, "repeat": repeat, "config": config}
        for repeat in range(experiment.repeats)
        for network in NETWORKS
        for kind in ("training", "prediction")
    ]
    result, missing = resume(path, "random numbers", planned, experiment.device)
    for run in tqdm(missing, path.stem, disable=not missing):
        with torch.device("meta"):
            model = NETWORKS[run["network"]]()
        found = measured_memory(model, shape, run["pass"] == "training", experiment.device)
        where = environment(pick_device(experiment.device))
        add_run(path, result, {**run, "environment": where, "bytes": found})
    return result


def run_step_times(experiment, path):
    """Time a training step of each case of the experiment's groups, in turns; see `run_experiment`.

    A turn is three steps (on a GPU thirty) on one batch of random pixels, after a turn that is not timed; all threads.
    It takes a minute or two. What is there in part is begun anew: what was timed at another time would not be in turns.
    """
    places = {"device": experiment.device, "precision": experiment.precision}
    cases = {f"{group}: {case.name}": case for group in experiment.groups for case in EXPERIMENTS[group].cases}
    configs = {name: case_config(case, experiment.profile, **places) for name, case in cases.items()}
    planned = [
        {"case": name, "repeat": repeat, "config": recorded_config(configs[name], case)}
        for repeat in range(experiment.repeats)
        for name, case in cases.items()
    ]
    result, missing = resume(path, "random pixels", planned, experiment.device)
    if not missing:
        return result
    device = pick_device(experiment.device)
    stretches = {name: _stretch(case, configs[name], device) for name, case in cases.items()}
    for stretch in stretches.values():
        stretch()
    seconds = [stretches[run["case"]]() for run in tqdm(planned, path.stem)]
    where = environment(device)
    result["runs"] = [{**run, "environment": where, "seconds": found} for run, found in zip(planned, seconds)]
    write_result(path, result)
    return result


def _stretch(case, config, device):
    """Return a function that trains the network of a `Case` for some steps, and returns the seconds that one took."""
    model = build(case, config).to(device, memory_format=torch.channels_last)
    images = torch.randint(256, (config.batch_size, 1, 28, 28), dtype=torch.uint8, device=device)
    batch = LabelledImages(images, torch.randint(10, (config.batch_size,), device=device))
    take_step = TrainStep(model, config, num_steps=1000)
    steps = 3 if device.type == "cpu" else 30

    def stretch():
        start = time.perf_counter()
        for _ in range(steps):
            _, loss = take_step(batch)
        loss.item()  # waits for the device
        return (time.perf_counter() - start) / steps

    return stretch


def run_first_steps(experiment, path):
    """Record `first_steps` of each initialisation and rate on Fashion-MNIST; see `run_experiment`.

    On a CPU, in FP32, in some minutes.
    """
    planned = [
        {"init": init, "lr": lr, "seed": 0, "config": recorded_config(_first_config(init, lr))}
        for init in experiment.inits
        for lr in experiment.rates
    ]
    result, missing = resume(path, "fashion_mnist", planned, "cpu")
    if not missing:
        return result
    data = load_data("fashion_mnist", experiment.data)
    for run in tqdm(missing, path.stem):
        states = list(first_steps(data, run["init"], run["lr"], run["seed"]))
        add_run(path, result, {**run, "environment": environment(torch.device("cpu")), "states": states})
    return result


def first_steps(data, init, lr, seed=0):
    """Train NiN by plain SGD for a hundred steps, and yield its state on 64 held-out images at each of `FIRST_STEPS`.

    A state is {"step", "loss", "live": the share of channels behind ReLUs that are not 0 throughout, "gradient": the
    norm of the loss's gradient, "spread": {ReLU: how much its output differs across images, see `diagnose`}}; what is
    not finite is None, and of a network whose loss is not finite nothing is alive or dead: None. Profile "reduced":
    99 pixels, batches of 32.
    """
    config = _first_config(init, lr, seed)
    torch.manual_seed(seed)
    model = NiN(num_classes=len(data.classes), **config.model_options())
    take_step = TrainStep(model, config, config.num_steps)
    split = data.validation[:64]
    x = preprocess(split.images, config.size, config.mean, config.std)
    batches = shuffled_batches(len(data.train), config.batch_size, config.num_steps, seed)
    for step in range(config.num_steps + 1):
        if step in FIRST_STEPS:
            yield {"step": step, **_state(model, x, split.labels)}
        if step < config.num_steps:
            take_step(data.train[next(batches)])


def _first_config(init, lr, seed=0):
    changes = {"init": init, "lr": lr, "mean": 0.286, "std": 0.353, "num_steps": FIRST_STEPS[-1], "seed": seed}
    return make_config("reduced", "sgd_default", device="cpu", precision="fp32", **changes)


def _state(model, x, labels):
    layers = diagnose(model, (x, labels)).layers
    relus = [layer for layer in layers if layer.type == "ReLU"]
    with torch.no_grad():
        loss = F.cross_entropy(model.eval()(x), labels).item()
    return as_json({
        "loss": loss,
        "live": sum(layer.live for layer in relus) / len(relus) if math.isfinite(loss) else None,
        "gradient": math.hypot(*(layer.gradient for layer in layers if layer.gradient is not None)),
        "spread": {layer.name: layer.spread for layer in relus},
    })  # fmt: skip
