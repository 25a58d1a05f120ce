"""Experiments: the runs that are missing are made, and each is written as soon as it is there."""

from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from nin_helpers.experiments.cases import case_config
from nin_helpers.experiments.measurements import run_first_steps, run_memory, run_step_times
from nin_helpers.experiments.results import add_run, resume
from nin_helpers.experiments.search import run_search
from nin_helpers.experiments.specs import FirstSteps, Memory, Search, StepTimes, Training, specify
from nin_helpers.experiments.workers import Task, fashion_mnist, run_task, worker_pool
from nin_helpers.files import check_writable
from nin_helpers.hardware import pick_device, pick_precision


def run_experiment(name, out=Path("results"), **options):
    """Make the runs that experiment `name` of `EXPERIMENTS` has not in `out`/NAME.json yet, and return the result.

    options: in place of the experiment's own, see `specs`. The file is written after each run, whole or not at all;
    one that is complete is left alone. Raises ValueError for what cannot be used, and for a file that is damaged or
    holds runs of another configuration or device; DataError without Fashion-MNIST.
    """
    experiment, path = specify(name, **options), Path(out) / f"{name}.json"
    if hasattr(experiment, "device"):
        device = pick_device(experiment.device)
        experiment = replace(experiment, device=str(device))
        if hasattr(experiment, "precision"):
            experiment = replace(experiment, precision=pick_precision(experiment.precision, device))
    return RUNS[type(experiment)](experiment, path)


def run_training(experiment, path):
    """Train the cases of a `Training` over the seeds; see `run_experiment`."""
    places = {"device": experiment.device, "precision": experiment.precision}
    tasks = [
        Task(case, case_config(case, experiment.profile, path.parent, seed=seed, **places), experiment.data)
        for seed in range(experiment.seeds)
        for case in experiment.cases
    ]
    result, missing = resume(path, "fashion_mnist", [task.planned() for task in tasks], experiment.device)
    if not missing:
        return result
    fashion_mnist(experiment.data)  # fails here, once, rather than in each process
    check_writable(path)
    order = {case.name: number for number, case in enumerate(experiment.cases)}
    with worker_pool(experiment.jobs) as pool:
        futures = [pool.submit(run_task, task) for task in tasks if task.planned() in missing]
        for future in tqdm(as_completed(futures), path.stem, len(futures)):
            add_run(path, result, future.result(), lambda run: (order.get(run["case"], len(order)), run["seed"]))
    return result


RUNS = {
    Training: run_training,
    Search: run_search,
    StepTimes: run_step_times,
    Memory: run_memory,
    FirstSteps: run_first_steps,
}
