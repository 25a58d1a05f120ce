"""Experiments over seeds, whose results the notebooks read, and the recorded results themselves."""

import multiprocessing.connection
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from nin_helpers.checks import check_whole_number
from nin_helpers.datasets import load_data
from nin_helpers.experiments.measurements import MEASURES, change_start
from nin_helpers.experiments.networks import build
from nin_helpers.experiments.results import best_settings, start_result
from nin_helpers.experiments.specs import EXPERIMENTS
from nin_helpers.files import write_json
from nin_helpers.training.config import make_config
from nin_helpers.training.loop import train


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


def make_pool(jobs, root):
    """Return a pool of `jobs` processes, each with the data in memory and on one thread; see `_start_worker`."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(root,))


def searched_config(profile, settings, **changes):
    """Return the `TrainConfig` of a trial's settings, on as many images as `profile` has; pixels as in "adamw_alive".

    settings: lr, batch_size, init, schedule, and optimizer: "sgd", "adamw", or "momentum", which is SGD with 0.9 of it.
    Raises ValueError for a profile that counts epochs.
    """
    base = make_config(profile, "adamw_alive", **changes)
    if base.num_steps is None:
        raise ValueError(f"profile={profile!r} counts epochs; a search needs one that counts steps, such as 'reduced'")
    if settings["optimizer"] == "momentum":
        settings = {**settings, "optimizer": "sgd", "momentum": 0.9}
    num_steps = base.num_steps * base.batch_size // settings["batch_size"]
    return replace(base, recipe="search", num_steps=num_steps, **settings)


def _config(profile, case, seed, out=None, **changes):
    if "best_of" in case:
        return searched_config(profile, best_settings(case["best_of"], out), seed=seed, **changes)
    if "init" in case:
        changes["init"] = case["init"]
    return make_config(profile, case.get("recipe", "adamw_alive"), seed=seed, **changes, **case.get("settings", {}))


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
    change_start(model, task.get("change"))
    history = train(model, data, config, on_evaluation=lambda history: None)
    loss = history["evaluations"][-1]["train_loss"]
    return {
        "case": task["case"],
        "seed": task["seed"],
        "train_loss": loss,
        "warned": history["stuck_since_step"] is not None,
        **{key: history[key] for key in ("dead_classes", "training_seconds")},
        **{f"{kind}_{key}": history[f"test_{key}"] for key in ("accuracy", "images")},
        **(MEASURES[task["measure"]](model, data, config, history["precision"]) if "measure" in task else {}),
    }
