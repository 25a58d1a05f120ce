"""`python -m nin_helpers train`: one whole run as a reader starts it, stops it and goes on, and what it cannot use."""

import json
import os
import signal
import subprocess
import sys

import pytest
from safetensors.torch import load_model

from nin_helpers import __main__ as command_line
from nin_helpers.nin import NiN
from nin_helpers.training import PROFILES, TrainConfig, TrainStep, evaluate, find_checkpoints


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    """Run `python -m nin_helpers train` once, as a process of its own, and return it with its folder."""
    out = tmp_path_factory.mktemp("smoke") / "run"
    command = ["train", "--profile", "smoke", "--dataset", "digits", "--seed", "3", "--out", str(out)]
    options = {"capture_output": True, "encoding": "utf-8", "timeout": 540}
    threads = {"OMP_NUM_THREADS": "1"}  # as in conftest.py: a busy machine must not make it take minutes
    process = subprocess.run([sys.executable, "-m", "nin_helpers", *command], **options, env={**os.environ, **threads})
    assert process.returncode == 0, process.stderr
    return process, out


def test_a_run_prints_its_data_its_progress_and_its_result_and_writes_its_history(smoke_run):
    process, out = smoke_run
    assert {path.name for path in out.iterdir()} == {"history.json", "weights.safetensors"}
    history = json.loads((out / "history.json").read_text())
    accuracy, config = history["test_accuracy"], history["config"]
    assert 0.5 < accuracy <= 1  # it learned: ten classes, and these digits are easy
    assert (history["stand_in"], history["interrupted"], history["stuck_since_step"]) == (True, False, None)
    assert (config["profile"], config["recipe"], config["seed"]) == ("smoke", "adamw_alive", 3)
    assert history["command"].startswith("python -m nin_helpers train --profile smoke")
    first, written, last = process.stdout.splitlines()
    assert first.startswith("DIGITS (stand-in for Fashion-MNIST): ")
    assert written == f"{out / 'history.json'} and weights.safetensors written"
    assert last.startswith("DIGITS (stand-in") and f"test accuracy {accuracy:.4f}" in last
    assert "80/80" in process.stderr


def test_the_weights_load_back_and_answer_as_the_history_says(smoke_run, digits):
    _, out = smoke_run
    history = json.loads((out / "history.json").read_text())
    model = NiN(input_size=67)
    load_model(model, out / "weights.safetensors")
    found = evaluate(model, digits, TrainConfig(**history["config"]), history["precision"])
    assert found["test_images"] == history["test_images"]
    # another process may sum in another order, which may turn an image or two
    assert abs(found["test_accuracy"] - history["test_accuracy"]) * found["test_images"] <= 2


@pytest.fixture
def two_steps(monkeypatch):
    tiny = {"size": 67, "batch_size": 4, "num_steps": 2, "num_evaluations": 1, "test_limit": 8, "validation_limit": 4}
    monkeypatch.setitem(PROFILES, "smoke", tiny)


def run(*arguments):
    return command_line.main(["train", "--profile", "smoke", "--dataset", "digits", *map(str, arguments)])


def test_out_can_name_the_json_file(two_steps, tmp_path):
    assert run("--out", tmp_path / "seed3.json", "--batch-size", 5) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"seed3.json", "seed3.safetensors"}
    assert json.loads((tmp_path / "seed3.json").read_text())["config"]["batch_size"] == 5


