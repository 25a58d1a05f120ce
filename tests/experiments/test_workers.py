"""A run of an experiment is that of `train`; one that is stopped is none."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from nin_helpers.experiments import workers
from nin_helpers.experiments.cases import case_config
from nin_helpers.experiments.results import ENVIRONMENT, read_result
from nin_helpers.experiments.specs import Case
from nin_helpers.experiments.workers import Task, run_task
from nin_helpers.nin import NiN
from nin_helpers.training import make_config, train


def task(case, **changes):
    return Task(case, case_config(case, "reduced", precision="fp32", device="cpu", **changes))


def test_a_run_is_that_of_train_with_the_same_seed(few):
    run = run_task(task(Case("b", "sgd_xavier", settings={"batch_norm": True}), seed=1))
    torch.manual_seed(1)
    config = make_config("reduced", "sgd_xavier", seed=1, precision="fp32", device="cpu")
    history = train(NiN(init="xavier", batch_norm=True, input_size=67), few, config, lambda _: None)
    assert (run["case"], run["seed"], run["warned"], run["test_images"]) == ("b", 1, False, 8)
    assert run["train_loss"] == history["evaluations"][-1]["train_loss"]
    assert run["test_accuracy"] == history["test_accuracy"]
    assert run["environment"].keys() == ENVIRONMENT


def test_a_case_may_be_judged_by_held_out_images(few, monkeypatch):
    without_test_images = replace(few, test=few.test[:0])
    monkeypatch.setattr(workers, "load_data", lambda *_: without_test_images)
    run = run_task(task(Case("a", settings={"test_limit": None, "validation_limit": None}, held_out=True)))
    torch.manual_seed(0)
    config = make_config("reduced", precision="fp32", device="cpu", validation_limit=None)
    history = train(NiN(init="alive", input_size=67), few, config, lambda _: None)
    assert run["validation_accuracy"] == history["evaluations"][-1]["validation_accuracy"]
    assert run["validation_images"] == len(few.validation) and "test_accuracy" not in run


@pytest.mark.parametrize(
    "measure, keys",
    [("maps", {"maps"}), ("evaluations", {"evaluations", "num_steps"}), ("shifts", {"shifts", "sizes"})],
)
def test_what_a_case_measures_is_in_its_run(few, measure, keys):
    assert keys <= run_task(task(Case("a", measure=measure))).keys()


def test_a_run_that_was_stopped_is_none(few, monkeypatch):
    monkeypatch.setattr(workers, "train", lambda *_, **__: {"interrupted": True, "evaluations": [{"train_loss": 0.5}]})
    with pytest.raises(KeyboardInterrupt):
        run_task(task(Case("a")))


# real processes: a script, which each worker runs too, puts the digits in the place of Fashion-MNIST

SCRIPT = """
import sys
from nin_helpers.__main__ import main
from nin_helpers.datasets import load_data
from nin_helpers.experiments import workers
from nin_helpers.experiments.specs import EXPERIMENTS, Case, Training
from nin_helpers.training import PROFILES

workers.load_data = lambda name, folder=None: load_data("digits")
PROFILES["reduced"] = {"size": 67, "batch_size": 4, "num_steps": 2, "num_evaluations": 1, "test_limit": 8}
cases = Case("short"), Case("endless", settings={"num_steps": 10**6, "batch_size": 16})
EXPERIMENTS["tiny"] = Training("a test", cases, seeds=1)

if __name__ == "__main__":
    sys.exit(main(["experiment", "tiny", "--out", sys.argv[1]]))
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_what_was_finished_is_kept_where_it_ends_and_no_worker_goes_on(tmp_path, stop):
    script, path = tmp_path / "script.py", tmp_path / "tiny.json"
    script.write_text(SCRIPT)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "start_new_session": True}
    with subprocess.Popen([sys.executable, script, tmp_path], **options) as process:
        try:
            while not path.exists() and process.poll() is None:  # for as long as a test may take
                time.sleep(0.1)
            before = path.read_bytes()
            if stop == signal.SIGINT:
                os.killpg(process.pid, stop)  # as a terminal sends it: to the worker too
            else:
                process.kill()
            told, _ = process.communicate(timeout=60)  # a worker holds the other end of the pipe as long as it lives
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert path.read_bytes() == before and [run["case"] for run in read_result(path)["runs"]] == ["short"]
    if stop == signal.SIGINT:
        assert process.returncode == 130 and told.splitlines()[-1].startswith("stopped") and "Traceback" not in told
