"""One schema for all files of results: what is written is read, and what does not fit is refused."""

import json
import math

import pytest
from made_up import WHERE
from repository import ROOT

from nin_helpers.experiments import results
from nin_helpers.experiments.results import (
    best_settings,
    load_result,
    load_results,
    new_result,
    read_result,
    write_result,
)

RUN = {"case": "a", "seed": 0, "environment": WHERE, "config": {"size": 67}, "train_loss": 0.5}


def write(folder, *runs, **more):
    write_result(folder / "mine.json", {**new_result("mine", "digits"), "runs": list(runs), **more})
    return folder / "mine.json"


def test_what_is_written_is_read_and_the_file_has_each_environment_and_configuration_once(tmp_path):
    other, unknown = RUN | {"seed": 1, "environment": WHERE | {"date": "2030-01-01"}}, RUN | {"config": None}
    limit, diverged = {"environment": WHERE, "config": None, "rate": 3}, RUN | {"train_loss": math.nan}
    path = write(tmp_path, RUN, other, unknown, diverged, limits=[limit], note="1 × 1")
    packed = json.loads(path.read_text(encoding="utf-8"))
    assert (len(packed["environments"]), packed["configs"], len(packed["runs"])) == (2, [{"size": 67}], 4)
    assert packed["limits"] == [{"environment": 0, "config": None, "rate": 3}]
    assert read_result(path) == {
        "experiment": "mine", "data": "digits", "limits": [limit], "note": "1 × 1",
        "runs": [RUN, other, unknown, RUN | {"train_loss": None}],
    }  # fmt: skip
    assert "1 × 1" in path.read_text(encoding="utf-8")


def changed(**changes):
    packed = {"schema": 1, "experiment": "mine", "data": "digits", "environments": [WHERE], "configs": [{"size": 67}]}
    packed |= {"runs": [{"environment": 0, "config": 0}], **changes}
    return json.dumps({key: value for key, value in packed.items() if value is not None})


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"schema": 1, ', "Expecting"),
        ("[]", '"schema" must be 1'),
        (changed(data=None), '"data" must be a text'),
        (changed(runs={}), '"runs" must be a list'),
        (changed(runs=[3]), r"runs\[0\] must be an object"),
        (changed(runs=[{"environment": 1, "config": 0}]), r"runs\[0\].environment is 1; there are 0 to 0"),
        (changed(runs=[{"environment": 0, "config": -1}]), r"runs\[0\].config is -1; there are 0 to 0"),
        (changed(environments=[{"device": "cpu"}]), "environment 0 must have command, date, device, "),
        (changed(configs=["study"]), "configuration 0 must be an object"),
        (changed(note=math.nan), "NaN is no JSON"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_file_and_what_is_wrong(tmp_path, text, message):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/mine.json is no file of results, or is damaged: {message}"):
        load_result("mine", tmp_path)


@pytest.mark.parametrize("path", sorted((ROOT / "results").rglob("*.json")), ids=lambda path: path.stem)
def test_each_committed_file_can_be_read_and_is_as_it_would_be_written(path, tmp_path):
    result = read_result(path)
    assert path.stem.startswith(result["experiment"]) and result["runs"]
    assert all(run["environment"]["device"] and run["environment"]["command"] for run in result["runs"])
    write_result(tmp_path / path.name, result)
    assert (tmp_path / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_a_result_is_looked_for_in_the_folder_then_the_checkout_then_what_is_installed(monkeypatch, tmp_path):
    places = [tmp_path / name for name in ("folder", "checkout", "installed")]
    monkeypatch.setattr(results, "_recorded", lambda: places[1:])
    for place in reversed(places):
        place.mkdir()
        write(place, RUN | {"seed": place.name})
        assert load_result("mine", places[0])["runs"][0]["seed"] == place.name
    assert [result["runs"][0]["seed"] for result in load_results("mi")] == ["checkout"]
    assert load_results("other") == []
    with pytest.raises(FileNotFoundError, match=r"^there is no result 'nonsense': .*nonsense.json is missing$"):
        load_result("nonsense")


def test_the_best_settings_are_those_of_the_highest_accuracy_on_held_out_images(tmp_path):
    scores = {0.1: 0.5, 0.2: 0.9, 0.3: 0.7}
    runs = [RUN | {"settings": {"lr": lr}, "validation_accuracy": score} for lr, score in scores.items()]
    write(tmp_path, *runs)
    assert best_settings("mine", tmp_path) == {"lr": 0.2}
