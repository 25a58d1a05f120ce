"""What the runs of an experiment say: figures for each case, which one is better, and tables to print."""

import math
from statistics import median

from nin_helpers.training.evaluation import is_plateau


def summarise(result):
    """Return {case: figures} of the result of an experiment that trains, cases in the order of its runs.

    figures: runs; stuck, how many ended within 1 % of ln(10); dead_classes, summed over the runs; scores, the accuracy
    of each run on test images, or held-out ones where these judge (0 to 1), and their median_accuracy, lowest, highest;
    median_loss, of training at the end (infinite where it diverged); median_seconds of training.
    Raises ValueError for the result of anything else.
    """
    return {case: _figures(runs) for case, runs in _by_case(result).items()}


def scores(result):
    """Return {case: [accuracy of each run]}, 0 to 1; raises as `summarise` does."""
    return {case: row["scores"] for case, row in summarise(result).items()}


def compare(result, one, other):
    """Return "beats" if all runs of case `one` are more accurate than all of `other`, "loses to" or "ties with"."""
    found = scores(result)
    if min(found[one]) > max(found[other]):
        return "beats"
    return "loses to" if max(found[one]) < min(found[other]) else "ties with"


def over_pixels(result, figure):
    """Return {case: {pixels: [accuracy of each run]}} of a figure that runs have for some numbers of pixels.

    figure: "shifts" or "sizes", see `cases.MEASURES`; cases whose runs have none are left out.
    """
    found = {}
    for run in result["runs"]:
        for pixels, accuracy in run.get(figure, {}).items():
            found.setdefault(run["case"], {}).setdefault(int(pixels), []).append(accuracy)
    return found


def report(result, columns=None):
    """Return `summarise(result)` as a table to print, below lines that say how it was measured.

    columns: {title: {case: cell}}, as `table` takes them, put before the accuracy: median, lowest and highest over the
    seeds. Size, length and precision of the training have columns only where they differ, as how many runs got stuck
    and how many classes died have only where any did. Raises as `summarise` does.
    """
    cases, figures = _by_case(result), summarise(result)
    failed = any(row["stuck"] or row["dead_classes"] for row in figures.values())
    _, differing = _settings(cases)
    columns = {**differing, **(columns or {}), **(_failures(figures) if failed else {})}
    columns["accuracy: median (range)"] = {case: spread(row["scores"]) for case, row in figures.items()}
    told = "" if failed else "; no run got stuck, no class died"
    return "\n".join([_heading(result) + told, "", table(columns)])


def _heading(result):
    """Return the lines above a table: how the runs were made, on what, and which images judged."""
    cases = _by_case(result)
    same, _ = _settings(cases)
    runs = [run for runs in cases.values() for run in runs]
    images = ", ".join(dict.fromkeys(f"{run[f'{_judge(run)}_images']:,} {WORDS[_judge(run)]} images" for run in runs))
    seeds = " or ".join(map(str, sorted({len(runs) for runs in cases.values()})))
    title = ", ".join((TITLES.get(result["data"], result["data"]), *same, f"seeds: {seeds}"))
    return f"{origin(result)}\n{title}\naccuracy on {images}"


def grid(result):
    """Return the accuracies of cases that are named "row; column" as a table, below lines that say how they were made.

    A cell has the median of the seeds, the lowest and highest, and how many got stuck, if any did. Raises as
    `summarise` does.
    """
    cases, columns = {}, {}
    for case, row in summarise(result).items():
        name, _, column = case.partition("; ")
        stuck = f" {row['stuck']} stuck" if row["stuck"] else ""
        cells = columns.setdefault(column, {})
        cells[name] = f"{row['median_accuracy']:.2f} ({row['lowest']:.2f}–{row['highest']:.2f}){stuck}"
        cases[name] = None
    columns = {column: {case: cells.get(case, "") for case in cases} for column, cells in columns.items()}
    return "\n".join([_heading(result), "", table(columns)])


