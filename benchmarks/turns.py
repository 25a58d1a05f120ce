"""Measures how fast NiN trains here, into one JSON for this machine.

It compares, at the textbook's size and batch: the textbook's pipeline, ours, and the same step without any pipeline;
and it measures what the chip could do at most. Each runs in a process of its own, which waits while others run. They
take turns, and the first steps of each turn are not counted. Then: what ours costs with more data and larger batches.
On request, ours also goes through torch.compile, in turns with the rest.
"""

import contextlib
import itertools
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks import pipelines
from nin_helpers.checks import check_whole_number
from nin_helpers.datasets import load_data
from nin_helpers.experiments.cases import recorded_config
from nin_helpers.experiments.results import new_result, read_result, write_result
from nin_helpers.files import check_writable
from nin_helpers.hardware import pick_device, pick_precision, release_memory
from nin_helpers.nin import NiN
from nin_helpers.provenance import environment
from nin_helpers.resources import count_training_flops
from nin_helpers.throughput import report
from nin_helpers.training import make_config, train

WORKERS = (0, 2, 4)
BATCHES = (64, 128, 256, 512, 1024, 2048)
COPIES = (1, 2, 4)
EVERY = 50  # steps between two looks at the held-out images


def measure(
    out, device="auto", rounds=5, *, size=224, batch_size=128, steps=None, growth=True, until=None, compile=False,
    root=None,
):  # fmt: skip
    """Measure on `device` and write `out`/benchmark_MACHINE.json after each part; return the result.

    rounds: turns of each case, measured anew each time: what was measured at another time would not be in turns; 0
    goes on with what the file has. steps: of a turn, after as many that are not counted; None: 2 on a CPU, else 200.
    growth: whether more data and other batch sizes are measured too. until: an accuracy on the held-out images, 0 to 1,
    to which recipe "modern" is trained by the clock, see `seconds_until`; None: not. compile: whether ours and the step
    alone are measured through torch.compile too, and the training to that accuracy goes through it.

    Raises ValueError for a bad argument and for a file that is missing or measured something else, DataError without
    Fashion-MNIST.
    """
    device = pick_device(device)
    steps = (2 if device.type == "cpu" else 200) if steps is None else steps
    for name, value, least in (
        ("rounds", rounds, 0),
        ("size", size, 1),
        ("batch_size", batch_size, 1),
        ("steps", steps, 1),
    ):
        check_whole_number(name, value, least)
    if until is not None and not 0 <= until < 1:
        raise ValueError(f"until={until!r} must be an accuracy, at least 0 and less than 1")
    config = {
        "size": size, "batch_size": batch_size, "steps": steps, "copies": 1, "pipeline": "ours",
        "precision": pick_precision("auto", device), "compiled": False, "num_workers": 0,
    }  # fmt: skip
    path = result_path(out, device)
    check_writable(path)
    data = load_data("fashion_mnist", root)  # fails here, once, rather than in each process
    if rounds:
        flops = count_training_flops(NiN(input_size=size), (1, 1, size, size))
        result = new_result("benchmark", data.name) | {"flops_per_image": flops, "limits": []}
        _compare_in_turns(result, _configs(config, compile), rounds, device, root, path)
    else:
        result = _earlier(path, config)
    if growth:
        result["growth"] = _grow(config, device, root)
        write_result(path, result)
    if until is not None:
        found = seconds_until(until, data, config, device, compile, path.with_suffix(""))
        others = [other for other in result.get("until", []) if other["accuracy"] != until]
        result["until"] = sorted([*others, found], key=lambda each: each["accuracy"])
        write_result(path, result)
    print(report(result), f"{path} written", sep="\n")
    return result


def _earlier(path, config):
    """Return what the file `path` has, or raise ValueError: none is there, or it was measured otherwise."""
    if not path.is_file():
        raise ValueError(f"rounds=0 goes on with {path}, which is missing; measure without it first")
    result = read_result(path)
    if config not in [run["config"] for run in result["runs"]]:
        found = {key: result["runs"][-1]["config"][key] for key in config}
        raise ValueError(f"rounds=0 goes on with {path}, which has {found}, not {config}")
    return result