def error_of(capsys, code):
    """Return the one line that a refused command leaves on standard error."""
    captured = capsys.readouterr()
    assert code == 2
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--profile", "nonsense"], "profile='nonsense' is unknown; there are full, quick"),
        (["--seed", "99999999999999999999"], "seed=99999999999999999999 must be a whole number of at least 0 and"),
        (["--precision", "fp16", "--device", "cpu"], "precision='fp16' is many times slower than FP32 on a CPU"),
        (["--recipe", "progressive"], "size=67 is too small for progressive_resizing=0.5"),
        (["--dataset", "mnist"], "name='mnist' must be"),
        (["--device", "cuda:97"], "device='cuda:97' cannot be used here"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_argument_is_one_line(capsys, tmp_path, arguments, message):
    line = error_of(capsys, run("--out", tmp_path / "out", *arguments))
    assert line.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dataset", [("--dataset", "fashion_mnist"), ()])
def test_missing_data_are_one_line(capsys, tmp_path, dataset):
    """Nor do the digits stand in for a folder that was named and has none."""
    places = ("--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"))
    line = error_of(capsys, command_line.main(["train", "--profile", "smoke", *dataset, *places]))
    assert line.startswith("error: no mirror gave train-images-idx3-ubyte.gz")


@pytest.mark.parametrize("out", ["file", "file/deeper", "file/history.json"])
def test_an_out_that_cannot_be_written_is_one_line_before_any_training(capsys, monkeypatch, tmp_path, out):
    monkeypatch.setattr("nin_helpers.training.loop.train", None)  # hours of training would be lost
    (tmp_path / "file").write_text("not a folder")
    line = error_of(capsys, run("--out", tmp_path / out))
    assert line.startswith(f"error: {tmp_path}/file") and "cannot be written" in line
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_weight_file_that_cannot_be_written_is_one_line_and_the_history_stays(capsys, two_steps, tmp_path):
    (tmp_path / "weights.safetensors").mkdir()
    assert run("--out", tmp_path) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {tmp_path}/weights.safetensors cannot be written: Is a directory"]
    assert "test_accuracy" in json.loads((tmp_path / "history.json").read_text())


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.skipif(os.name == "nt", reason="there os.kill ends the process")
def test_a_stopped_run_leaves_its_files_beside_the_finished_ones_and_goes_on(two_steps, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PROFILES["smoke"], "num_steps", 6)
    out = tmp_path / "run"
    assert run("--out", out, "--seed", 1, "--device", "cpu", "--precision", "fp32") == 0
    finished = files_of(out)

    class StopsInStep4(TrainStep):
        def __call__(self, *arguments):
            if self.schedule.last_epoch == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(*arguments)

    with monkeypatch.context() as stopped:
        stopped.setattr("nin_helpers.training.loop.TrainStep", StopsInStep4)
        assert run("--out", out, "--device", "cpu", "--precision", "fp32") == 130
    assert "stopped before its end; --resume goes on" in capsys.readouterr().out
    assert finished.items() <= files_of(out).items()
    assert files_of(out).keys() - finished.keys() == {"history.stopped.json", "weights.stopped.safetensors"}
    assert [int(path.name) for path in find_checkpoints(out / "checkpoints")][-1] == 4

    assert "add --resume" in error_of(capsys, run("--out", out))
    assert run("--out", out, "--device", "cpu", "--precision", "fp32", "--resume") == 0
    assert run("--out", tmp_path / "whole", "--device", "cpu", "--precision", "fp32") == 0
    assert files_of(out)["weights.safetensors"] == files_of(tmp_path / "whole")["weights.safetensors"]
    assert {path.name for path in out.iterdir()} == {"history.json", "weights.safetensors"}


def test_a_finished_run_is_not_trained_again_to_resume_it(two_steps, tmp_path, capsys, monkeypatch):
    assert run("--out", tmp_path) == 0
    before = files_of(tmp_path)
    monkeypatch.setattr("nin_helpers.training.loop.train", None)
    assert run("--out", tmp_path, "--resume") == 0
    assert "is of a run that is finished" in capsys.readouterr().out and files_of(tmp_path) == before
    line = error_of(capsys, run("--out", tmp_path, "--resume", "--seed", 7))
    assert "is of another run, which is finished: config={'seed': 0}, not {'seed': 7}; name another --out" in line


def test_ctrl_c_before_the_training_is_no_traceback(two_steps, tmp_path, capsys, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("nin_helpers.datasets.load_data", press)
    assert run("--out", tmp_path) == 130
    assert capsys.readouterr().err == "stopped\n"
