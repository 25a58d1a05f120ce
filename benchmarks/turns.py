"""Measures how fast NiN trains here, into one JSON for this machine.

It compares, at the textbook's size and batch: the textbook's pipeline, ours, and the same step without any pipeline;
and it measures what the chip could do at most. Each runs in a process of its own, which waits while others run. They
take turns, and the first steps of each turn are not counted. Then: what ours costs with more data and larger batches.
On request, ours also goes through torch.compile, in turns with the rest.
"""

import contextlib
import json
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
from nin_helpers.files import check_writable, write_json
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
    precision = pick_precision("auto", device)
    settings = {
        "size": size, "batch_size": batch_size, "steps": steps, "copies": 1,
        "precision": precision, "device": str(device), "num_workers": 0, "compile": False,
    }  # fmt: skip
    result = {"experiment": "benchmark", "data": "fashion_mnist", "settings": settings, **environment(device)}
    path = Path(out) / f"benchmark_{_slug(result['device_name'])}.json"
    check_writable(path)
    data = load_data("fashion_mnist", root)  # fails here, once, rather than in each process
    flops = count_training_flops(NiN(input_size=size), (1, 1, size, size))
    result |= {"flops_per_image": flops, "runs": [], "limits": []}
    result |= {"peak_bytes": {}, "first_seconds": {}, "growth": []}
    if rounds:
        _compare_in_turns(result, _cases(settings, compile), rounds, root, path)
    else:
        result = _earlier(path, settings)
    if growth:
        result["growth"] = _grow(settings, root)
        write_json(path, result)
    if until is not None:
        found = seconds_until(until, data, {**settings, "compile": compile}, path.with_suffix(""))
        result["until"] = found | environment(device)
        write_json(path, result)
    print(report(result), f"{path} written", sep="\n")
    return result


def _earlier(path, settings):
    """Return what the file `path` has, or raise ValueError: none is there, or it was measured otherwise."""
    if not path.is_file():
        raise ValueError(f"rounds=0 goes on with {path}, which is missing; measure without it first")
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["settings"] != settings:
        raise ValueError(f"rounds=0 goes on with {path}, which has {result['settings']}, not {settings}")
    return result


def seconds_until(accuracy, data, settings, folder):
    """Train recipe "modern" on the full profile's schedule until `accuracy` on all held-out images; return how it went.

    seconds: of training alone; None where the ten epochs did not reach it. test_accuracy: of the network then. folder:
    for checkpoints, from which an interrupted run goes on; it is removed in the end.
    """
    chosen = {key: settings[key] for key in ("size", "batch_size", "precision", "device", "compile")}
    config = make_config("full", "modern", validation_limit=None, **chosen)
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
        "accuracy": accuracy,
        "seconds": history["training_seconds"] if reached else None,
        "images": last["step"] * config.batch_size,
        **{key: history[key] for key in ("config", "test_accuracy", "test_images")},
    }


def _cases(settings, compile):
    """Return {case: (pipeline, settings)}, those of one precision side by side, the compiled ones in the last of it."""
    cases = {f"textbook, {n} workers": ("textbook", {**settings, "num_workers": n}) for n in WORKERS}
    for precision in dict.fromkeys(("fp32", settings["precision"])):
        chosen = {**settings, "precision": precision}
        cases[f"ours, {precision}"] = "ours", chosen
        cases[f"compute only, {precision}"] = "compute_only", chosen
        cases[f"limits, {precision}"] = "limits", chosen
    if compile:
        chosen = {**settings, "compile": True}
        cases[f"ours compiled, {settings['precision']}"] = "ours", chosen
        cases[f"compute only compiled, {settings['precision']}"] = "compute_only", chosen
    return cases


def _compare_in_turns(result, cases, rounds, root, path):
    with contextlib.ExitStack() as stack:
        processes = {case: stack.enter_context(Turns(*parts, root)) for case, parts in cases.items()}
        for process in processes.values():  # or the first would be measured while the others load
            process.wait_until_ready()
        for repeat, case in tqdm([(repeat, case) for repeat in range(rounds) for case in cases], "speed"):
            if case not in processes:
                continue
            process = processes[case]
            try:
                rate, peak, first = process.turn()
            except ProcessEnded as error:
                if not process.settings["compile"]:
                    raise
                print(f"{error}: going on without torch.compile", file=sys.stderr)
                _drop_compiled(result, processes)
                continue
            if case.startswith("limits"):
                found = {"precision": process.settings["precision"], "matrix_rate": rate[0], "memory_rate": rate[1]}
                result["limits"].append({"repeat": repeat, **found})
            else:
                result["runs"].append({"case": case, "repeat": repeat, "images_per_second": rate})
                result["peak_bytes"][case] = peak
                result["first_seconds"][case] = first
            write_json(path, result)


def _drop_compiled(result, processes):
    for case in [case for case, process in processes.items() if process.settings["compile"]]:
        del processes[case]
        result["runs"] = [run for run in result["runs"] if run["case"] != case]
        for figures in (result["peak_bytes"], result["first_seconds"]):
            figures.pop(case, None)


def _grow(settings, root):
    steps, rows = settings["steps"], []
    cases = [{"batch_size": size, "steps": max(1, steps * settings["batch_size"] // size)} for size in BATCHES]
    for change in tqdm(cases + [{"copies": copies} for copies in COPIES], "growth"):
        try:
            with Turns("ours", {**settings, **change}, root) as process:
                process.wait_until_ready()
                rates, peaks, _ = zip(*(process.turn() for _ in range(2)))
        except ProcessEnded as error:  # no memory for it, most likely
            print(error, file=sys.stderr)
            continue
        chosen = {"batch_size": settings["batch_size"], "copies": 1, **change}
        rows.append({**chosen, "images_per_second": rates, "peak_bytes": max(peaks)})
    return rows


class ProcessEnded(RuntimeError):
    """A process that measures has ended with an error of its own."""


class Turns:
    """A pipeline in a process of its own, which takes a turn when asked and waits otherwise."""

    def __init__(self, name, settings, root):
        self.settings = settings
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(name, settings, root, other))
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
            raise ProcessEnded(f"the process that measures {self.settings} has ended: see its error above") from None

    def __exit__(self, *_):
        self.connection.close()
        self.process.join()


def _work(name, settings, root, connection):
    rates, count = [], settings["steps"] * settings["batch_size"]

    def pause(rate):
        rates.append(rate)
        try:
            if len(rates) % 2 == 0:
                first = None if name == "limits" else count / rates[0] - count / rates[1]
                connection.send((rate, _peak(settings["device"]), first))
                release_memory(torch.device(settings["device"]))  # others need it now
                connection.recv()
        except (EOFError, BrokenPipeError):  # the benchmark is over
            raise KeyboardInterrupt from None

    with tempfile.TemporaryDirectory() as cache, contextlib.suppress(KeyboardInterrupt, EOFError):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # compiled anew, and not taken from an earlier run
        data = load_data("fashion_mnist", root)
        connection.send("ready")
        connection.recv()
        getattr(pipelines, name)(settings, data, pause)


def _peak(device):
    """Return the most memory of this process so far, in bytes: on CUDA that of PyTorch's tensors there."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # there is none on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _slug(name):
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
