"""The command line: one whole run as a reader starts it, and one clear line for all that cannot be used."""

import re
from pathlib import Path

import pytest

from nin_helpers import __main__ as command_line
from nin_helpers.experiments import EXPERIMENTS


def error_of(capsys, code):
    """Return the one line that a refused command leaves on standard error."""
    captured = capsys.readouterr()
    assert code == 2
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    "arguments, message",
    [(["nonsense"], "name='nonsense' is unknown"), (["recipes", "--seeds", "0"], "seeds=0 must be")],
)
def test_a_bad_experiment_is_one_line(capsys, tmp_path, arguments, message):
    line = error_of(capsys, command_line.main(["experiment", *arguments, "--out", str(tmp_path)]))
    assert line.startswith(f"error: {message}")


def calls_of(monkeypatch, name):
    """Put a list of (arguments, options) in the place of a function, and return it."""
    calls = []
    monkeypatch.setattr(name, lambda *arguments, **options: calls.append((arguments, options)))
    return calls


OPTIONS = {
    "--profile": "smoke", "--seeds": "3", "--trials": "5", "--jobs": "2", "--data": "d", "--out": "o",
    "--device": "cuda", "--precision": "bf16",
}  # fmt: skip
PLACES = {"out": Path("o"), "device": "cuda"}
SETTINGS = {**PLACES, "jobs": 2, "root": "d", "precision": "bf16"}


@pytest.mark.parametrize(
    "name, function, arguments, options",
    [
        ("recipes", "experiments.run_experiment", ("recipes", "smoke", 3), SETTINGS),
        ("heads", "experiments.run_experiment", ("heads", "smoke", 3), SETTINGS),
        ("search", "search.run_search", ("smoke", 5), SETTINGS),
        ("resources", "experiments.run_resources", (3,), PLACES),
        ("speed", "experiments.run_speed", (3,), {**PLACES, "profile": "smoke", "precision": "bf16"}),
    ],
)
def test_experiment_passes_its_options_on(monkeypatch, name, function, arguments, options):
    calls = {
        each: calls_of(monkeypatch, f"nin_helpers.{each}")
        for each in (
            "experiments.run_experiment",
            "experiments.run_resources",
            "experiments.run_speed",
            "search.run_search",
        )
    }
    assert command_line.main(["experiment", name, *(word for option in OPTIONS.items() for word in option)]) == 0
    assert calls.pop(function) == [(arguments, options)]
    assert not any(calls.values())


@pytest.mark.parametrize(
    "name, function, arguments",
    [
        ("cure", "experiments.run_experiment", ("cure", "reduced")),
        ("search", "search.run_search", ("reduced", 60)),
    ],
)
def test_an_experiment_runs_on_the_cpu_in_fp32_unless_told_otherwise(monkeypatch, name, function, arguments):
    calls = calls_of(monkeypatch, f"nin_helpers.{function}")
    assert command_line.main(["experiment", name]) == 0
    options = {"out": Path("results"), "device": "cpu", "jobs": 1, "root": None, "precision": "fp32"}
    assert calls == [(arguments, options)]


def test_the_help_names_every_experiment(capsys):
    with pytest.raises(SystemExit) as caught:
        command_line.main(["experiment", "--help"])
    assert caught.value.code == 0
    help_of_name = capsys.readouterr().out.partition("options:")[0].partition("positional arguments:")[2]
    assert {*EXPERIMENTS, "search", "resources"} <= set(re.findall(r"\w+", help_of_name))


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["train", "--batch-size", "many"]], ids=str)
def test_what_the_parser_refuses_ends_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2 and "error: " in capsys.readouterr().err
