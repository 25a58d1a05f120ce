"""Experiments over seeds, whose results the notebooks read, and the recorded results themselves."""

import itertools
import json
import math
import multiprocessing.connection
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from nin_helpers.classics import alexnet, lenet, vgg11
from nin_helpers.datasets import Split, load_data, prepare
from nin_helpers.diagnostics import diagnose, map_states, shift_accuracy
from nin_helpers.hardware import autocast, environment, pick_device, pick_precision
from nin_helpers.nin import FAMILY, HEADS, INITS, NiN, nin_family, smallest_input_size
from nin_helpers.resources import measured_memory
from nin_helpers.shapes import check_whole_number
from nin_helpers.training import (
    is_plateau,
    make_config,
    make_optimizer,
    shuffled_batches,
    train,
    train_step,
    write_json,
)

# What varies in each experiment: cases with a name, a recipe ("alive" where none is named), and, where they differ from
# the default, options for NiN, a member of the family in its place, an initialisation other than the recipe's, other
# settings of the training, a change to the weights before the first step (see `_change_start`), what is measured of the
# trained network (`MEASURES`), and whether it is judged by the held-out images, as what is chosen from must be.
FIRST_RECIPES = ("sgd_default", "sgd_xavier", "adam", "alive")  # those of the textbooks, and the cure
EXPERIMENTS = {
    # how often each recipe gets stuck
    "recipes": [
        *({"case": name, "recipe": name} for name in FIRST_RECIPES),
        {"case": "alive, batch norm", "recipe": "alive", "model": {"batch_norm": True}},
    ],
    # which part of "alive" does what, and whether batch normalisation alone would do
    "cure": [
        {"case": "alive", "recipe": "alive"},
        {"case": "alive without the lift", "recipe": "alive", "change": "no lift"},
        {"case": "alive without the copies", "recipe": "alive", "change": "no copies"},
        {"case": "kaiming, optimizer of alive", "recipe": "alive", "init": "kaiming"},
        {"case": "xavier, optimizer of alive", "recipe": "alive", "init": "xavier"},
        {"case": "sgd_xavier, batch norm", "recipe": "sgd_xavier", "model": {"batch_norm": True}},
    ],
    # what a dead class costs: k of the ten killed before the first step
    "dead_classes": [{"case": f"{k} dead", "recipe": "alive", "change": k} for k in (0, 2, 4, 6, 8)],
    # exercise 1: the recipes again, and the best that `search` found, with seeds that the search has not seen
    "tuned": [
        *({"case": name, "recipe": name} for name in FIRST_RECIPES),
        {"case": "best of the search", "best_of": "search"},
    ],
    # exercises 2 and 3: how many per-pixel layers, and 3 × 3 in place of 1 × 1
    "per_pixel": [
        *({"case": f"{number} of 1 × 1", "model": {"num_pointwise": number}} for number in (0, 1, 2, 3)),
        {"case": "2 of 3 × 3", "model": {"pointwise_kernel_size": 3}},
    ],
    # exercise 2 again, for networks that train longer
    "per_pixel_longer": [{"case": f"{number} of 1 × 1", "model": {"num_pointwise": number}} for number in (0, 2)],
    # exercise 4: the heads, on shifted pictures and on pictures of other sizes too
    "heads": [{"case": head, "model": {"head": head}, "measure": "shifts"} for head in HEADS],
    # exercise 6: from 384 channels to 10 in one step, or by way of a block of 96, with and without our start
    "reduction": [
        {"case": f"{init}, {' → '.join(map(str, (384, *steps, 10)))}", "init": init, "model": {"reduction": steps}}
        | {"measure": "maps"}
        for init in ("alive", "kaiming")
        for steps in ((), (96,))
    ],
    # exercise 7: networks from small to large
    "family": [{"case": name, "family": name} for name in FAMILY],
    # how far the same network goes in a longer training, with today's habits
    "modern": [{"case": name, "recipe": name} for name in ("modern", "growing")],
    # how to spend a third of these seconds: on large pictures, on more small ones, or on first small, then large ones
    "pictures": [
        {"case": case, "recipe": "modern", "held_out": True, "settings": settings}
        for case, settings in (
            ("large, 3 epochs", {"num_epochs": 3}),
            ("small, 7 epochs", {"num_epochs": 7, "size": 67}),
            ("small, then large, 4 epochs", {"num_epochs": 4, "small_share": 0.5}),
        )
    ],
}
# Whose steps are timed.
TIMED = ("per_pixel", "heads", "family")
# Whose first steps are recorded: each initialisation with each learning rate of plain SGD, after so many steps.
FIRST_RATES = (0.01, 0.05, 0.1, 0.5)
FIRST_STEPS = (0, 1, 2, 5, 10, 20, 40, 70, 100)
# Exercise 5: whose memory is measured.
NETWORKS = {"LeNet": lenet, "AlexNet": alexnet, "VGG-11": vgg11, "NiN": NiN}


