"""Experiments over seeds, whose results the notebooks read, and the recorded results themselves."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import resources
from pathlib import Path

import torch
from tqdm import tqdm

from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.shapes import check_whole_number
from nin_helpers.training import RECIPES, environment, make_config, pick_device, train, write_json

# What varies in each experiment: a list of cases, each with a name, a recipe and options for NiN.
EXPERIMENTS = {
    "recipes": [
        *({"case": name, "recipe": name, "model": {}} for name in RECIPES),
        {"case": "alive, batch norm", "recipe": "alive", "model": {"batch_norm": True}},
        {"case": "sgd_xavier, batch norm", "recipe": "sgd_xavier", "model": {"batch_norm": True}},
    ],
}


def run_experiment(name, profile="reduced", seeds=20, *, jobs=1, root=None, out=Path("results")):
    """Train each case of experiment `name` with each seed from 0 on Fashion-MNIST, and write `out`/NAME.json.

    profile: one of `training.PROFILES`. jobs: processes at a time, each on one thread (0 < jobs).
    The file is written after each run, whole or not at all; the runs that it has are not repeated.
    Raises ValueError for an unknown name, and for a file of another profile or of other settings.
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
    with ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(root,)) as pool:
        futures = [pool.submit(_run, task) for task in tasks]
        for future in tqdm(as_completed(futures), name, len(futures)):
            result["runs"].append(future.result())
            result["runs"].sort(key=lambda run: (run["case"], run["seed"]))
            write_json(path, result)
    return result


def load_result(name):
    """Return the recorded result `name`, as a dictionary: from the checkout's results/, or as it was installed."""
    checkout = Path(__file__).parent.parent / "results" / f"{name}.json"
    path = checkout if checkout.exists() else resources.files("nin_helpers") / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no result {name!r}: {path} is missing")
    return json.loads(path.read_text(encoding="utf-8"))


def _config(profile, case, seed):
    return make_config(profile, case["recipe"], seed=seed, precision="fp32", device="cpu")


def _start(path, name, profile):
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["profile"] != profile:
            raise ValueError(f"{path} holds runs of profile={result['profile']!r}, not {profile!r}; name another out")
        return result
    return {
        "experiment": name,
        "data": "fashion_mnist",
        "profile": profile,
        **environment(pick_device("cpu")),
        "runs": [],
    }


def _start_worker(root):
    global DATA
    torch.set_num_threads(1)
    DATA = load_data("fashion_mnist", root)


def _run(task):
    config = task["config"]
    torch.manual_seed(config.seed)
    model = NiN(init=config.init, input_size=config.size, **task["model"])
    history = train(model, DATA, config, on_point=lambda history: None)
    loss = history["points"][-1]["train_loss"]
    return {
        "case": task["case"],
        "seed": task["seed"],
        "train_loss": loss,
        "stuck": history["stuck_since_step"] is not None,
        **{key: history[key] for key in ("dead_classes", "test_accuracy", "test_images", "training_seconds")},
    }
