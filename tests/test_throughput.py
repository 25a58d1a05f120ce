"""A benchmark's figures against those of a small made-up one, worked out by hand."""

import pytest
from made_up import made_up

from nin_helpers.throughput import Case, best_textbook, compare, compiling, ratio, report

TEXTBOOK, BEST = (Case("textbook", num_workers=number) for number in (0, 2))
OURS, COMPUTE, OURS_16, COMPUTE_16 = (
    Case(name, precision) for precision in ("fp32", "bf16") for name in ("ours", "compute_only")
)
RATES = {
    TEXTBOOK: (10, 20, 30), BEST: (11, 22, 33), OURS: (22, 66, 66), COMPUTE: (22, 66, 60),
    OURS_16: (55, 110, 330), COMPUTE_16: (55, 110, 330),
}  # fmt: skip


def test_a_benchmark_is_told_by_median_and_spread():
    figures = compare(made_up(RATES))
    assert list(figures) == list(RATES)
    assert figures[OURS] == {
        "median": 66, "lowest": 22, "highest": 66, "utilisation": 66 * 10 / 3000, "peak_bytes": 2**30,
        "first_seconds": 1,
    }  # fmt: skip
    assert figures[OURS_16]["utilisation"] == 110 * 10 / 4000
    assert figures[BEST]["utilisation"] == 22 * 10 / 3000


def test_ratios_are_taken_round_by_round():
    assert ratio(made_up(RATES), OURS, BEST) == {"median": 2, "lowest": 2, "highest": 3}
    assert best_textbook(made_up(RATES)) == BEST


@pytest.mark.parametrize(
    "case, told", [(Case("ours", "fp8"), "ours, fp8"), (Case("ours", "bf16", compiled=True), "ours compiled, bf16")]
)
def test_a_case_that_there_is_not_is_named(case, told):
    with pytest.raises(ValueError, match=rf"^case='{told}' .* the benchmark has textbook, 0 workers; "):
        ratio(made_up(RATES), case, OURS)


def test_a_case_that_misses_a_round_is_refused():
    result = made_up(RATES)
    result["runs"].pop()
    with pytest.raises(ValueError, match="must be in each round"):
        ratio(result, COMPUTE_16, OURS)


def test_the_report_tells_each_case_and_how_it_was_measured():
    text = report(made_up(RATES))
    assert all(part in text for part in ("python -m made_up", "a chip", "224 px", "median (range) of 3 rounds"))
    row = "ours, bf16 110.0 (55.0 – 330.0) 5.00 (5.00 – 10.00) 28% 1.00 GiB"
    assert row in [" ".join(line.split()) for line in text.splitlines()]
    assert "ours, fp32 to compute only, fp32: 1.000 (1.000 – 1.100)" in text
    assert text.endswith("torch.compile: not measured\nseconds to the textbook's accuracy: not measured")
    assert compiling(made_up(RATES)) is None


@pytest.mark.parametrize(
    ("rates", "images", "told"),
    [  # ours without it: 110 images a second, 1 s at the start
        ((110, 220, 330), 20 / (1 / 110 - 1 / 220), "2.00 (1.00 – 2.00) times as fast; 20 s at the start, gained back"),
        ((55, 55, 66), None, "0.50 (0.20 – 1.00) times as fast; 20 s at the start, never gained back"),
    ],
)
def test_compiling_is_weighed_against_what_it_takes_at_the_start(rates, images, told):
    result = made_up(RATES)
    result["runs"] += made_up({case._replace(compiled=True): rates for case in (OURS_16, COMPUTE_16)}, first=21)["runs"]
    found = compiling(result)
    assert found["seconds"] == 20 and found["images"] == pytest.approx(images)
    assert f"torch.compile: {told}" in report(result)
    assert "ours compiled, bf16 to compute only compiled, bf16: 1.000 (1.000 – 1.000)" in report(result)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1234.5, "0.88 on held-out images: 1,234 s, 64,000 images of 224 px, recipe modern"),
        (None, "0.88 on held-out images: not reached with 64,000 images of 224 px, recipe modern"),
    ],
)
def test_the_report_tells_the_seconds_to_an_accuracy(seconds, told):
    found = {"accuracy": 0.88, "seconds": seconds, "images": 64000, "config": {"size": 224, "recipe": "modern"}}
    assert report(made_up(RATES, until=[found])).endswith(told)
