"""The benchmark itself, at a size that takes seconds: that each way to train runs, and what is written."""

import contextlib
import os
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import numpy
import pytest
import torch
from processes import SERVED

from benchmarks import __main__ as command
from benchmarks import pipelines, turns
from nin_helpers.datasets import LabelledImages, load_data
from nin_helpers.experiments.results import new_result, read_result
from nin_helpers.nin import NiN
from nin_helpers.resources import count_training_flops
from nin_helpers.throughput import Case

CONFIG = {
    "size": 67, "batch_size": 4, "steps": 2, "copies": 1, "pipeline": "ours", "precision": "fp32", "compiled": False,
    "num_workers": 0,
}  # fmt: skip
SETTINGS = {**CONFIG, "device": "cpu"}


@pytest.mark.parametrize("pipeline", [pipelines.textbook, pipelines.ours, pipelines.compute_only])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_pipeline_trains_until_it_is_stopped(digits, pipeline, precision):
    pause = Mock(side_effect=[None, KeyboardInterrupt])
    with contextlib.suppress(KeyboardInterrupt):  # which ours takes for the stop button
        pipeline({**SETTINGS, "precision": precision}, digits, pause)
    assert pause.call_count == 2 and all(call.args[0] > 0 for call in pause.call_args_list)


def test_ours_is_train_on_as_many_copies_of_the_data(digits, monkeypatch):
    train = Mock()
    monkeypatch.setattr(pipelines, "train", train)
    pipelines.ours({**SETTINGS, "copies": 3}, digits, None)
    _, data, config, _ = train.call_args.args
    assert len(data.train) == 3 * len(digits.train)
    assert torch.equal(data.train.images[-5:], digits.train.images[-5:])
    assert config.num_steps // config.num_evaluations == 2 and (config.size, config.batch_size) == (67, 4)


def test_the_textbooks_pictures_are_those_that_torchvision_makes(digits):
    split = LabelledImages(digits.train.images[:3], digits.train.labels[:3])
    pictures = pipelines.Pictures(split, None)
    picture, label = pictures[1]
    assert numpy.array_equal(picture, split.images[1, 0]) and label == split.labels[1]


@pytest.mark.skipif("NIN_DATA" not in os.environ, reason="needs Fashion-MNIST")
def test_the_command_measures_each_case_in_turns_and_writes_one_file(tmp_path, monkeypatch, capsys):
    for name, fewer in {"WORKERS": (0,), "BATCHES": (8,), "COPIES": (2,), "EVERY": 2}.items():
        monkeypatch.setattr(turns, name, fewer)
    monkeypatch.setattr(turns, "multiprocessing", SimpleNamespace(get_context=lambda _: SERVED))  # "spawn", but faster
    data = load_data("fashion_mnist")
    few = replace(data, validation=data.validation[:50], test=data.test[:50])
    monkeypatch.setattr(turns, "load_data", lambda *_: few)  # here; the processes that measure take all
    monkeypatch.setattr(turns, "pick_precision", lambda name, device: "fp32")  # half as many processes
    options = ["--size", "67", "--batch-size", "4", "--steps", "1", "--rounds", "1", "--device", "cpu", "--until", "0"]
    assert command.main([*options, "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("benchmark_") and str(path) in capsys.readouterr().out
    result = read_result(path)
    cases = [Case("textbook"), Case("ours"), Case("compute_only")]
    assert [(run["repeat"], run["config"]) for run in result["runs"]] == [
        (0, {**CONFIG, "steps": 1, **case._asdict()}) for case in cases
    ]
    assert all(run["peak_bytes"] > 0 and "first_seconds" in run for run in result["runs"])
    assert [limit["config"]["precision"] for limit in result["limits"]] == ["fp32"]
    assert result["flops_per_image"] == count_training_flops(NiN(input_size=67), (1, 1, 67, 67))
    (until,) = result["until"]
    assert until["images"] == 2 * 4 and until["seconds"] > 0 and until["config"]["recipe"] == "modern"
    assert [(run["config"]["batch_size"], run["config"]["copies"]) for run in result["growth"]] == [(8, 1), (4, 2)]

    later = [*options, "--rounds", "0", "--no-growth", "--out", str(tmp_path)]
    with monkeypatch.context() as stopped:
        stopped.setattr(turns, "train", lambda *args, **kwargs: {"evaluations": [], "interrupted": True})
        assert command.main(later) == 130
    assert read_result(path) == result
    assert command.main([*later, "--until", "0.01"]) == 0
    again = read_result(path)
    earlier, added = again.pop("until")
    assert earlier == result["until"][0] and added["accuracy"] == 0.01 and list(tmp_path.iterdir()) == [path]
    assert "0.01 on held-out images: " in capsys.readouterr().out
    assert result.pop("until")[0]["accuracy"] == 0 and again == result
    assert command.main([*later, "--batch-size", "5"]) == 2
    assert "'batch_size': 4" in capsys.readouterr().err


@pytest.mark.parametrize("compile", [False, True])
def test_compiled_cases_come_on_request_in_the_fastest_precision(compile):
    configs = turns._configs({**CONFIG, "precision": "bf16"}, compile)
    found = [(config["pipeline"], config["precision"]) for config in configs if config["compiled"]]
    assert found == ([("ours", "bf16"), ("compute_only", "bf16")] if compile else [])
    assert [config["precision"] for config in configs if config["pipeline"] == "textbook"] == ["fp32"] * 3


class FakeTurns(contextlib.ExitStack):
    """Turns of a process that does nothing; a compiled one ends in its second turn."""

    def __init__(self, config, device, root):
        super().__init__()
        self.config, self.count, self.rate = config, 0, (1.0, 1.0) if config["pipeline"] == "limits" else 1.0

    def wait_until_ready(self):
        """It is at once."""

    def turn(self):
        self.count += 1
        if self.config["compiled"] and self.count == 2:
            raise turns.ProcessEnded("ended")
        return self.rate, 1, 0.0


@pytest.mark.parametrize("rounds", [2, 3])  # what comes last is then the one that ends, and others
def test_what_cannot_be_compiled_ends_no_benchmark(tmp_path, monkeypatch, capsys, rounds):
    monkeypatch.setattr(turns, "Turns", FakeTurns)
    result, path = {**new_result("benchmark", "fashion_mnist"), "limits": []}, tmp_path / "result.json"
    configs = turns._configs(CONFIG, compile=True)
    turns._compare_in_turns(result, configs, rounds, torch.device("cpu"), None, path)
    assert result == read_result(path)
    expected = [config for config in configs if config["pipeline"] != "limits" and not config["compiled"]]
    assert [run["config"] for run in result["runs"]] == rounds * expected
    assert "ended: going on without torch.compile" in capsys.readouterr().err


def test_no_rounds_need_a_file_to_go_on_with(tmp_path, digits, monkeypatch, capsys):
    monkeypatch.setattr(turns, "load_data", lambda *_: digits)
    assert command.main(["--rounds", "0", "--device", "cpu", "--out", str(tmp_path)]) == 2
    assert "which is missing; measure without it first" in capsys.readouterr().err


@pytest.mark.parametrize("bad", ["--rounds=-1", "--size=0", "--device=cuda:97", "--steps=0", "--until=1"])
def test_bad_options_are_one_line(tmp_path, capsys, bad):
    assert command.main([bad, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {bad[2:].partition('=')[0]}=") and error.count("\n") == 1


def test_without_fashion_mnist_it_says_so(tmp_path, capsys):
    assert command.main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "no mirror gave" in capsys.readouterr().err
