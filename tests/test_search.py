"""The search: what its file holds, that it goes on where it stopped, and that it never sees a test image.

Each trial here is two steps on the digits, or none at all, in this process, as in test_experiments.py.
"""

import json
import math
import sys
from dataclasses import replace

import pytest

from nin_helpers import __main__ as command_line
from nin_helpers import experiments, search
from nin_helpers.datasets import DataError
from nin_helpers.experiments import run_search
from nin_helpers.experiments.search import FIRST_SEED, LEARNING_RATES
from nin_helpers.training import PROFILES
from nin_helpers.training.config import CHOICES

TINY = {"size": 67, "batch_size": 128, "num_steps": 2, "num_evaluations": 6, "test_limit": 8, "validation_limit": 4}
real_load_data, real_train = search.load_data, search.train


@pytest.fixture
def data(monkeypatch, digits, in_this_process):
    """Make a search small: eight held-out digits, and no process of its own."""
    small = replace(digits, validation=digits.validation[:8])
    for module in (experiments, search):
        monkeypatch.setattr(module, "load_data", lambda name, root=None: small)
    monkeypatch.setattr(experiments, "DATA", small, raising=False)
    monkeypatch.setitem(PROFILES, "reduced", TINY)
    return small


@pytest.fixture
def trained(monkeypatch, data):
    """Let no trial compute, and return the list of (data, config) that were to be trained.

    The accuracy that each is said to reach falls with the distance of its learning rate from 0.01.
    """
    pytest.importorskip("optuna")
    calls = []

    def quick_train(model, data, config, on_evaluation):
        calls.append((data, config))
        point = {"validation_accuracy": 1 - abs(math.log10(config.lr) + 2) / 4, "train_loss": 0.5}
        return {"points": [point], "dead_classes": 0, "training_seconds": 0.1}

    monkeypatch.setattr(search, "train", quick_train)
    return calls


def seeds_of(trained):
    return [config.seed - FIRST_SEED for _, config in trained]


def test_each_trial_is_run_once_and_the_file_holds_it(trained, tmp_path):
    result = run_search(trials=4, out=tmp_path)
    assert seeds_of(trained) == [0, 1, 2, 3]
    assert [run["seed"] for run in result["runs"]] == [FIRST_SEED + number for number in range(4)]
    assert json.loads((tmp_path / "search.json").read_text()) == result
    assert [path.name for path in tmp_path.iterdir()] == ["search.json"]
    told = ("experiment", "profile", "precision", "device", "threads")
    assert [result[key] for key in told] == ["search", "reduced", "fp32", "cpu", 1]


def test_a_trial_is_trained_as_its_settings_say_and_within_what_may_be_chosen(trained, tmp_path):
    result = run_search(trials=6, out=tmp_path, precision="bf16")
    for run, (_, config) in zip(result["runs"], trained):
        assert run.keys() == {
            "settings", "seed", "validation_accuracy", "train_loss", "dead_classes", "training_seconds",
        }  # fmt: skip
        settings = run["settings"]
        assert settings.keys() == {"lr", *CHOICES}
        assert LEARNING_RATES[0] <= settings["lr"] <= LEARNING_RATES[1]
        assert all(settings[name] in values for name, values in CHOICES.items())
        assert config == experiments.searched_config(
            "reduced",
            settings,
            seed=run["seed"],
            num_evaluations=1,
            validation_limit=None,
            device="cpu",
            precision="bf16",
        )


def test_no_trial_is_given_a_test_image(trained, data, tmp_path):
    run_search(trials=2, out=tmp_path)
    for given, config in trained:
        assert given.test is given.validation is data.validation
        assert given.train is data.train and config.validation_limit is None


def test_a_real_trial_is_judged_on_all_held_out_images(monkeypatch, data, tmp_path):
    pytest.importorskip("optuna")
    histories = []

    def spying_train(model, data, config, **options):
        histories.append(real_train(model, data, replace(config, num_steps=2, batch_size=4), **options))
        return histories[-1]

    monkeypatch.setattr(search, "train", spying_train)
    (run,) = run_search(trials=1, out=tmp_path)["runs"]
    (history,) = histories
    assert run["validation_accuracy"] == history["evaluations"][-1]["validation_accuracy"]
    assert run["train_loss"] == history["evaluations"][-1]["train_loss"]
    # the held-out images twice over: in the history's last point, and where train looks for test images
    assert history["test_accuracy"] == run["validation_accuracy"] and run["validation_accuracy"] * 8 % 1 == 0


def test_a_second_call_goes_on_with_the_seeds_that_follow(trained, tmp_path):
    first = run_search(trials=2, out=tmp_path)
    second = run_search(trials=5, out=tmp_path)
    assert seeds_of(trained) == [0, 1, 2, 3, 4]
    assert second["runs"][:2] == first["runs"] and len(second["runs"]) == 5
    rates = [run["settings"]["lr"] for run in second["runs"]]
    assert len(set(rates)) == 5  # the sampler does not start over with what it tried first


