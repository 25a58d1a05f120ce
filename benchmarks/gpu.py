"""What a machine with a GPU can measure in some minutes, the most worthwhile first: `python -m benchmarks.gpu`.

Each step is a command that could be called by hand, in a process of its own, so that one that fails spoils no other.
Its result file says whether it is done: a call goes on where the last one ended. Nothing that was measured elsewhere is
touched: the benchmark goes to `out`/benchmark_MACHINE.json, the experiments into a folder, `out`/MACHINE.
"""

import argparse
import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.turns import machine_name, result_path
from nin_helpers.checks import check_number
from nin_helpers.experiments.cases import NETWORKS
from nin_helpers.experiments.results import read_result
from nin_helpers.experiments.specs import EXPERIMENTS
from nin_helpers.hardware import pick_device
from nin_helpers.throughput import best_textbook, compare, ratio

GRACE = 60  # seconds that a step has to write what it knows when it is stopped
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
GOALS = {  # what ours should reach at least
    "times as fast as the textbook's pipeline": (10, ".1f"),
    "of the rate of compute only": (0.95, ".1%"),
    "of the chip's matrix rate, at the best batch": (0.4, ".1%"),
}


@dataclass(frozen=True)
class Scale:
    """How large everything is, by default as in the textbook; tests take less. steps: None for as many as usual."""

    size: int = 224
    batch_size: int = 128
    steps: int | None = None
    rounds: int = 3
    accuracies: tuple[float, ...] = (0.88, 0.94)
    profile: str = "full"
    seeds: int = 3
    # those whose cases are not in "full_size", and which have no size of their own
    experiments: tuple[str, ...] = ("cure", "per_pixel", "heads", "reduction", "family", "dead_classes")


@dataclass(frozen=True)
class Step:
    """A command that measures something.

    command: a module and its arguments. path: of the result file. is_done: whether a result, read from there, has all
    that the step measures. minutes: that it takes on an H100, roughly. resumes: whether it goes on where it was
    stopped; a step that does not is begun only if there is time for all of it.
    """

    name: str
    command: list
    path: Path
    is_done: Callable[[dict], bool]
    minutes: float
    resumes: bool = True

    def done(self):
        """Return whether the result file is there and has all of it; one that is damaged has not."""
        try:
            return bool(self.is_done(read_result(self.path)))
        except (OSError, ValueError, KeyError):
            return False


def plan(out, device, scale):
    """Return the steps for a torch.device, in order of worth."""
    path, folder = result_path(out, device), Path(out) / machine_name(device)
    benchmark = ["benchmarks", "--out", out, "--device", device, "--size", scale.size, "--batch-size", scale.batch_size]
    benchmark += [] if scale.steps is None else ["--steps", scale.steps]
    turns, more = [*benchmark, "--rounds", scale.rounds, "--no-growth", "--compile"], [*benchmark, "--rounds", 0]

    def until(accuracy):
        def has_it(result):
            return any(found["accuracy"] == accuracy for found in result.get("until", []))

        return Step(f"seconds to {accuracy}", [*more, "--no-growth", "--until", accuracy], path, has_it, minutes=1)

    def experiment(name, runs, minutes_each, *options):
        command = ["nin_helpers", "experiment", name, "--out", folder, "--device", device, *options]
        where = folder / f"{name}.json"
        return Step(name, command, where, lambda result: len(result["runs"]) >= runs, runs * minutes_each)

    def training(name):
        return experiment(name, scale.seeds * len(EXPERIMENTS[name].cases), 0.6, *profile, "--seeds", scale.seeds)

    profile = "--profile", scale.profile, "--precision", "auto"
    memory, speed = EXPERIMENTS["resources"], EXPERIMENTS["speed"]
    timed = sum(len(EXPERIMENTS[group].cases) for group in speed.groups)
    return [
        Step("benchmark", turns, path, lambda result: _is_whole(result, scale.rounds), minutes=6, resumes=False),
        Step("batches", more, path, lambda result: result.get("growth"), minutes=3, resumes=False),
        training("full_size"),
        *map(until, scale.accuracies),
        experiment("resources", 2 * len(NETWORKS) * memory.repeats, 0.02),  # training and prediction
        experiment("speed", timed * speed.repeats, 0.01, *profile),
        *map(training, scale.experiments),
    ]


