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
    "name, option", [("recipes", "seeds"), ("recipes", "jobs"), ("search", "trials"), ("speed", "repeats")]
)
def test_what_is_counted_is_at_least_one(name, option):
    with pytest.raises(ValueError, match=rf"^{option}=0 must be a whole number of at least 1"):
        specify(name, **{option: 0})


def test_an_experiment_that_there_is_not_is_named():
    with pytest.raises(ValueError, match=f"^name='nonsense' is no experiment; there are {', '.join(EXPERIMENTS)}$"):
        specify("nonsense")


def test_without_optuna_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"Optuna, which is not installed: pip install 'nin_helpers\[search\]'$"):
        specify("search")


def test_what_is_chosen_from_an_experiment_comes_after_it():
    names = list(EXPERIMENTS)
    assert names.index("search") < names.index("tuned")