@pytest.mark.parametrize("trials", [1, 3])
def test_nothing_is_run_again_nor_lost_where_there_are_enough_trials(trained, tmp_path, trials):
    first = run_search(trials=3, out=tmp_path)
    before = (tmp_path / "search.json").read_bytes()
    assert run_search(trials=trials, out=tmp_path) == first
    assert len(trained) == 3 and (tmp_path / "search.json").read_bytes() == before


def test_optuna_is_told_what_the_file_has(trained, tmp_path):
    runs = run_search(trials=3, out=tmp_path)["runs"]
    study = search.make_study(runs)
    assert [(trial.params, trial.value) for trial in study.trials] == [
        (run["settings"], run["validation_accuracy"]) for run in runs
    ]
    assert study.best_trial.params == max(runs, key=lambda run: run["validation_accuracy"])["settings"]


def test_after_the_random_start_trials_come_closer_to_the_best(trained, tmp_path):
    runs = run_search(trials=60, out=tmp_path)["runs"]
    scores = [run["validation_accuracy"] for run in runs]
    assert sum(scores[-15:]) > sum(scores[:15])


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "stop button"])
def test_trials_before_an_end_are_kept_and_the_rest_is_made_up_for(trained, monkeypatch, tmp_path, error):
    working = search.train

    def failing_train(model, data, config, on_evaluation):
        if config.seed == FIRST_SEED + 2:
            raise error
        return working(model, data, config, on_evaluation)

    monkeypatch.setattr(search, "train", failing_train)
    with pytest.raises(type(error)):
        run_search(trials=4, out=tmp_path)
    assert len(json.loads((tmp_path / "search.json").read_text())["runs"]) == 2
    monkeypatch.setattr(search, "train", working)
    result = run_search(trials=4, out=tmp_path)
    assert seeds_of(trained) == [0, 1, 2, 3] and len(result["runs"]) == 4


def test_a_search_of_several_jobs_that_stopped_repeats_no_seed(trained, tmp_path):
    run_search(trials=3, out=tmp_path)
    path = tmp_path / "search.json"
    result = json.loads(path.read_text())
    del result["runs"][0]  # as where two jobs ran and the later trial ended first
    path.write_text(json.dumps(result))
    seeds = [run["seed"] - FIRST_SEED for run in run_search(trials=4, out=tmp_path)["runs"]]
    assert len(set(seeds)) == 4


def test_several_jobs_run_as_many_trials(trained, tmp_path):
    result = run_search(trials=7, jobs=3, out=tmp_path)
    assert sorted(seeds_of(trained)) == list(range(7)) and len(result["runs"]) == 7


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"trials": 0}, r"^trials=0 must be"),
        ({"trials": 2.5}, r"^trials=2.5 must be"),
        ({"jobs": 0}, r"^jobs=0 must be"),
        ({"profile": "nonsense"}, r"^profile='nonsense' is unknown"),
        ({"profile": "full"}, r"^profile='full' counts epochs"),
        ({"device": "cuda:97"}, r"^device='cuda:97' cannot be used here"),
        ({"precision": "fp8"}, r"^precision='fp8' must be one of"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_bad_argument_is_named_before_anything_is_run(trained, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_search(**{"out": tmp_path, **arguments})
    assert trained == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key, value, other", [("profile", "study", "reduced"), ("precision", "bf16", "fp32")])
def test_a_file_of_another_search_is_refused_and_stays(trained, tmp_path, key, value, other):
    run_search(trials=1, out=tmp_path)
    before = (tmp_path / "search.json").read_bytes()
    with pytest.raises(ValueError, match=rf"^{tmp_path}/search.json holds runs of {key}='{other}', not '{value}'"):
        run_search(trials=2, out=tmp_path, **{key: value})
    assert len(trained) == 1 and (tmp_path / "search.json").read_bytes() == before


def test_without_fashion_mnist_there_is_no_search_and_no_file(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(search, "load_data", real_load_data)
    with pytest.raises(DataError):
        run_search(root=tmp_path / "data", out=tmp_path / "results")
    assert trained == [] and not (tmp_path / "results").exists()


def test_without_optuna_one_is_told_what_to_install(monkeypatch, capsys, data, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    message = "a search needs Optuna, which is not installed: pip install 'nin_helpers[search]'"
    with pytest.raises(ValueError) as caught:
        run_search(trials=1, out=tmp_path)
    assert str(caught.value) == message
    assert command_line.main(["experiment", "search", "--trials", "1", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert list(tmp_path.iterdir()) == []
