"""The search: what its file holds, that it goes on where it stopped, and that it never sees a test image."""

import json
import math
from dataclasses import replace
from unittest.mock import DEFAULT, Mock

import pytest
import torch

from nin_helpers.experiments import search, workers
from nin_helpers.experiments.results import read_result
from nin_helpers.experiments.runner import run_experiment
from nin_helpers.experiments.search import CHOICES, FIRST_SEED, LEARNING_RATES, make_study
from nin_helpers.provenance import environment
from nin_helpers.training import PROFILES, train


@pytest.fixture
def trials(monkeypatch, trained):
    """Let no trial compute, and return the list of the tasks that were to be trained.

    The accuracy that each is said to reach falls with the distance of its learning rate from 0.01.
    """
    pytest.importorskip("optuna")
    monkeypatch.setitem(PROFILES, "reduced", PROFILES["reduced"] | {"batch_size": 128})
    tasks = []

    def quick(task):
        tasks.append(task)
        accuracy = 1 - abs(math.log10(task.config.lr) + 2) / 4
        return {**task.planned(), "environment": environment(torch.device("cpu")), "validation_accuracy": accuracy}

    monkeypatch.setattr(search, "run_task", quick)
    return tasks


def seeds_of(tasks):
    return [task.config.seed - FIRST_SEED for task in tasks]


def test_each_trial_is_trained_as_its_settings_say_and_judged_by_all_held_out_images(trials, tmp_path):
    result = run_experiment("search", tmp_path, trials=6)
    assert seeds_of(trials) == list(range(6)) and read_result(tmp_path / "search.json") == result
    for run, task in zip(result["runs"], trials):
        settings, config = run["settings"], task.config
        assert task.case.held_out and config.test_limit is None
        assert settings.keys() == {"lr", *CHOICES} and run["seed"] == config.seed
        assert LEARNING_RATES[0] <= settings["lr"] <= LEARNING_RATES[1]
        assert all(settings[name] in values for name, values in CHOICES.items())
        assert (config.lr, config.batch_size, config.init) == tuple(settings[k] for k in ("lr", "batch_size", "init"))
        assert config.num_steps * config.batch_size == 2 * 128 and config.precision == "bf16"
        assert run["config"]["num_steps"] == config.num_steps


def test_a_second_call_goes_on_with_the_seeds_that_follow_and_optuna_knows_what_the_file_has(trials, tmp_path):
    first = run_experiment("search", tmp_path, trials=2)
    second = run_experiment("search", tmp_path, trials=5)
    assert seeds_of(trials) == list(range(5)) and second["runs"][:2] == first["runs"]
    assert len({run["settings"]["lr"] for run in second["runs"]}) == 5  # the sampler does not start over
    known = [(run["settings"], run["validation_accuracy"]) for run in second["runs"]]
    assert [(trial.params, trial.value) for trial in make_study(second["runs"]).trials] == known
    before = (tmp_path / "search.json").read_bytes()
    assert run_experiment("search", tmp_path, trials=3) == second
    assert len(trials) == 5 and (tmp_path / "search.json").read_bytes() == before


def test_a_trial_is_judged_on_all_held_out_images_and_sees_no_test_image(trained, few, monkeypatch, tmp_path):
    pytest.importorskip("optuna")
    data, histories = replace(few, test=few.test[:0]), []

    def spying(model, given, config, **options):
        assert torch.equal(given.test.images, data.validation.images)
        histories.append(train(model, given, replace(config, num_steps=2, batch_size=4), **options))
        return histories[-1]

    monkeypatch.setattr(workers, "load_data", lambda *_: data)
    monkeypatch.setattr(workers, "train", spying)
    monkeypatch.setitem(PROFILES, "reduced", PROFILES["reduced"] | {"batch_size": 128, "test_limit": 4})
    (run,) = run_experiment("search", tmp_path, trials=1, precision="fp32")["runs"]
    assert run["validation_accuracy"] == histories[0]["test_accuracy"]
    assert run["validation_images"] == len(few.validation)


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "stop button"])
def test_trials_before_an_end_are_kept_and_the_rest_is_made_up_for(trials, monkeypatch, tmp_path, error):
    third_fails = Mock(wraps=search.run_task, side_effect=[DEFAULT, DEFAULT, error])
    with monkeypatch.context() as broken, pytest.raises(type(error)):
        broken.setattr(search, "run_task", third_fails)
        run_experiment("search", tmp_path, trials=4)
    assert len(read_result(tmp_path / "search.json")["runs"]) == 2
    result = run_experiment("search", tmp_path, trials=4)
    assert seeds_of(trials) == [0, 1, 2, 3] and len(result["runs"]) == 4


def test_several_jobs_run_as_many_trials_and_repeat_no_seed_where_a_later_one_ended_first(trials, tmp_path):
    assert len(run_experiment("search", tmp_path, trials=7, jobs=3)["runs"]) == 7
    assert sorted(seeds_of(trials)) == list(range(7))
    path = tmp_path / "search.json"
    content = json.loads(path.read_text())
    del content["runs"][0]
    path.write_text(json.dumps(content))
    runs = run_experiment("search", tmp_path, trials=8)["runs"]
    assert sorted(run["seed"] - FIRST_SEED for run in runs) == list(range(8))


def test_a_file_of_another_search_is_refused(trials, tmp_path):
    run_experiment("search", tmp_path, trials=1)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/search.json holds runs of precision='bf16', not 'fp32'"):
        run_experiment("search", tmp_path, precision="fp32")
    assert len(trials) == 1