def seconds_until(accuracy, data, config, device, compile, folder):
    """Train recipe "modern" on the full profile's schedule until `accuracy` on all held-out images; return how it went.

    seconds: of training alone; None where the ten epochs did not reach it. test_accuracy: of the network then. folder:
    for checkpoints, from which an interrupted run goes on; it is removed in the end.
    """
    chosen = {key: config[key] for key in ("size", "batch_size", "precision")}
    config = make_config("full", "modern", validation_limit=None, device=str(device), compile=compile, **chosen)
    config = replace(config, num_evaluations=max(1, config.num_epochs * len(data.train) // config.batch_size // EVERY))

    def stop(history):
        if history["evaluations"][-1]["validation_accuracy"] >= accuracy:
            raise KeyboardInterrupt

    torch.manual_seed(config.seed)
    history = train(NiN(**config.model_options()), data, config, stop, checkpoints=folder)
    last = history["evaluations"][-1] if history["evaluations"] else {"validation_accuracy": -1}
    reached = last["validation_accuracy"] >= accuracy
    if history["interrupted"] and not reached:
        raise KeyboardInterrupt
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "seed": config.seed,
        "environment": environment(device),
        "config": recorded_config(config),
        "accuracy": accuracy,
        "seconds": history["training_seconds"] if reached else None,
        "images": last["step"] * config.batch_size,
        **{key: history[key] for key in ("test_accuracy", "test_images")},
    }


def _configs(config, compile):
    """Return the configurations to compare, those of one precision side by side, the compiled ones at the end."""
    configs = [{**config, "pipeline": "textbook", "precision": "fp32", "num_workers": number} for number in WORKERS]
    for precision in dict.fromkeys(("fp32", config["precision"])):
        pipelines = ("ours", "compute_only", "limits")
        configs += [{**config, "pipeline": pipeline, "precision": precision} for pipeline in pipelines]
    if compile:
        configs += [{**config, "pipeline": pipeline, "compiled": True} for pipeline in ("ours", "compute_only")]
    return configs


def _compare_in_turns(result, configs, rounds, device, root, path):
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(Turns(config, device, root)) for config in configs]
        for process in processes:  # or the first would be measured while the others load
            process.wait_until_ready()
        for repeat, process in tqdm(list(itertools.product(range(rounds), processes)), "speed"):
            if process not in processes:
                continue
            try:
                rate, peak, first = process.turn()
            except ProcessEnded as error:
                if not process.config["compiled"]:
                    raise
                print(f"{error}: going on without torch.compile", file=sys.stderr)
                processes = [process for process in processes if not process.config["compiled"]]
                result["runs"] = [run for run in result["runs"] if not run["config"]["compiled"]]
            else:
                run = {"repeat": repeat, "environment": environment(device), "config": process.config}
                if process.config["pipeline"] == "limits":
                    result["limits"].append({**run, "matrix_rate": rate[0], "memory_rate": rate[1]})
                else:
                    run |= {"images_per_second": rate, "peak_bytes": peak, "first_seconds": first}
                    result["runs"].append(run)
            write_result(path, result)


def _grow(config, device, root):
    steps, runs = config["steps"], []
    changes = [{"batch_size": size, "steps": max(1, steps * config["batch_size"] // size)} for size in BATCHES]
    for change in tqdm(changes + [{"copies": copies} for copies in COPIES], "growth"):
        changed = {**config, **change}
        try:
            with Turns(changed, device, root) as process:
                process.wait_until_ready()
                rates, peaks, _ = zip(*(process.turn() for _ in range(2)))
        except ProcessEnded as error:  # no memory for it, most likely
            print(error, file=sys.stderr)
            continue
        found = {"images_per_second": list(rates), "peak_bytes": max(peaks)}
        runs.append({"environment": environment(device), "config": changed, **found})
    return runs


class ProcessEnded(RuntimeError):
    """A process that measures has ended with an error of its own."""


class Turns:
    """A pipeline in a process of its own, which takes a turn when asked and waits otherwise."""

    def __init__(self, config, device, root):
        self.config = config
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(config, str(device), root, other))
        self.process.start()
        other.close()

    def __enter__(self):
        return self

    def wait_until_ready(self):
        """Return when the process has loaded what it needs, and has nothing to do until its first turn."""
        self._receive()

    def turn(self):
        """Run two stretches of `steps` steps and return what the process says of them.

        The second one's rate; the peak of memory so far, in bytes; and how many seconds longer than the second the very
        first stretch of the process took, compiling included.
        """
        return self._receive("go")

    def _receive(self, *messages):
        try:
            for message in messages:
                self.connection.send(message)
            return self.connection.recv()
        except (EOFError, OSError):
            raise ProcessEnded(f"the process that measures {self.config} has ended: see its error above") from None

    def __exit__(self, *_):
        self.connection.close()
        self.process.join()


def _work(config, device, root, connection):
    rates, count = [], config["steps"] * config["batch_size"]

    def pause(rate):
        rates.append(rate)
        try:
            if len(rates) % 2 == 0:
                first = None if config["pipeline"] == "limits" else count / rates[0] - count / rates[1]
                connection.send((rate, _peak(device), first))
                release_memory(torch.device(device))  # others need it now
                connection.recv()
        except (EOFError, BrokenPipeError):  # the benchmark is over
            raise KeyboardInterrupt from None

    with tempfile.TemporaryDirectory() as cache, contextlib.suppress(KeyboardInterrupt, EOFError):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # compiled anew, and not taken from an earlier run
        data = load_data("fashion_mnist", root)
        connection.send("ready")
        connection.recv()
        getattr(pipelines, config["pipeline"])({**config, "device": device}, data, pause)


def _peak(device):
    """Return the most memory of this process so far, in bytes: on CUDA that of PyTorch's tensors there."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # there is none on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine_name(device):
    """Return what files call the chip of a torch.device, such as "nvidia_h100_80gb_hbm3"."""
    return re.sub(r"[^a-z0-9]+", "_", environment(device)["device_name"].lower()).strip("_")


def result_path(out, device):
    """Return the path in the folder `out` of what is measured on a torch.device."""
    return Path(out) / f"benchmark_{machine_name(device)}.json"