def table(columns):
    """Return {title: {row: cell}} as text, a line for each row of the first column.

    cell: a text; or a number, which is written with commas, and with one decimal where it is not a whole one.
    """
    cells = {title: {row: _cell(value) for row, value in column.items()} for title, column in columns.items()}
    rows = list(next(iter(cells.values())))
    width = 2 + max(map(len, rows))
    widths = {title: 3 + max(len(title), *map(len, column.values())) for title, column in cells.items()}
    lines = [" " * width + "".join(f"{title:>{widths[title]}}" for title in cells)]
    for row in rows:
        lines.append(f"{row:{width}}" + "".join(f"{column[row]:>{widths[title]}}" for title, column in cells.items()))
    return "\n".join(lines)


def spread(values, digits=3):
    """Return numbers as a text: their median, and in brackets the lowest and the highest."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} – {max(values):,.{digits}f})"


def origin(result):
    """Return lines that say how the runs were made, two for each session: its command; when, where and with what."""
    lines = []
    for environment in _distinct(run["environment"] for run in result["runs"]):
        versions = [
            f"{name} {version}" for name, version in (environment["versions"] or {}).items() if name != "python"
        ]
        told = {"date": environment["date"], "device": environment["device_name"], "versions": ", ".join(versions)}
        missing = ", ".join(name for name, value in told.items() if not value)
        known = [value for value in told.values() if value] + [f"{missing} not recorded"] * bool(missing)
        lines += [environment["command"] or "command not recorded", ", ".join(known)]
    return "\n".join(lines)


TITLES = {"fashion_mnist": "Fashion-MNIST"}
WORDS = {"test": "test", "validation": "held-out"}  # of the images that judge


def _by_case(result):
    """Return {case: its runs}."""
    cases = {}
    for run in result["runs"]:
        if not {"case", "train_loss"} <= run.keys():
            raise ValueError(
                f"the result of {result['experiment']!r} has no table: it is not of networks trained by case"
            )
        cases.setdefault(run["case"], []).append(run)
    return cases


def _figures(runs):
    scores = [run[f"{_judge(run)}_accuracy"] for run in runs]
    losses = [math.inf if run["train_loss"] is None else run["train_loss"] for run in runs]
    return {
        "runs": len(runs),
        "stuck": sum(is_plateau(loss, num_classes=10) for loss in losses),
        "dead_classes": sum(run["dead_classes"] for run in runs),
        "scores": scores,
        "median_accuracy": median(scores),
        "lowest": min(scores),
        "highest": max(scores),
        "median_loss": median(losses),
        "median_seconds": median(run["training_seconds"] for run in runs),
    }


def _judge(run):
    return "validation" if "validation_accuracy" in run else "test"


def _settings(cases):
    """Return what the configurations of {case: runs} have in common, as texts, and the columns of what differs."""
    told = {case: _tell(runs[0]["config"]) for case, runs in cases.items()}
    columns = {title: {case: row[title] for case, row in told.items()} for title in ("pixels", "length", "precision")}
    same = [next(iter(cells.values())) for cells in columns.values() if len(set(cells.values())) == 1]
    return same, {title: cells for title, cells in columns.items() if len(set(cells.values())) > 1}


def _tell(config):
    if config is None:
        return {title: f"{title} not recorded" for title in ("pixels", "length", "precision")}
    steps, epochs = config["num_steps"], config["num_epochs"]
    return {
        "pixels": f"{config['size']} px",
        "length": f"{steps} steps of {config['batch_size']}" if steps else f"{epochs} epoch{'s' * (epochs > 1)}",
        "precision": config["precision"],
    }


def _failures(figures):
    return {
        "stuck": {case: f"{row['stuck']} of {row['runs']}" for case, row in figures.items()},
        "dead classes": {case: f"{row['dead_classes']} of {10 * row['runs']}" for case, row in figures.items()},
    }


def _cell(value):
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _distinct(values):
    found = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
