"""A search for a better recipe with Optuna, by the held-out images alone; exercise 1 reads what it found."""

from concurrent.futures import FIRST_COMPLETED, wait

from tqdm import tqdm

from nin_helpers.experiments.cases import searched_config
from nin_helpers.experiments.results import add_run, resume
from nin_helpers.experiments.specs import Case
from nin_helpers.experiments.workers import Task, fashion_mnist, run_task, worker_pool
from nin_helpers.files import check_writable
from nin_helpers.training.config import make_config

# What a trial may choose, see `cases.searched_config`.
LEARNING_RATES = (1e-4, 1.0)  # between these, on a log scale
CHOICES = {
    "batch_size": (16, 32, 64, 128),
    "init": ("default", "xavier", "kaiming", "alive"),
    "optimizer": ("sgd", "momentum", "adamw"),
    "schedule": ("constant", "warmup_linear"),
}
FIRST_SEED = 1000  # trial n trains with this seed plus n, so that no comparison afterwards has seen it
TRIAL = Case("trial", held_out=True)


def run_search(experiment, path):
    """Try recipes for NiN on Fashion-MNIST, chosen by Optuna; see `run_experiment`.

    Each trial trains on as many images as the profile has and is judged by its accuracy on all held-out images; the
    test images are not touched. A second call goes on: Optuna is told of the trials that the file has.
    Source: Akiba et al., "Optuna" (2019), arXiv 1907.10902; its sampler: TPE, Bergstra et al. (2011).
    """
    chosen = {"device": experiment.device, "precision": experiment.precision, "num_evaluations": 1, "test_limit": None}
    base = make_config(experiment.profile, **chosen)
    config = {key: getattr(base, key) for key in ("profile", "size", "precision")}  # what all trials share
    planned = [{"seed": FIRST_SEED + number, "config": config} for number in range(experiment.trials)]
    result, missing = resume(path, "fashion_mnist", planned, experiment.device)
    if not missing:
        return result
    seeds = [run["seed"] for run in missing]
    study = make_study(result["runs"])
    fashion_mnist(experiment.data)  # fails here, once, rather than in each process
    check_writable(path)
    with worker_pool(experiment.jobs) as pool, tqdm(total=len(seeds), desc=path.stem) as bar:
        waiting = {}
        while waiting or seeds:
            while seeds and len(waiting) < experiment.jobs:
                trial = study.ask()
                settings = suggest(trial)
                config = searched_config(experiment.profile, settings, seed=seeds.pop(0), **chosen)
                task = Task(TRIAL, config, experiment.data)
                waiting[pool.submit(run_task, task)] = trial, settings
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                trial, settings = waiting.pop(future)
                run = {"settings": settings, **future.result()}
                del run["case"]  # it has only its settings
                study.tell(trial, run["validation_accuracy"])
                add_run(path, result, run)
                bar.update()
    return result


def make_study(runs):
    """Return an Optuna study that knows the trials in `runs`."""
    import optuna  # which the other experiments do without

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