def _is_whole(result, rounds):
    counts = set(Counter(str(run["config"]) for run in result["runs"] + result["limits"]).values())
    return len(counts) == 1 and min(counts) >= rounds


def run_steps(steps, minutes):
    """Run the steps that are not done yet while the minutes last; return the names of those that failed.

    What becomes of each is printed. Ctrl-C stops the step that runs, and raises KeyboardInterrupt.
    """
    end, failed = time.monotonic() + 60 * minutes, []
    for step in steps:
        has_failed, told = _take(step, end - time.monotonic())
        print(f"== {step.name}: {told}", flush=True)
        failed += [step.name] * has_failed
    return failed


def _take(step, seconds):
    """Run a step, if it is not done and there is time for it; return whether it failed, and what became of it."""
    if step.done():
        return False, f"done, {step.path}"
    if seconds < (0 if step.resumes else 60 * step.minutes):
        return False, f"takes about {step.minutes:.0f} min, and {max(0, seconds) / 60:.0f} are left: call again"
    print(f"== {step.name}: python -m {shlex.join(map(str, step.command))}", flush=True)
    status = _run(step.command, seconds)
    if step.done():
        return False, f"done, {step.path}"
    if status is None:
        return False, "stopped at the end of the time: call again"
    return True, f"FAILED, exit status {status}, see above"


def _run(command, seconds):
    """Run `python -m command` and return its exit status; None: stopped, as by Ctrl-C, after so many seconds."""
    command = [sys.executable, "-m", *map(str, command)]
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=_prepare)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for how, grace in ((signal.SIGINT, GRACE), (signal.SIGKILL, None)):
            if process.poll() is None:
                os.killpg(process.pid, how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(grace)


def _prepare():
    """In a step's process, before it starts: let Ctrl-C stop it, even behind a shell's "&", and our end end it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if LIBC:
        LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def reached(result):
    """Return what a benchmark's whole `result` has for each of `GOALS`, in order; None: not measured."""
    rates = compare(result)
    plain = [case for case in rates if case.pipeline == "ours" and not case.compiled]
    ours = max(plain, key=lambda case: rates[case]["median"])
    others = best_textbook(result), ours._replace(pipeline="compute_only")
    limits = {}
    for limit in result["limits"]:
        limits.setdefault(limit["config"]["precision"], []).append(limit["matrix_rate"])
    used = [
        median(row["images_per_second"]) * result["flops_per_image"] / median(limits[row["config"]["precision"]])
        for row in result.get("growth", [])
        if row["config"]["copies"] == 1
    ]
    return [*(ratio(result, ours, other)["median"] for other in others), max(used, default=None)]


def tell_goals(values):
    """Return a table of `GOALS`: which of them the values reach; None: not measured."""
    lines = [f"{'':46}{'measured':>10}{'goal':>8}"]
    for (what, (goal, form)), value in zip(GOALS.items(), values):
        told = "" if value is None else format(value, form)
        verdict = "not measured" if value is None else "met" if value >= goal else "missed"
        lines.append(f"{what:46}{told:>10}{format(goal, form):>8}   {verdict}")
    return "\n".join(lines)


def main(arguments=None, scale=Scale()):
    """Run the command line; return 0, 1 where a step failed, 130 where it was stopped, or 2 for what cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=25, help="how long (default: 25); another call goes on")
    parser.add_argument("--device", default="cuda", help="cuda (default), or what else PyTorch knows")
    parser.add_argument("--out", default="results", help="folder for the results (default: results)")
    options = parser.parse_args(arguments)
    try:
        check_number("minutes", options.minutes)
        steps = plan(options.out, pick_device(options.device), scale)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        status = 1 if run_steps(steps, options.minutes) else 0
    except KeyboardInterrupt:
        status = 130
    benchmark = steps[0]
    print(tell_goals(reached(read_result(benchmark.path)) if benchmark.done() else [None] * len(GOALS)))
    return status


if __name__ == "__main__":
    sys.exit(main())
