"""A search for a better recipe with Optuna, by the held-out images alone; exercise 1 reads what it found."""

from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from nin_helpers import experiments
from nin_helpers.checks import check_whole_number
from nin_helpers.datasets import load_data
from nin_helpers.files import write_json
from nin_helpers.training.loop import train

# What a trial may choose, see `experiments.searched_config`.
LEARNING_RATES = (1e-4, 1.0)  # between these, on a log scale
CHOICES = {
    "batch_size": (16, 32, 64, 128),
    "init": ("default", "xavier", "kaiming", "alive"),
    "optimizer": ("sgd", "momentum", "adamw"),
    "schedule": ("constant", "warmup_linear"),
}
FIRST_SEED = 1000  # trial n trains with this seed plus n, so that no comparison afterwards has seen it


def run_search(profile="reduced", trials=60, *, jobs=1, root=None, out=Path("results"), device="cpu", precision="fp32"):
    """Try `trials` recipes for NiN on Fashion-MNIST, chosen by Optuna, and write `out`/search.json.

    Each trial trains on as many images as `profile` and is judged by its accuracy on all held-out images; the test
    images are not touched. The other arguments are those of `experiments.run_experiment`, and so are the errors. The
    file is written after each trial; a second call goes on from there: Optuna is told of the trials that it has.
    Source: Akiba et al., "Optuna" (2019), arXiv 1907.10902; its sampler: TPE, Bergstra et al. (2011).
    """
    check_whole_number("trials", trials, 1)
    check_whole_number("jobs", jobs, 1)
    path = Path(out) / "search.json"
    result = experiments.start_result(path, "search", profile, device, precision)
    load_data("fashion_mnist", root)  # fails here, once, rather than in each process
    study = make_study(result["runs"])
    pool = experiments.make_pool(jobs, root)
    judged = {"num_evaluations": 1, "validation_limit": None, "device": device, "precision": precision}
    done = {run["seed"] for run in result["runs"]}
    seeds = [seed for seed in range(FIRST_SEED, FIRST_SEED + trials) if seed not in done]
    waiting = {}
    bar = tqdm(total=trials, initial=len(done), desc="search")
    try:
        while waiting or seeds:
            while seeds and len(waiting) < jobs:
                trial = study.ask()
                settings = suggest(trial)
                config = experiments.searched_config(profile, settings, seed=seeds.pop(0), **judged)
                waiting[pool.submit(_run, config)] = trial, settings
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                trial, settings = waiting.pop(future)
                run = {"settings": settings, **future.result()}
                study.tell(trial, run["validation_accuracy"])
                result["runs"].append(run)
                write_json(path, result)
                bar.update()
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)
    return result


def make_study(runs):
    """Return an Optuna study that knows the trials in `runs`; ValueError says how to install Optuna."""
    try:
        import optuna
    except ImportError as error:
        raise ValueError("a search needs Optuna, which is not installed: pip install 'nin_helpers[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # the random start grows with what is known, so that a search that goes on does not repeat its first choices
    sampler = optuna.samplers.TPESampler(n_startup_trials=15, multivariate=True, constant_liar=True, seed=len(runs))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {name: optuna.distributions.CategoricalDistribution(values) for name, values in CHOICES.items()}
    distributions["lr"] = optuna.distributions.FloatDistribution(*LEARNING_RATES, log=True)
    for run in runs:
        known = optuna.trial.create_trial(
            params=run["settings"], distributions=distributions, value=run["validation_accuracy"]
        )
        study.add_trial(known)
    return study


def suggest(trial):
    """Return the settings that `trial` of Optuna is to try."""
    settings = {name: trial.suggest_categorical(name, values) for name, values in CHOICES.items()}
    return {"lr": trial.suggest_float("lr", *LEARNING_RATES, log=True), **settings}


def _run(config):
    data = replace(experiments.DATA, test=experiments.DATA.validation)  # what is called test below is held-out
    torch.manual_seed(config.seed)
    model = experiments.build({}, config)
    history = train(model, data, config, on_evaluation=lambda history: None)
    return {
        "seed": config.seed,
        "validation_accuracy": history["evaluations"][-1]["validation_accuracy"],
        "train_loss": history["evaluations"][-1]["train_loss"],
        "dead_classes": history["dead_classes"],
        "training_seconds": history["training_seconds"],
    }
