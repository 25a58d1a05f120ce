"""What the tests share: no internet, no folder of the person who runs them, small real data."""

import signal

import pytest
import torch

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it, and so would all here
torch.set_num_threads(1)  # the tensors are small, and on a busy machine threads that wait for each other take minutes


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Let no test reach a real mirror: port 9 of this machine refuses, and proxies are not asked."""
    from nin_helpers import datasets

    monkeypatch.setattr(datasets, "MIRRORS", ("http://127.0.0.1:9",))
    monkeypatch.setattr(datasets, "TIMEOUT", (5, 5))
    monkeypatch.setattr(datasets, "RETRIES", 0)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(autouse=True)
def seeded():
    """Start each test from the same random numbers, whichever tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits():
    """Real images that need no download: 1,797 digits of 8 × 8."""
    from nin_helpers.datasets import load_data

    return load_data("digits")


@pytest.fixture
def random_images():
    """A batch of images at the smallest size that works: (4, 1, 67, 67), in 0 … 1."""
    return torch.rand(4, 1, 67, 67, generator=torch.Generator().manual_seed(0))
