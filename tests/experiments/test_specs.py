"""What an experiment is asked for: the options that it takes, and no other."""

import sys

import pytest

from nin_helpers.experiments.specs import EXPERIMENTS, OPTIONS, options_of, specify


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_takes_the_options_that_it_has_and_no_other(name):
    taken = options_of(name)
    assert taken and EXPERIMENTS[name].about
    for option in OPTIONS:
        if option in taken:
            assert getattr(specify(name, **{option: 1}), option) == 1
        else:
            with pytest.raises(ValueError, match=rf"^{option}='x' is no option of experiment '{name}', which takes "):
                specify(name, **{option: "x"})


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("recipes", {"seeds": 0}, "seeds=0 must be a whole number of at least 1"),
        ("recipes", {"jobs": 0}, "jobs=0 must be a whole number of at least 1"),
        ("search", {"trials": 0}, "trials=0 must be a whole number of at least 1"),
        ("speed", {"repeats": 0}, "repeats=0 must be a whole number of at least 1"),
        ("nonsense", {}, f"name='nonsense' is no experiment; there are {', '.join(EXPERIMENTS)}$"),
    ],
)
def test_what_no_experiment_has_is_named(name, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        specify(name, **options)


def test_without_optuna_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"Optuna, which is not installed: pip install 'nin_helpers\[search\]'$"):
        specify("search")


def test_what_is_chosen_from_an_experiment_comes_after_it():
    names = list(EXPERIMENTS)
    assert names.index("search") < names.index("tuned")
