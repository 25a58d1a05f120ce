"""The recorded results: their schema, how they are read, and what they say."""

import json
from importlib.resources import files
from pathlib import Path
from statistics import median

from nin_helpers.experiments.specs import EXPERIMENTS
from nin_helpers.hardware import pick_device, pick_precision
from nin_helpers.provenance import environment
from nin_helpers.training.config import make_config
from nin_helpers.training.evaluation import is_plateau


def load_result(name, folder=None):
    """Return the result `name`, a dictionary: from `folder`, the checkout's results/, or the installed ones."""
    places = [Path(folder)] if folder else []
    places += [Path(__file__).parent.parent / "results", files("nin_helpers") / "results"]
    for place in places:
        path = place / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    raise FileNotFoundError(f"there is no result {name!r}: {path} is missing")


def load_results(start):
    """Return the results whose names begin with `start`, by name: those of the checkout's results/ or the installed."""
    for place in (Path(__file__).parent.parent / "results", files("nin_helpers") / "results"):
        names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        found = [name.removesuffix(".json") for name in names if name.startswith(start) and name.endswith(".json")]
        if found:
            return [load_result(name) for name in found]
    return []


def summarise(result):
    """Return {case: figures} of an experiment's result, cases in the order of `EXPERIMENTS`.

    figures: runs; stuck, how many ended within 1 % of ln(10); dead_classes, summed over the runs; scores, the accuracy
    of each run on test images, or held-out ones where these judge (0 to 1), and their median_accuracy, lowest, highest;
    median_loss, of training at the end; median_seconds of training. Raises ValueError for a case that has no run.
    """
    figures = {}
    for case in EXPERIMENTS[result["experiment"]]:
        runs = [run for run in result["runs"] if run["case"] == case["case"]]
        if not runs:
            raise ValueError(f"the result of {result['experiment']!r} has no run of {case['case']!r}")
        scores = [run["validation_accuracy" if case.get("held_out") else "test_accuracy"] for run in runs]
        figures[case["case"]] = {
            "runs": len(runs),
            "stuck": sum(is_plateau(run["train_loss"], num_classes=10) for run in runs),
            "dead_classes": sum(run["dead_classes"] for run in runs),
            "scores": scores,
            "median_accuracy": median(scores),
            "lowest": min(scores),
            "highest": max(scores),
            "median_loss": median(run["train_loss"] for run in runs),
            "median_seconds": median(run["training_seconds"] for run in runs),
        }
    return figures


def report(result, columns=None):
    """Return `summarise(result)` as a table to print, below lines that say how it was measured.

    columns: {title: {case: text}}, put before the accuracy: median, lowest and highest over the seeds. How many runs
    got stuck and how many classes died has columns only where any did.
    """
    config, figures = make_config(result["profile"]), summarise(result)
    runs = {row["runs"] for row in figures.values()}
    images = result["runs"][0]["test_images"]
    budget = f"{config.num_steps} steps of {config.batch_size}" if config.num_steps else f"{config.num_epochs} epochs"
    columns = dict(columns or {})
    failed = any(row["stuck"] or row["dead_classes"] for row in figures.values())
    if failed:
        columns["stuck"] = {case: f"{row['stuck']} of {row['runs']}" for case, row in figures.items()}
        dead = {case: f"{row['dead_classes']} of {10 * row['runs']}" for case, row in figures.items()}
        columns["dead classes"] = dead
    columns["accuracy: median (range)"] = {
        case: f"{row['median_accuracy']:.3f} ({row['lowest']:.3f} – {row['highest']:.3f})"
        for case, row in figures.items()
    }
    width = 2 + max(map(len, figures))
    widths = {title: 3 + max(len(title), *map(len, cells.values())) for title, cells in columns.items()}
    lines = [
        f"{result['command']}",
        f"{result['date']}, {result['device_name']}, torch {result['versions']['torch']}, "
        f"{result.get('precision', 'fp32')}, seeds: {' or '.join(map(str, sorted(runs)))}",
        f"Fashion-MNIST, {config.size} px, {budget}; accuracy on {images:,} test images"
        + ("" if failed else "; no run got stuck, no class died"),
        "",
        " " * width + "".join(f"{title:>{widths[title]}}" for title in columns),
    ]
    lines += [f"{case:<{width}}" + "".join(f"{columns[t][case]:>{widths[t]}}" for t in columns) for case in figures]
    return "\n".join(lines)


def best_settings(name="search", folder=None):
    """Return the settings of the trial of the search `name` with the best held-out accuracy; see `load_result`."""
    return max(load_result(name, folder)["runs"], key=lambda run: run["validation_accuracy"])["settings"]


def start_result(path, name, profile, device, precision):
    """Return the result in the file `path` to go on with, or a new one without runs; ValueError: not to be used."""
    device = pick_device(device)
    settings = {"experiment": name, "profile": profile, "precision": pick_precision(precision, device)}
    if path.exists():
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            found = {"precision": "fp32", **result}  # what the first files of ours leave out
            result["runs"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error}); name another out, or delete it") from error
        for key, value in {**settings, "device": device.type}.items():
            if found.get(key) != value:
                raise ValueError(f"{path} holds runs of {key}={found.get(key)!r}, not {value!r}; name another out")
        return {**result, "command": environment(device)["command"]}  # the one that makes all that is in it in the end
    return {
        "data": "fashion_mnist",
        **settings,
        **environment(device),
        "threads": 1,  # of each run, see `_start_worker`
        "runs": [],
    }
