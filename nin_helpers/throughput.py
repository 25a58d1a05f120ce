"""What a benchmark found: images a second of each way to train, and how they compare round by round."""

import statistics


def compare(result):
    """Return {case: figures} of a benchmark's `result`, in the order in which the cases ran.

    figures: median, lowest and highest images a second over the rounds; utilisation, the share of the chip's matrix
    rate in the same precision that the median uses (0 to 1); peak_bytes of the process, or of the GPU's memory.
    """
    matrix = {}
    for limit in result["limits"]:
        matrix.setdefault(limit["precision"], []).append(limit["matrix_rate"])
    figures = {}
    for case in dict.fromkeys(run["case"] for run in result["runs"]):
        spread = _spread([run["images_per_second"] for run in result["runs"] if run["case"] == case])
        precision = case.rpartition(", ")[2] if case.rpartition(", ")[2] in matrix else "fp32"
        used = spread["median"] * result["flops_per_image"] / statistics.median(matrix[precision])
        figures[case] = {**spread, "utilisation": used, "peak_bytes": result["peak_bytes"][case]}
    return figures


def ratio(result, case, other):
    """Return median, lowest and highest of the rate of `case` over that of `other`, round by round.

    Raises ValueError for a case that the result does not have, or not in each round.
    """
    one, two = (
        {run["repeat"]: run["images_per_second"] for run in result["runs"] if run["case"] == name}
        for name in (case, other)
    )
    if not one or one.keys() != two.keys():
        cases = ", ".join(dict.fromkeys(run["case"] for run in result["runs"]))
        raise ValueError(f"case={case!r} and other={other!r} must be in each round; the benchmark has {cases}")
    return _spread([rate / two[repeat] for repeat, rate in one.items()])


def compiling(result):
    """Return what torch.compile changes for ours in a benchmark's `result`; None where that was not measured.

    seconds: how much longer the first steps take than without it. ratio: its rate over that of ours without it, see
    `ratio`. images: after how many the seconds are gained back, in the median; None: never, as it is not faster.
    """
    precision = result["settings"]["precision"]
    plain, other = f"ours, {precision}", f"ours compiled, {precision}"
    rates = {case: row["median"] for case, row in compare(result).items()}
    if other not in rates:
        return None
    seconds = result["first_seconds"][other] - result["first_seconds"][plain]
    gained = 1 / rates[plain] - 1 / rates[other]  # seconds an image
    return {
        "seconds": seconds,
        "ratio": ratio(result, other, plain),
        "images": max(0, seconds) / gained if gained > 0 else None,
    }


def best_textbook(result):
    """Return the textbook's case with the number of workers that is fastest."""
    figures = compare(result)
    return max((case for case in figures if case.startswith("textbook")), key=lambda case: figures[case]["median"])


def report(result):
    """Return what a benchmark found as a table to print, below lines that say how it was measured."""
    settings, best = result["settings"], best_textbook(result)
    rounds = 1 + max(run["repeat"] for run in result["runs"])
    lines = [
        result["command"],
        f"{result['date']}, {result['device_name']}, {result['threads']} threads, torch {result['versions']['torch']}",
        f"Fashion-MNIST, {settings['size']} px, batches of {settings['batch_size']}, median (range) of {rounds} rounds",
        "",
        f"{'':28}{'images/s':>27}{'to the textbook':>22}{'of matrix rate':>16}{'memory':>11}",
    ]
    rows = compare(result)
    for case, row in rows.items():
        rate, times = _told(row, ",.1f"), _told(ratio(result, case, best), ".2f")
        memory = f"{row['peak_bytes'] / 2**30:.2f} GiB"
        lines.append(f"{case:28}{rate:>27}{times:>22}{row['utilisation']:>16.0%}{memory:>11}")
    for case in rows:
        if case.startswith("ours"):
            limit = case.replace("ours", "compute only")
            lines.append(f"{case} to {limit}: {_told(ratio(result, case, limit), '.3f')}")
    lines.append(_compiling(result))
    lines.append(_until(result["until"]) if "until" in result else "seconds to the textbook's accuracy: not measured")
    return "\n".join(lines)


def _compiling(result):
    found = compiling(result)
    if found is None:
        return "torch.compile: not measured"
    gain = "never gained back" if found["images"] is None else f"gained back after {found['images']:,.0f} images"
    times = _told(found["ratio"], ".2f")
    return f"torch.compile: {times} times as fast; {found['seconds']:.0f} s at the start, {gain}"


def _until(found):
    images = f"{found['images']:,} images of {found['config']['size']} px, recipe {found['config']['recipe']}"
    if found["seconds"] is None:
        return f"{found['accuracy']} on held-out images: not reached with {images}"
    return f"{found['accuracy']} on held-out images: {found['seconds']:,.0f} s, {images}"


def _told(spread, form):
    """Return median, lowest and highest as "median (lowest – highest)", each in the format `form`."""
    median, lowest, highest = (format(spread[name], form) for name in ("median", "lowest", "highest"))
    return f"{median} ({lowest} – {highest})"


def _spread(values):
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
