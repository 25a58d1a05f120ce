"""What is measured besides the accuracy of trained networks: memory, the time of a step, the first steps."""

from unittest.mock import Mock

import pytest
import torch
from torch import nn

from nin_helpers.experiments import measurements
from nin_helpers.experiments.measurements import first_steps
from nin_helpers.experiments.results import read_result
from nin_helpers.experiments.runner import run_experiment
from nin_helpers.experiments.specs import EXPERIMENTS, FirstSteps, Memory, StepTimes
from nin_helpers.nin import NiN
from nin_helpers.preprocessing import preprocess
from nin_helpers.training import make_config


@pytest.fixture
def measured(monkeypatch):
    """Put two small networks in the place of the four, and return the list of what was measured."""
    calls = []

    def measured_memory(model, input_shape, training=False, device="cpu"):
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        calls.append((model.out_features, input_shape, training, device))
        return 1000 + len(calls)

    monkeypatch.setattr(measurements, "NETWORKS", {"one": lambda: nn.Linear(2, 1), "two": lambda: nn.Linear(2, 2)})
    monkeypatch.setattr(measurements, "measured_memory", measured_memory)
    monkeypatch.setitem(EXPERIMENTS, "tiny", Memory("a test", batch_size=8, repeats=1))
    return calls


def test_each_network_is_measured_in_training_and_prediction_once(measured, tmp_path):
    once = [(features, (8, 1, 224, 224), training, "cpu") for features in (1, 2) for training in (True, False)]
    first = run_experiment("tiny", tmp_path)
    assert measured == once and read_result(tmp_path / "tiny.json") == first
    assert [(run["network"], run["pass"], run["repeat"], run["bytes"]) for run in first["runs"]] == [
        ("one", "training", 0, 1001), ("one", "prediction", 0, 1002),
        ("two", "training", 0, 1003), ("two", "prediction", 0, 1004),
    ]  # fmt: skip
    second = run_experiment("tiny", tmp_path, repeats=2)
    assert measured == once * 2 and second["runs"][:4] == first["runs"]


def test_what_was_measured_before_an_error_is_kept(measured, monkeypatch, tmp_path):
    with monkeypatch.context() as broken, pytest.raises(MemoryError):
        broken.setattr(measurements, "measured_memory", Mock(side_effect=[1, 2, 3, MemoryError]))
        run_experiment("tiny", tmp_path)
    assert [run["bytes"] for run in run_experiment("tiny", tmp_path)["runs"]] == [1, 2, 3, 1001]


def test_steps_are_timed_in_turns_and_begun_anew_where_turns_are_missing(trained, monkeypatch, tmp_path):
    monkeypatch.setitem(EXPERIMENTS, "times", StepTimes("a test", ("tiny",), repeats=2))
    result = run_experiment("times", tmp_path)
    turns = [("tiny: b", 0), ("tiny: a", 0), ("tiny: b", 1), ("tiny: a", 1)]
    assert [(run["case"], run["repeat"]) for run in result["runs"]] == turns
    assert all(run["seconds"] > 0 for run in result["runs"]) and read_result(tmp_path / "times.json") == result
    assert run_experiment("times", tmp_path) == result
    more = run_experiment("times", tmp_path, repeats=3)["runs"]
    assert len(more) == 6 and not {run["seconds"] for run in more} & {run["seconds"] for run in result["runs"]}


def test_first_steps_tell_the_states_of_one_training(digits, monkeypatch):
    monkeypatch.setattr(measurements, "FIRST_STEPS", (0, 1, 3))
    states = list(first_steps(digits, "alive", 0.01))
    assert [state["step"] for state in states] == [0, 1, 3]
    assert all(len(state["spread"]) == 12 and 0 < state["live"] <= 1 and state["gradient"] > 0 for state in states)
    config = make_config("reduced", "sgd_default", init="alive")
    torch.manual_seed(0)
    x = preprocess(digits.validation.images[:64], config.size, 0.286, 0.353)
    model, maps = NiN(**config.model_options()).eval(), []
    model.block4.register_forward_hook(lambda block, x, output: maps.append(output))
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(x), digits.validation.labels[:64]).item()
    assert states[0]["loss"] == pytest.approx(loss, rel=1e-4)
    assert states[0]["spread"]["block4.5"] == pytest.approx(maps[0].std(dim=0).square().mean().sqrt().item(), rel=1e-3)


def test_first_steps_that_diverge_are_none(digits, monkeypatch):
    monkeypatch.setattr(measurements, "FIRST_STEPS", (0, 4))
    last = list(first_steps(digits, "kaiming", 1e6))[-1]
    assert last["loss"] is None or last["live"] < 0.5  # not finite, or all dead


def test_first_steps_are_recorded_once(few, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(measurements, "first_steps", lambda data, *case: calls.append(case) or iter([{"step": 0}]))
    monkeypatch.setitem(EXPERIMENTS, "tiny", FirstSteps("a test", inits=("alive", "xavier"), rates=(0.1,)))
    result = run_experiment("tiny", tmp_path)
    assert run_experiment("tiny", tmp_path) == result == read_result(tmp_path / "tiny.json")
    assert calls == [("alive", 0.1, 0), ("xavier", 0.1, 0)]
    assert [(run["init"], run["config"]["init"], run["states"]) for run in result["runs"]] == [
        (init, init, [{"step": 0}]) for init in ("alive", "xavier")
    ]