def run_experiment(
    name, profile="reduced", seeds=20, *, jobs=1, root=None, out=Path("results"), device="cpu", precision="fp32"
):
    """Train each case of experiment `name` with each seed from 0 on Fashion-MNIST, and write `out`/NAME.json.

    profile: one of `training.PROFILES`. jobs: processes at a time, each on one thread (0 < jobs). device, precision: as
    in `TrainConfig`. The file is written after each run, whole or not at all; the runs that it has are not repeated.
    Raises ValueError for an unknown name, and for a file that is damaged or holds runs of another profile, device or
    precision.
    """
    if name not in EXPERIMENTS:
        others = "search, resources, speed, first_steps"
        raise ValueError(f"name={name!r} is unknown; there are {', '.join(EXPERIMENTS)}, and {others}")
    check_whole_number("seeds", seeds, 1)
    check_whole_number("jobs", jobs, 1)
    tasks = [
        {**case, "seed": seed, "config": _config(profile, case, seed, out, device=device, precision=precision)}
        for seed in range(seeds)
        for case in EXPERIMENTS[name]
    ]
    path = Path(out) / f"{name}.json"
    result = start_result(path, name, profile, device, precision)
    done = {(run["case"], run["seed"]) for run in result["runs"]}
    tasks = [task for task in tasks if (task["case"], task["seed"]) not in done]
    if not tasks:
        print(f"{path} has all of these runs already; name another out to measure them again")
        write_json(path, result)
        return result
    load_data("fashion_mnist", root)  # fails here, once, rather than in each process
    pool = make_pool(jobs, root)
    try:
        futures = [pool.submit(_run, task) for task in tasks]
        for future in tqdm(as_completed(futures), name, len(futures)):
            result["runs"].append(future.result())
            result["runs"].sort(key=lambda run: (run["case"], run["seed"]))
            write_json(path, result)
    finally:
        pool.shutdown(cancel_futures=True)  # the stop button or an error ends it without the runs that are waiting
    return result


def run_resources(repeats=3, *, out=Path("results"), device="cpu", batch_size=32):
    """Measure the memory that training and prediction take for LeNet, AlexNet, VGG-11 and NiN: `out`/resources.json.

    In FP32, at 224 pixels, one pass of `batch_size` images, without an optimizer, `repeats` times; see
    `resources.measured_memory`, whose error it may raise. What the file has already is not measured again.
    """
    check_whole_number("repeats", repeats, 1)
    check_whole_number("batch_size", batch_size, 1)
    path = Path(out) / "resources.json"
    result = start_result(path, "resources", f"batch of {batch_size}", device, "fp32")
    result |= {"data": "random numbers", "threads": torch.get_num_threads()}
    done = [(run["network"], run["pass"], run["repeat"]) for run in result["runs"]]
    tasks = itertools.product(range(repeats), NETWORKS, ("training", "prediction"))
    for repeat, network, kind in tqdm([task for task in tasks if (*task[1:], task[0]) not in done], "resources"):
        with torch.device("meta"):
            model = NETWORKS[network]()
        found = measured_memory(model, (batch_size, 1, 224, 224), kind == "training", device)
        result["runs"].append({"network": network, "pass": kind, "repeat": repeat, "bytes": found})
        write_json(path, result)
    return result


