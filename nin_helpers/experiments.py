"""Experiments over seeds, whose results the notebooks read, and the recorded results themselves."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import resources
from pathlib import Path
from statistics import median

import torch
from torch import nn
from tqdm import tqdm

from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.shapes import check_whole_number
from nin_helpers.training import RECIPES, environment, is_plateau, make_config, pick_device, train, write_json

# What varies in each experiment: cases with a name, a recipe, and, where they differ from the default, options for NiN,
# an initialisation other than the recipe's, and a change to the weights before the first step (see `_change_start`).
EXPERIMENTS = {
    # how often each recipe gets stuck
    "recipes": [
        *({"case": name, "recipe": name} for name in RECIPES),
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
}


def run_experiment(name, profile="reduced", seeds=20, *, jobs=1, root=None, out=Path("results")):
    """Train each case of experiment `name` with each seed from 0 on Fashion-MNIST, and write `out`/NAME.json.

    profile: one of `training.PROFILES`. jobs: processes at a time, each on one thread (0 < jobs).
    The file is written after each run, whole or not at all; the runs that it has are not repeated.
    Raises ValueError for an unknown name, and for a file that is damaged or holds runs of another profile.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"name={name!r} is unknown; there are {', '.join(EXPERIMENTS)}")
    check_whole_number("seeds", seeds, 1)
    check_whole_number("jobs", jobs, 1)
    tasks = [
        {**case, "seed": seed, "config": _config(profile, case, seed)}
        for seed in range(seeds)
        for case in EXPERIMENTS[name]
    ]
    path = Path(out) / f"{name}.json"
    result = _start(path, name, profile)
    done = {(run["case"], run["seed"]) for run in result["runs"]}
    tasks = [task for task in tasks if (task["case"], task["seed"]) not in done]
    load_data("fashion_mnist", root)  # fails here, once, rather than in each process
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(root,))
    try:
        futures = [pool.submit(_run, task) for task in tasks]
        for future in tqdm(as_completed(futures), name, len(futures)):
            result["runs"].append(future.result())
            result["runs"].sort(key=lambda run: (run["case"], run["seed"]))
            write_json(path, result)
    finally:
        pool.shutdown(cancel_futures=True)  # the stop button or an error ends it without the runs that are waiting
    return result


def load_result(name):
    """Return the recorded result `name`, as a dictionary: from the checkout's results/, or as it was installed."""
    checkout = Path(__file__).parent.parent / "results" / f"{name}.json"
    path = checkout if checkout.exists() else resources.files("nin_helpers") / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no result {name!r}: {path} is missing")
    return json.loads(path.read_text(encoding="utf-8"))


def summarise(result):
    """Return {case: figures} of an experiment's result, cases in the order of `EXPERIMENTS`.

    figures: runs; stuck, how many ended within 1 % of ln(10); dead_classes, summed over the runs; median_accuracy,
    lowest, highest, on test images (0 to 1); median_loss, of training at the end.
    """
    figures = {}
    for case in EXPERIMENTS[result["experiment"]]:
        runs = [run for run in result["runs"] if run["case"] == case["case"]]
        scores = [run["test_accuracy"] for run in runs]
        figures[case["case"]] = {
            "runs": len(runs),
            "stuck": sum(is_plateau(run["train_loss"], num_classes=10) for run in runs),
            "dead_classes": sum(run["dead_classes"] for run in runs),
            "median_accuracy": median(scores),
            "lowest": min(scores),
            "highest": max(scores),
            "median_loss": median(run["train_loss"] for run in runs),
        }
    return figures


def _config(profile, case, seed):
    changes = {"init": case["init"]} if "init" in case else {}
    return make_config(profile, case["recipe"], seed=seed, precision="fp32", device="cpu", **changes)


def _start(path, name, profile):
    if path.exists():
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); name another out, or delete it") from error
        if result.get("profile") != profile:
            found = result.get("profile")
            raise ValueError(f"{path} holds runs of profile={found!r}, not {profile!r}; name another out")
        return result
    return {
        "experiment": name,
        "data": "fashion_mnist",
        "profile": profile,
        **environment(pick_device("cpu")),
        "threads": 1,  # of each run, see `_start_worker`
        "runs": [],
    }


def _start_worker(root):
    global DATA
    torch.set_num_threads(1)
    DATA = load_data("fashion_mnist", root)


def _run(task):
    config = task["config"]
    torch.manual_seed(config.seed)
    model = NiN(init=config.init, input_size=config.size, **task.get("model", {}))
    _change_start(model.block4, task.get("change"))
    history = train(model, DATA, config, on_point=lambda history: None)
    loss = history["points"][-1]["train_loss"]
    return {
        "case": task["case"],
        "seed": task["seed"],
        "train_loss": loss,
        "warned": history["stuck_since_step"] is not None,
        **{key: history[key] for key in ("dead_classes", "test_accuracy", "test_images", "training_seconds")},
    }


@torch.no_grad()
def _change_start(block, change):
    """Take a part of the cure out of the class block, "no lift" or "no copies", or kill its first `change` classes."""
    convolutions = [layer for layer in block if isinstance(layer, nn.Conv2d)]
    if change == "no lift":
        convolutions[0].bias.zero_()
    elif change == "no copies":
        for convolution in convolutions[1:]:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    elif change:
        convolutions[-1].bias[:change] = -100
