"""A run is never repeated nor lost, and a file holds no runs that do not belong together."""

import json
from unittest.mock import DEFAULT, Mock

import pytest
from repository import ROOT

from nin_helpers.datasets import DataError, load_data
from nin_helpers.experiments import measurements, runner, workers
from nin_helpers.experiments.results import read_result
from nin_helpers.experiments.runner import run_experiment
from nin_helpers.experiments.specs import EXPERIMENTS

ALL = [("sgd_xavier", 0), ("adamw_alive", 0), ("sgd_xavier", 1), ("adamw_alive", 1)]


def test_each_case_is_run_with_each_seed_and_the_file_holds_the_result(trained, tmp_path):
    result = run_experiment("tiny", tmp_path, precision="bf16")
    assert trained == ALL
    assert [(run["case"], run["seed"]) for run in result["runs"]] == [("b", 0), ("b", 1), ("a", 0), ("a", 1)]
    assert read_result(tmp_path / "tiny.json") == result
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]
    for run in result["runs"]:
        assert (run["config"]["profile"], run["config"]["size"], run["config"]["precision"]) == ("reduced", 67, "bf16")
        assert (run["environment"]["device"], run["environment"]["threads"]) == ("cpu", 1)


def test_a_file_that_is_complete_is_left_alone_byte_for_byte(trained, monkeypatch, capsys, tmp_path):
    first = run_experiment("tiny", tmp_path)
    before = (tmp_path / "tiny.json").read_bytes()
    monkeypatch.setattr(workers, "environment", lambda device: {"command": "another"})
    assert run_experiment("tiny", tmp_path) == first == run_experiment("tiny", tmp_path, seeds=1)
    assert trained == ALL and (tmp_path / "tiny.json").read_bytes() == before
    assert "has all of these runs already; name another out" in capsys.readouterr().out


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_recorded_run_is_made_again_and_each_agrees_with_what_its_experiment_says(name, monkeypatch):
    path = ROOT / "results" / f"{name}.json"
    if not path.exists():
        pytest.skip("the package is installed without a checkout")
    before = path.read_bytes()
    monkeypatch.setattr(runner, "worker_pool", None)  # a run would end here
    run_experiment(name, path.parent)
    assert path.read_bytes() == before


def test_more_seeds_run_only_the_new_ones_and_each_run_says_where_it_was_made(trained, monkeypatch, tmp_path):
    first = run_experiment("tiny", tmp_path, seeds=1)
    real = workers.environment
    monkeypatch.setattr(workers, "environment", lambda device: real(device) | {"date": "2030-01-01"})
    second = run_experiment("tiny", tmp_path)
    assert trained == ALL
    assert [run for run in second["runs"] if run["seed"] == 0] == first["runs"]
    assert {run["environment"]["date"] == "2030-01-01" for run in second["runs"] if run["seed"] == 1} == {True}
    packed = json.loads((tmp_path / "tiny.json").read_text())
    assert len(packed["environments"]) == len(packed["configs"]) == 2


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "stop button"])
def test_runs_before_an_end_are_kept_and_the_rest_is_made_up_for(trained, monkeypatch, tmp_path, error):
    third_fails = Mock(wraps=workers.train, side_effect=[DEFAULT, DEFAULT, *[error] * 38])
    with monkeypatch.context() as broken, pytest.raises(type(error)):
        broken.setattr(workers, "train", third_fails)
        run_experiment("tiny", tmp_path, seeds=20)
    assert len(trained) == 2  # those that waited are not begun
    kept = read_result(tmp_path / "tiny.json")["runs"]
    result = run_experiment("tiny", tmp_path)
    assert trained == ALL and all(run in result["runs"] for run in kept) and len(kept) == 2


@pytest.mark.parametrize(
    "table, key, found, wanted",
    [
        ("configs", "precision", "bf16", "fp32"),
        ("configs", "size", 99, 67),  # where somebody has edited the profile
        ("configs", "change", "no lift", None),  # or the case
        ("environments", "device", "cuda", "cpu"),
    ],
)
def test_a_file_of_other_runs_is_refused_and_stays(trained, tmp_path, table, key, found, wanted):
    run_experiment("tiny", tmp_path, seeds=1)
    path = tmp_path / "tiny.json"
    content = json.loads(path.read_text())
    content[table][0][key] = found
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"^{path} holds runs of {key}={found!r}, not {wanted!r}; name another out"):
        run_experiment("tiny", tmp_path)
    assert trained == ALL[:2] and path.read_bytes() == before


@pytest.mark.parametrize("name, value", [("precision", "fp16"), ("device", "cuda:97"), ("profile", "no")])
def test_what_cannot_be_used_is_named_before_anything_is_run(trained, tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"^{name}={value!r} "):
        run_experiment("tiny", tmp_path / "out", **{name: value})
    assert trained == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["tiny", "search", "first_steps"])
def test_without_fashion_mnist_there_is_no_experiment_and_no_file(trained, monkeypatch, tmp_path, name):
    for module in (workers, measurements):
        monkeypatch.setattr(module, "load_data", load_data)
    with pytest.raises(DataError):
        run_experiment(name, tmp_path / "results", data=str(tmp_path / "data"))
    assert trained == [] and not (tmp_path / "results").exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_run(trained, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"tiny.json cannot be written"):
        run_experiment("tiny", tmp_path / "file")
    assert trained == []