def run_speed(rounds=7, profile="study", *, out=Path("results"), device="cpu", precision="fp32"):
    """Time a training step of each case of `TIMED`, in turns, `rounds` times: `out`/speed.json.

    A turn is three steps (on a GPU thirty) on one batch of random pixels, after one that is not timed; all threads. It
    takes a minute or two and is begun anew each time: what was measured at another time would not be in turns.
    """
    check_whole_number("rounds", rounds, 1)
    config = make_config(profile, device=device, precision=precision)
    device = pick_device(config.device)
    steps = 3 if device.type == "cpu" else 30
    images = torch.randint(256, (config.batch_size, 1, 28, 28), dtype=torch.uint8, device=device)
    batch = Split(images, torch.randint(10, (config.batch_size,), device=device))
    models = {}
    for group in TIMED:
        for case in EXPERIMENTS[group]:
            model = build(case, config).to(device, memory_format=torch.channels_last)
            models[f"{group}: {case['case']}"] = model, *make_optimizer(model, config, num_steps=1000)
    result = {"experiment": "speed", "data": "random pixels", "profile": profile, "precision": precision}
    result |= {**environment(device), "runs": []}
    for turn, (case, parts) in tqdm(list(itertools.product(range(-1, rounds), models.items())), "speed"):
        start = time.perf_counter()
        for _ in range(steps):
            _, loss = train_step(parts[0], batch, *parts[1:], config, precision)
        loss.item()  # waits for the device
        if turn >= 0:
            result["runs"].append({"case": case, "round": turn, "seconds": (time.perf_counter() - start) / steps})
    write_json(Path(out) / "speed.json", result)
    return result


def run_first_steps(*, root=None, out=Path("results")):
    """Record `first_steps` of each initialisation and rate on Fashion-MNIST: `out`/first_steps.json, in some minutes.

    The file is written after each run; the runs that it has are not repeated. On a CPU, in FP32.
    """
    path = Path(out) / "first_steps.json"
    result = start_result(path, "first_steps", "reduced", "cpu", "fp32") | {"threads": torch.get_num_threads()}
    done = [(run["init"], run["lr"]) for run in result["runs"]]
    data = load_data("fashion_mnist", root)
    tasks = [task for task in itertools.product(INITS, FIRST_RATES) if task not in done]
    for init, lr in tqdm(tasks, "first_steps"):
        result["runs"].append({"init": init, "lr": lr, "seed": 0, "points": list(first_steps(data, init, lr))})
        write_json(path, result)
    return result


def first_steps(data, init, lr, seed=0):
    """Train NiN by plain SGD for a hundred steps, and yield its state on 64 held-out images at each of `FIRST_STEPS`.

    A state is {"step", "loss", "live": the share of channels behind ReLUs that are not 0 throughout, "gradient": the
    norm of the loss's gradient, "spread": {ReLU: how much its output differs across images, see `diagnose`}}; what is
    not finite is None, and of a network whose loss is not finite nothing is alive or dead: None. Profile "reduced":
    99 pixels, batches of 32.
    """
    last = FIRST_STEPS[-1]
    changes = {"init": init, "lr": lr, "mean": 0.286, "std": 0.353, "num_steps": last, "seed": seed}
    config = make_config("reduced", "sgd_default", device="cpu", precision="fp32", **changes)
    torch.manual_seed(seed)
    model = NiN(num_classes=len(data.classes), **config.network())
    parts = *make_optimizer(model, config, last), config, "fp32"
    split = data.validation[:64]
    x = prepare(split.images, config.size, config.mean, config.std)
    batches = shuffled_batches(len(data.train), config.batch_size, last, seed)
    for step in range(last + 1):
        if step in FIRST_STEPS:
            yield {"step": step, **_state(model, x, split.labels)}
        if step < last:
            train_step(model, data.train[next(batches)], *parts)


def _state(model, x, labels):
    layers = diagnose(model, (x, labels)).layers
    relus = [layer for layer in layers if layer.type == "ReLU"]
    with torch.no_grad():
        loss = F.cross_entropy(model.eval()(x), labels).item()
    figures = {
        "loss": loss,
        "live": sum(layer.live for layer in relus) / len(relus) if math.isfinite(loss) else math.nan,
        "gradient": math.hypot(*(layer.gradient for layer in layers if layer.gradient is not None)),
    }
    spread = {layer.name: _finite(layer.spread) for layer in relus}
    return {name: _finite(value) for name, value in figures.items()} | {"spread": spread}


def _finite(value):
    return value if math.isfinite(value) else None


