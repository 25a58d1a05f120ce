"""What the runs say: figures for each case, and the table that the notebooks print."""

import pytest
from made_up import WHERE
from repository import ROOT

from nin_helpers.experiments.results import read_result
from nin_helpers.experiments.specs import EXPERIMENTS, Training
from nin_helpers.experiments.summary import compare, grid, origin, over_pixels, report, scores, spread, summarise, table

CONFIG = {"size": 131, "num_steps": 300, "num_epochs": 1, "batch_size": 64, "precision": "bf16"}


def run_with(case, loss, accuracy, dead=0, seconds=1.0, judge="test", config=CONFIG):
    figures = {"train_loss": loss, f"{judge}_accuracy": accuracy, f"{judge}_images": 5000, "dead_classes": dead}
    return {"case": case, "environment": WHERE, "config": config, "training_seconds": seconds, **figures}


def result_of(*runs):
    return {"experiment": "tiny", "data": "fashion_mnist", "runs": list(runs)}


def test_the_summary_counts_and_takes_medians_per_case():
    figures = summarise(
        result_of(
            run_with("b", None, 0.8, seconds=7.0),  # which diverged
            run_with("a", 2.3026, 0.1, 10),  # ln 10
            run_with("a", 2.32, 0.12, 2),  # 0.8 % above
            run_with("a", 2.33, 0.2, 1, seconds=2.0),  # 1.2 % above
            run_with("a", 2.28, 0.5, 0, seconds=9.0),  # 1 % and a little below
        )
    )
    assert list(figures) == ["b", "a"]
    assert figures["b"]["median_loss"] == float("inf") and figures["b"]["stuck"] == 0
    assert (figures["a"]["runs"], figures["a"]["stuck"], figures["a"]["dead_classes"]) == (4, 3, 13)
    assert (figures["a"]["lowest"], figures["a"]["highest"]) == (0.1, 0.5)
    assert figures["a"]["scores"] == [0.1, 0.12, 0.2, 0.5]
    for key, value in {"median_accuracy": 0.16, "median_loss": 2.3113, "median_seconds": 1.5}.items():
        assert figures["a"][key] == pytest.approx(value)


def test_a_grid_has_a_row_for_each_start_and_a_column_for_each_optimizer():
    runs = [run_with("a; SGD", 2.3026, 0.1), run_with("a; SGD", 0.5, 0.7), run_with("a; AdamW", 0.5, 0.8)]
    lines = grid(result_of(*runs, run_with("b; AdamW", 0.5, 0.9))).splitlines()
    assert lines[3] == "accuracy on 5,000 test images"
    assert [line.split() for line in lines[5:]] == [
        ["SGD", "AdamW"],
        ["a", "0.40", "(0.10–0.70)", "1", "stuck", "0.80", "(0.80–0.80)"],
        ["b", "0.90", "(0.90–0.90)"],
    ]


def test_a_report_says_what_was_measured_and_how():
    runs = [run_with("a", 0.5, score) for score in (0.7, 0.9, 0.8)]
    text = report(result_of(*runs, run_with("longer name", 0.5, 0.5)), {"cost": {"a": "12", "longer name": "3"}})
    lines = text.splitlines()
    assert lines[:4] == [
        "python -m made_up",
        "2026-01-01, a chip, torch 2.99",
        "Fashion-MNIST, 131 px, 300 steps of 64, bf16, seeds: 1 or 3",
        "accuracy on 5,000 test images; no run got stuck, no class died",
    ]
    assert [line.split() for line in lines[5:]] == [
        ["cost", "accuracy:", "median", "(range)"],
        ["a", "12", "0.800", "(0.700", "–", "0.900)"],
        ["longer", "name", "3", "0.500", "(0.500", "–", "0.500)"],
    ]
    assert len({len(line) for line in lines[5:]}) == 1


def test_a_report_counts_what_failed_and_tells_settings_that_differ_or_are_not_known():
    longer = CONFIG | {"num_steps": None, "num_epochs": 3}
    runs = run_with("a", 2.3026, 0.1, 3), run_with("a", 0.5, 0.8)
    other = run_with("b", 0.5, 0.8, judge="validation", config=longer)
    lines = report(result_of(*runs, other)).splitlines()
    assert lines[2:4] == [
        "Fashion-MNIST, 131 px, bf16, seeds: 1 or 2",
        "accuracy on 5,000 test images, 5,000 held-out images",
    ]
    assert lines[-2].split()[:11] == ["a", "300", "steps", "of", "64", "1", "of", "2", "3", "of", "20"]
    assert lines[-1].split()[:4] == ["b", "3", "epochs", "0"]
    text = report(result_of(run_with("a", 0.5, 0.8, config=None)))
    assert "Fashion-MNIST, pixels not recorded, length not recorded, precision not recorded, seeds: 1" in text


def test_one_case_beats_another_only_with_every_seed():
    low, high, between = ("low", (0.1, 0.3)), ("high", (0.4, 0.6)), ("between", (0.3, 0.5))
    result = result_of(*(run_with(case, 0.5, score) for case, found in (low, high, between) for score in found))
    assert scores(result) == {"low": [0.1, 0.3], "high": [0.4, 0.6], "between": [0.3, 0.5]}
    assert compare(result, "high", "low") == "beats" and compare(result, "low", "high") == "loses to"
    assert compare(result, "high", "between") == compare(result, "low", "between") == "ties with"
    assert compare(result, "between", "low") == "ties with"


def test_what_runs_have_over_pixels_is_gathered_over_the_seeds():
    runs = [{"case": "a", "shifts": {"0": 0.8, "16": x}} for x in (0.5, 0.6)]
    assert over_pixels(result_of(*runs, {"case": "b"}), "shifts") == {"a": {0: [0.8, 0.8], 16: [0.5, 0.6]}}


def test_a_table_lines_its_cells_up_and_writes_its_numbers():
    text = table({"cost": {"a": 12345, "longer name": 1.25}, "b": {"longer name": "-", "a": spread([3, 1, 1100], 1)}})
    assert [line.split() for line in text.splitlines()] == [
        ["cost", "b"],
        ["a", "12,345", "3.0", "(1.0", "–", "1,100.0)"],
        ["longer", "name", "1.2", "-"],
    ]
    assert len({len(line) for line in text.splitlines()}) == 1


def test_where_runs_come_from_is_told_for_each_session():
    unknown = WHERE | {"device_name": None, "versions": None, "date": None}
    runs = [{"environment": where} for where in (WHERE, WHERE, unknown)]
    command, told = "python -m made_up", "2026-01-01, a chip, torch 2.99"
    assert origin(result_of(*runs)).splitlines() == [command, told, command, "date, device, versions not recorded"]


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*.json")), ids=lambda path: path.stem)
def test_what_was_trained_by_case_is_reported_and_all_else_refused(path):
    result = read_result(path)
    if isinstance(EXPERIMENTS.get(path.stem), Training):
        text = report(result)
        assert all(case.name in text for case in EXPERIMENTS[path.stem].cases)
    else:
        with pytest.raises(ValueError, match=rf"^the result of '{result['experiment']}' has no table"):
            report(result)
