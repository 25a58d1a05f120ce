"""Processes that each train one network at a time, on one thread."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import torch
from tqdm import tqdm

from nin_helpers.datasets import load_data
from nin_helpers.experiments.cases import MEASURES, build, change_start, recorded_config
from nin_helpers.experiments.specs import Case
from nin_helpers.hardware import pick_device
from nin_helpers.provenance import environment
from nin_helpers.training.config import TrainConfig
from nin_helpers.training.loop import train


@dataclass(frozen=True)
class Task:
    """A run to be made: the case, the configuration with its seed, and the folder of Fashion-MNIST."""

    case: Case
    config: TrainConfig
    folder: str | None = None

    def planned(self):
        """Return what a result has of the run before it is made."""
        config = recorded_config(self.config, self.case)
        return {"case": self.case.name, "seed": self.config.seed, "config": config}


@functools.cache
def fashion_mnist(folder):
    """Return Fashion-MNIST, which a process loads once; see `load_data`."""
    return load_data("fashion_mnist", folder)


@contextlib.contextmanager
def worker_pool(jobs):
    """Give a pool of `jobs` processes. When an error or Ctrl-C ends the block, what still runs is ended at once."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, context, initializer=start_worker, initargs=(reader,))
    try:
        yield pool
    except BaseException:
        writer.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker(pipe):
    """Prepare this process to be one of a pool, which ends when the other end of `pipe` is closed, however.

    Either the pool's owner has closed it or has ended: in both cases nobody waits for a result. It is the owner that
    hears of Ctrl-C.
    """
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is one of the system's, which would stay behind where a worker is ended
    torch.set_num_threads(1)


def _end_with(pipe):
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)


def run_task(task):
    """Train the network of a `Task`, and return its run as a result has it; KeyboardInterrupt: it was stopped."""
    case, config, judge = task.case, task.config, "validation" if task.case.held_out else "test"
    data = fashion_mnist(task.folder)
    data = replace(data, test=getattr(data, judge))  # the images that judge
    torch.manual_seed(config.seed)
    model = build(case, config)
    change_start(model, case.change)
    history = train(model, data, config, on_evaluation=lambda history: None)
    if history["interrupted"]:
        raise KeyboardInterrupt
    return {
        **task.planned(),
        "environment": environment(pick_device(config.device)),
        "train_loss": history["evaluations"][-1]["train_loss"],
        "warned": history["stuck_since_step"] is not None,
        **{key: history[key] for key in ("dead_classes", "training_seconds")},
        **{f"{judge}_{key}": history[f"test_{key}"] for key in ("accuracy", "images")},
        **(MEASURES[case.measure](model, data, config, history) if case.measure else {}),
    }