def make_pool(jobs, root):
    """Return a pool of `jobs` processes, each with the data in memory and on one thread; see `_start_worker`."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(root,))


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


def searched_config(profile, settings, **changes):
    """Return the `TrainConfig` of a trial's settings, on as many images as `profile` has; pixels as in "alive".

    settings: lr, batch_size, init, schedule, and optimizer: "sgd", "adamw", or "momentum", which is SGD with 0.9 of it.
    Raises ValueError for a profile that counts epochs.
    """
    base = make_config(profile, "alive", **changes)
    if base.num_steps is None:
        raise ValueError(f"profile={profile!r} counts epochs; a search needs one that counts steps, such as 'reduced'")
    if settings["optimizer"] == "momentum":
        settings = {**settings, "optimizer": "sgd", "momentum": 0.9}
    num_steps = base.num_steps * base.batch_size // settings["batch_size"]
    return replace(base, recipe="search", num_steps=num_steps, **settings)


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


def _config(profile, case, seed, out=None, **changes):
    if "best_of" in case:
        return searched_config(profile, best_settings(case["best_of"], out), seed=seed, **changes)
    if "init" in case:
        changes["init"] = case["init"]
    return make_config(profile, case.get("recipe", "alive"), seed=seed, **changes, **case.get("settings", {}))


def _start_worker(root):
    global DATA
    parent = multiprocessing.parent_process()
    if parent is not None:  # a process of its own
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    torch.set_num_threads(1)
    DATA = load_data("fashion_mnist", root)


def _end_with(sentinel):
    """End this process when the one that `sentinel` stands for has ended, however: nobody waits for a result then."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _run(task):
    config, kind = task["config"], "validation" if task.get("held_out") else "test"
    data = replace(DATA, test=getattr(DATA, kind))  # the images that judge
    torch.manual_seed(config.seed)
    model = build(task, config)
    _change_start(model, task.get("change"))
    history = train(model, data, config, on_point=lambda history: None)
    loss = history["points"][-1]["train_loss"]
    return {
        "case": task["case"],
        "seed": task["seed"],
        "train_loss": loss,
        "warned": history["stuck_since_step"] is not None,
        **{key: history[key] for key in ("dead_classes", "training_seconds")},
        **{f"{kind}_{key}": history[f"test_{key}"] for key in ("accuracy", "images")},
        **(MEASURES[task["measure"]](model, config, history["precision"]) if "measure" in task else {}),
    }


def build(case, config):
    """Return the network of a case of `EXPERIMENTS`, with the start and the input size of `config`."""
    options = {**config.network(), **case.get("model", {})}
    return nin_family(case["family"], **options) if "family" in case else NiN(**options)


def _measure_shifts(model, config, precision):
    """Return the accuracy on 1,000 test images, shifted, and, where the head takes them, at other sizes."""
    split = DATA.test[:1000].to(next(model.parameters()).device)
    fill = (0 - config.mean) / config.std
    with autocast(split.images.device, precision):
        x = prepare(split.images, config.size, config.mean, config.std)
        shifts = shift_accuracy(model, x, split.labels, SHIFTS, fill)
        found = {"shifts": {str(shift): accuracy for shift, accuracy in shifts.items()}}  # as JSON has them
        if model.head == "gap":
            found["sizes"] = {}
            for size in range(config.size - 64, config.size + 97, 32):
                if size >= smallest_input_size():
                    x = prepare(split.images, size, config.mean, config.std)
                    found["sizes"][str(size)] = shift_accuracy(model, x, split.labels, (0,))[0]
    return found


def _measure_maps(model, config, precision):
    """Return the `MapState` of each ReLU from the last pooling on, over 500 test images, in FP32."""
    images = DATA.test.images[:500].to(next(model.parameters()).device)
    states = map_states(model, prepare(images, config.size, config.mean, config.std))
    return {"maps": [asdict(state) for state in states if state.name.startswith(("block3", "reduction", "block4"))]}


SHIFTS = (0, 4, 8, 12, 16, 24, 32)
MEASURES = {"shifts": _measure_shifts, "maps": _measure_maps}


@torch.no_grad()
def _change_start(model, change):
    """Take a part of the cure out of the class block, "no lift" or "no copies", or kill its first `change` classes."""
    if change is None:
        return
    convolutions = [layer for layer in model.block4 if isinstance(layer, nn.Conv2d)]
    if change == "no lift":
        convolutions[0].bias.zero_()
    elif change == "no copies":
        for convolution in convolutions[1:]:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    elif change:
        convolutions[-1].bias[:change] = -100
