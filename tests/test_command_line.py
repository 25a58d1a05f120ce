"""The command `experiment`: what it passes on, what it refuses in one line, and how it ends."""

from pathlib import Path

import pytest

from nin_helpers import __main__ as command_line
from nin_helpers import experiments
from nin_helpers.experiments.specs import EXPERIMENTS, options_of


@pytest.fixture
def calls(monkeypatch):
    """Let no experiment run, and return the list of (name, out, options) of those that were to."""
    calls = []
    monkeypatch.setattr(experiments, "run_experiment", lambda name, out, **options: calls.append((name, out, options)))
    return calls


@pytest.mark.parametrize(
    "given, recipe",
    [([], "adamw_alive"), (["--folder", "f"], "modern"), (["--folder", "f", "--recipe", "adamw_alive"], "adamw_alive")],
)
def test_few_pictures_of_ones_own_train_with_batch_normalisation_unless_told_otherwise(given, recipe):
    options = command_line._parser().parse_args(["train", *given])
    assert command_line._config(options).recipe == recipe


def run(*arguments):
    return command_line.main(["experiment", *arguments])


def test_an_experiment_needs_no_option_and_gets_those_that_are_given(calls):
    assert run("heads") == 0
    given = {"profile": "smoke", "seeds": 3, "device": "cuda", "precision": "auto", "jobs": 2, "data": "d"}
    options = [text for option, value in given.items() for text in (f"--{option}", str(value))]
    assert run("heads", *options, "--out", "o") == 0
    assert calls == [("heads", Path("results"), {}), ("heads", Path("o"), given)]


def test_all_that_want_no_gpu_are_measured_in_order_each_with_the_options_that_it_takes(calls):
    assert run("--all", "--seeds", "2", "--trials", "5", "--device", "cuda") == 0
    given = {"seeds": 2, "trials": 5, "device": "cuda"}
    assert calls == [
        (name, Path("results"), {key: given[key] for key in given.keys() & options_of(name)})
        for name in EXPERIMENTS
        if name != "full_size"  # which wants a GPU
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "name an experiment, or --all of them: recipes, "),
        (["recipes", "--all"], "name an experiment, or --all of them: recipes, "),
        (["nonsense"], "name='nonsense' is no experiment; there are recipes, "),
        (
            ["first_steps", "--profile", "nonsense"],
            "profile='nonsense' is no option of experiment 'first_steps', which",
        ),
        (["--all", "--repeats", "0"], "repeats=0 must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_measured(calls, capsys, arguments, message):
    assert run(*arguments) == 2 and calls == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize(("error", "code"), [(OSError("full"), 2), (KeyboardInterrupt(), 130)], ids=str)
def test_all_end_with_the_one_that_ends(calls, monkeypatch, error, code):
    def ending(name, out, **options):
        calls.append(name)
        raise error

    monkeypatch.setattr(experiments, "run_experiment", ending)
    assert run("--all") == code and len(calls) == 1


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["train", "--batch-size", "many"]], ids=str)
def test_what_the_parser_refuses_ends_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2 and "error: " in capsys.readouterr().err
