"""What a benchmark found: images a second of each way to train, and how they compare round by round.

A benchmark's result has three lists of runs, see `experiments.results`: "runs", a turn of one way to train in one round
each; "limits", what the chip can do at most; and, where it was measured, "until", a training to a given accuracy.
"""

import statistics
from typing import NamedTuple


class Case(NamedTuple):
    """A way to train whose speed is measured: part of a run's configuration; prints as it is called in tables.

    pipeline: "textbook", "ours", or "compute_only", the same step on a batch that is there. num_workers: of a loader.
    """

    pipeline: str
    precision: str = "fp32"
    compiled: bool = False
    num_workers: int = 0

    def __str__(self):
        name = self.pipeline.replace("_", " ") + " compiled" * self.compiled
        return f"{name}, {self.num_workers} workers" if self.pipeline == "textbook" else f"{name}, {self.precision}"


def compare(result):
    """Return {case: figures} of a benchmark's `result`, by `Case`, in the order in which they ran.

    figures: median, lowest and highest images a second over the rounds; utilisation, the share of the chip's matrix
    rate in the same precision that the median uses (0 to 1); peak_bytes of the process, or of the GPU's memory;
    first_seconds, how much longer its first steps took.
    """
    matrix = {}
    for limit in result["limits"]:
        matrix.setdefault(limit["config"]["precision"], []).append(limit["matrix_rate"])
    figures = {}
    for case, runs in _by_case(result).items():
        spread = _spread([run["images_per_second"] for run in runs])
        used = spread["median"] * result["flops_per_image"] / statistics.median(matrix[case.precision])
        whole = {name: max(run[name] for run in runs if run.get(name) is not None) for name in OF_A_PROCESS}
        figures[case] = {**spread, "utilisation": used, **whole}
    return figures


OF_A_PROCESS = ("peak_bytes", "first_seconds")  # the same in each of its turns, or the largest so far


def ratio(result, case, other):
    """Return median, lowest and highest of the rate of `case` over that of `other`, both a `Case`, round by round.

    Raises ValueError for a case that the result does not have, or not in each round.
    """
    cases = _by_case(result)
    one, two = ({run["repeat"]: run["images_per_second"] for run in cases.get(name, [])} for name in (case, other))
    if not one or one.keys() != two.keys():
        known = "; ".join(map(str, cases))
        raise ValueError(
            f"case={str(case)!r} and other={str(other)!r} must be in each round; the benchmark has {known}"
        )
    return _spread([rate / two[repeat] for repeat, rate in one.items()])


def compiling(result):
    """Return what torch.compile changes for ours in a benchmark's `result`; None where that was not measured.

    seconds: how much longer the first steps take than without it. ratio: its rate over that of ours without it, see
    `ratio`. images: after how many the seconds are gained back, in the median; None: never, as it is not faster.
    """
    figures = compare(result)
    other = next((case for case in figures if case.pipeline == "ours" and case.compiled), None)
    if other is None:
        return None
    plain = other._replace(compiled=False)
    seconds = figures[other]["first_seconds"] - figures[plain]["first_seconds"]
    gained = 1 / figures[plain]["median"] - 1 / figures[other]["median"]  # seconds an image
    return {
        "seconds": seconds,
        "ratio": ratio(result, other, plain),
        "images": max(0, seconds) / gained if gained > 0 else None,
    }


def best_textbook(result):
    """Return the textbook's case with the number of workers that is fastest."""
    figures = compare(result)
    return max((case for case in figures if case.pipeline == "textbook"), key=lambda case: figures[case]["median"])


def report(result):
    """Return what a benchmark found as a table to print, below lines that say how it was measured."""
    first, best = result["runs"][0], best_textbook(result)
    config, where = first["config"], first["environment"]
    rounds = 1 + max(run["repeat"] for run in result["runs"])
    lines = [
        where["command"],
        f"{where['date']}, {where['device_name']}, {where['threads']} threads, torch {where['versions']['torch']}",
        f"Fashion-MNIST, {config['size']} px, batches of {config['batch_size']}, median (range) of {rounds} rounds",
        "",
        f"{'':28}{'images/s':>27}{'to the textbook':>22}{'of matrix rate':>16}{'memory':>11}",
    ]
    rows = compare(result)
    for case, row in rows.items():
        rate, times = _told(row, ",.1f"), _told(ratio(result, case, best), ".2f")
        memory = f"{row['peak_bytes'] / 2**30:.2f} GiB"
        lines.append(f"{case!s:28}{rate:>27}{times:>22}{row['utilisation']:>16.0%}{memory:>11}")
    for case in rows:
        if case.pipeline == "ours":
            limit = case._replace(pipeline="compute_only")
            lines.append(f"{case} to {limit}: {_told(ratio(result, case, limit), '.3f')}")
    return "\n".join([*lines, _compiling(result), *map(_until, result.get("until") or [None])])


def _compiling(result):
    found = compiling(result)
    if found is None:
        return "torch.compile: not measured"
    gain = "never gained back" if found["images"] is None else f"gained back after {found['images']:,.0f} images"
    times = _told(found["ratio"], ".2f")
    return f"torch.compile: {times} times as fast; {found['seconds']:.0f} s at the start, {gain}"


def _until(found):
    if found is None:
        return "seconds to the textbook's accuracy: not measured"
    images = f"{found['images']:,} images of {found['config']['size']} px, recipe {found['config']['recipe']}"
    if found["seconds"] is None:
        return f"{found['accuracy']} on held-out images: not reached with {images}"
    return f"{found['accuracy']} on held-out images: {found['seconds']:,.0f} s, {images}"


def _by_case(result):
    """Return {case: its runs}, in the order in which they ran."""
    cases = {}
    for run in result["runs"]:
        cases.setdefault(Case(**{name: run["config"][name] for name in Case._fields}), []).append(run)
    return cases


def _told(spread, form):
    """Return median, lowest and highest as "median (lowest – highest)", each in the format `form`."""
    median, lowest, highest = (format(spread[name], form) for name in ("median", "lowest", "highest"))
    return f"{median} ({lowest} – {highest})"


def _spread(values):
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
