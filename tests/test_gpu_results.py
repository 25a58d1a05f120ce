"""`python -m benchmarks.gpu`: steps that are stopped, killed, fail and go on, in the place of those that measure."""

import multiprocessing
import os
import re
import signal
import sys
import time

import pytest
import torch
from made_up import WHERE, made_up
from repository import ROOT

import benchmarks.__main__
from benchmarks import gpu
from nin_helpers import __main__ as helpers
from nin_helpers.experiments import runner
from nin_helpers.experiments.results import new_result, read_result, write_result
from nin_helpers.throughput import Case

# What a step does: it adds runs to a result, one in so many seconds; with "fail" it ends with status 3 instead.
FAKE = """
import sys, time
from pathlib import Path
from nin_helpers.experiments.results import ENVIRONMENT, new_result, read_result, write_result

path, runs, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
if "fail" in sys.argv:
    sys.exit(3)
result = read_result(path) if path.exists() else new_result(path.stem, "nothing")
while len(result["runs"]) < runs:
    time.sleep(seconds)
    environment = dict.fromkeys(ENVIRONMENT) | {"command": sys.argv[-1]}
    result["runs"].append({"number": len(result["runs"]), "environment": environment, "config": None})
    write_result(path, result)
"""


@pytest.fixture(autouse=True)
def fake_module(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("module")
    (folder / "fake_step.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")


def fake_step(folder, name, runs=1, *more, seconds=0.0, **options):
    path = folder / f"{name}.json"
    command = ["fake_step", path, runs, seconds, *more]
    options = {"minutes": 0.0, **options}
    return gpu.Step(name, command, path, lambda result: len(result["runs"]) >= runs, **options)


def numbers(folder, name):
    path = folder / f"{name}.json"
    return [run["number"] for run in read_result(path)["runs"]] if path.exists() else []


def wait_for_runs(folder, name, count):
    until = time.monotonic() + 60
    while len(numbers(folder, name)) < count:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_steps_run_in_order_and_what_is_done_is_not_repeated(tmp_path, capsys):
    steps = [fake_step(tmp_path, "one", 2), fake_step(tmp_path, "two")]
    assert gpu.run_steps(steps, 5) == []
    assert numbers(tmp_path, "one") == [0, 1] and numbers(tmp_path, "two") == [0]
    told = re.findall(r"^== (.*?): (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert told == [("one", "python"), ("one", "done"), ("two", "python"), ("two", "done")]
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert gpu.run_steps(steps, 5) == []
    assert "python" not in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files


def test_a_step_that_resumes_is_stopped_at_the_end_of_the_time_and_goes_on(tmp_path, capsys):
    step = fake_step(tmp_path, "long", 4, seconds=1, minutes=100)
    assert gpu.run_steps([step, fake_step(tmp_path, "next")], 2.5 / 60) == []
    done = numbers(tmp_path, "long")
    assert 1 <= len(done) < 4 and not numbers(tmp_path, "next")
    out = capsys.readouterr().out
    assert "== long: stopped at the end of the time" in out and "== next: takes about 0 min, and 0 are left" in out
    assert gpu.run_steps([step], 5) == []
    assert numbers(tmp_path, "long") == [0, 1, 2, 3]


def test_a_step_that_does_not_resume_is_begun_only_with_time_for_all_of_it(tmp_path, capsys):
    steps = [fake_step(tmp_path, "whole", minutes=4, resumes=False), fake_step(tmp_path, "short")]
    assert gpu.run_steps(steps, 3) == []
    assert not numbers(tmp_path, "whole") and numbers(tmp_path, "short") == [0]
    assert "== whole: takes about 4 min, and 3 are left: call again" in capsys.readouterr().out
    assert gpu.run_steps(steps, 5) == [] and numbers(tmp_path, "whole") == [0]


@pytest.mark.parametrize("more, status", [(("fail",), 3), ((), 0)], ids=["ends with an error", "measures too little"])
def test_a_step_that_fails_is_told_and_the_next_go_on(tmp_path, capsys, monkeypatch, more, status):
    broken = gpu.Step("broken", ["fake_step", tmp_path / "broken.json", 1, 0, *more], tmp_path, lambda _: True, 0)
    monkeypatch.setattr(gpu, "plan", lambda *_: [broken, fake_step(tmp_path, "good")])
    assert gpu.main(["--device", "cpu", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"== broken: FAILED, exit status {status}" in out and "== good: done" in out and "not measured" in out


def test_a_damaged_result_is_not_done(tmp_path):
    step = fake_step(tmp_path, "one")
    step.path.write_text('{"schema": 1, "runs": [')
    assert not step.done()
    assert gpu.run_steps([step], 1) == ["one"]


@pytest.mark.parametrize("how, status", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a step outlives a parent that is killed")
def test_one_that_is_stopped_or_killed_goes_on_where_it_was(tmp_path, monkeypatch, capfd, how, status):
    steps = [fake_step(tmp_path, "one", 2), fake_step(tmp_path, "two", 6, seconds=0.3)]
    monkeypatch.setattr(gpu, "plan", lambda *_: steps)
    monkeypatch.setattr(gpu, "reached", lambda result: [None] * len(gpu.GOALS))

    def call():
        sys.exit(gpu.main(["--device", "cpu", "--out", str(tmp_path)]))

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    wait_for_runs(tmp_path, "two", 2)
    os.kill(process.pid, how)
    process.join()
    assert process.exitcode == status
    assert ("not measured" in capfd.readouterr().out) == (status == 130)
    before = numbers(tmp_path, "two")
    time.sleep(1)
    assert numbers(tmp_path, "two") == before and len(before) < 6  # the step's process has ended too
    with pytest.raises(SystemExit, match="0"):
        call()
    assert numbers(tmp_path, "one") == [0, 1] and numbers(tmp_path, "two") == [0, 1, 2, 3, 4, 5]
    out = capfd.readouterr().out
    assert "== one: python" not in out and "== two: python" in out


@pytest.fixture
def planned(tmp_path):
    return gpu.plan(tmp_path, torch.device("cpu"), gpu.Scale())


def test_each_command_of_the_plan_is_understood_and_writes_where_the_plan_looks(planned, tmp_path, monkeypatch):
    written = []

    def run(experiment, path):
        written.append(path)
        assert getattr(experiment, "profile", "full") == "full" and getattr(experiment, "seeds", 3) == 3
        assert path.parent.parent == tmp_path  # what is in `out` itself was measured on a CPU

    def measure(out, device, **options):
        written.append(gpu.result_path(out, torch.device(device)))

    monkeypatch.setattr(runner, "RUNS", dict.fromkeys(runner.RUNS, run))
    monkeypatch.setattr(benchmarks.__main__, "measure", measure)
    for step in planned:
        module, *arguments = map(str, step.command)
        main = {"benchmarks": benchmarks.__main__.main, "nin_helpers": helpers.main}[module]
        assert main(arguments) == 0
        assert written.pop() == step.path
    assert len({step.name for step in planned}) == len(planned)


RATES = {  # images a second
    Case("textbook"): 90, Case("textbook", num_workers=4): 100, Case("ours"): 500, Case("compute_only"): 1000,
    Case("ours", "bf16"): 1200, Case("compute_only", "bf16"): 1250,
    Case("ours", "bf16", compiled=True): 9000, Case("compute_only", "bf16", compiled=True): 9100,
}  # fmt: skip


def benchmark(*batches, rounds=3):
    """A benchmark's result: `RATES` in each round, and images a second of larger batches and of more data."""
    growth = [
        {"environment": WHERE, "config": {"precision": "bf16", "copies": copies}, "images_per_second": [rate, rate]}
        for copies, rate in (*((1, rate) for rate in batches), (4, 9999))
    ]
    figures = made_up({case: (rate,) * rounds for case, rate in RATES.items()}, rounds=rounds)
    return {**new_result("benchmark", "fashion_mnist"), **figures, "growth": growth}


def test_goals_are_of_ours_in_its_fastest_precision_not_compiled():
    assert gpu.reached(benchmark(80, 200, 160)) == pytest.approx([12, 0.96, 0.5])
    assert gpu.reached(benchmark()) == [pytest.approx(12), pytest.approx(0.96), None]
    assert gpu.reached({key: value for key, value in benchmark().items() if key != "growth"})[2] is None


def test_the_table_says_which_goals_are_met():
    _, *rows = gpu.tell_goals([10.0, 0.949, None]).splitlines()
    told = [" ".join(row.split()[-3:]) for row in rows]
    assert told == ["10.0 10.0 met", "94.9% 95.0% missed", "40.0% not measured"]


def test_a_benchmark_is_done_when_each_case_has_all_rounds(planned):
    step = planned[0]
    assert step.name == "benchmark" and not step.resumes and not step.done()
    whole = benchmark()
    for result, done in ((whole, True), (benchmark(rounds=2), False), ({**whole, "runs": whole["runs"][:-1]}, False)):
        write_result(step.path, result)
        assert step.done() == done


def test_each_accuracy_is_a_step_of_its_own(planned):
    steps = {step.name: step for step in planned}
    found = {"environment": WHERE, "config": {}, "accuracy": 0.88, "seconds": None}
    write_result(steps["benchmark"].path, {**benchmark(), "until": [found]})
    assert steps["seconds to 0.88"].done() and not steps["seconds to 0.94"].done()
