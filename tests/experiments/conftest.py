"""Experiments of a fraction of a second: two steps on the digits, in this process, which a test can patch."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from nin_helpers.experiments import measurements, workers
from nin_helpers.experiments.specs import EXPERIMENTS, Case, Training
from nin_helpers.training import PROFILES, train

TINY = {"size": 67, "batch_size": 4, "num_steps": 2, "num_evaluations": 1, "test_limit": 8, "validation_limit": 4}
CASES = (Case("b", "sgd_xavier", settings={"batch_norm": True}), Case("a"))


class InThisProcess(ThreadPoolExecutor):
    def __init__(self, jobs, context, **options):
        super().__init__(jobs, **options)


@pytest.fixture
def few(monkeypatch, digits):
    """Put a few digits in the place of Fashion-MNIST, two steps in that of profile "reduced", and return the data."""
    data = replace(digits, validation=digits.validation[:8], test=digits.test[:8])
    for module in (workers, measurements):
        monkeypatch.setattr(module, "load_data", lambda name, folder=None: data)
    monkeypatch.setitem(PROFILES, "reduced", TINY)
    workers.fashion_mnist.cache_clear()
    yield data
    workers.fashion_mnist.cache_clear()


@pytest.fixture
def trained(monkeypatch, few):
    """Make an experiment "tiny" of two cases and two seeds, and return the list of (recipe, seed) that were trained."""
    calls, threads = [], torch.get_num_threads()

    def counting(model, data, config, **options):
        calls.append((config.recipe, config.seed))
        return train(model, data, config, **options)

    monkeypatch.setitem(EXPERIMENTS, "tiny", Training("a test", CASES, seeds=2))
    monkeypatch.setattr(workers, "train", counting)
    monkeypatch.setattr(workers, "ProcessPoolExecutor", InThisProcess)
    yield calls
    torch.set_num_threads(threads)
