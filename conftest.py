"""`pytest --nbval` tests the chapter: the unit tests, then the notebooks' outputs; `pytest` the unit tests alone."""

import os
from functools import cache
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several tests that wait for each other would take minutes
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the notebooks' kernels too
APPENDIX = Path(__file__).parent / "notebooks" / "frameworks"


@cache
def without_kernel():
    """Return the notebooks of the appendix whose framework's kernel, such as nin-jax, is not installed."""
    from jupyter_client.kernelspec import find_kernel_specs

    kernels = find_kernel_specs()
    return [path for path in sorted(APPENDIX.glob("nin_in_*.ipynb")) if path.stem.replace("_in_", "-") not in kernels]


def pytest_report_header(config):
    """Say which notebooks are left out."""
    if config.getoption("nbval", False) and without_kernel():
        names = ", ".join(path.stem for path in without_kernel())
        return f"left out, until make setup-NAME installs the kernel: {names}"


def pytest_ignore_collect(collection_path):
    """Leave out the notebooks that have no kernel here, and the translated ones: their code is that of the English."""
    if collection_path.parent.parent.name == "notebooks" and collection_path.parent != APPENDIX:
        return True
    return True if collection_path.suffix == ".ipynb" and collection_path in without_kernel() else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Set the smoke profile, unless there is another, for a notebook's kernel, which its first cell starts."""
    with pytest.MonkeyPatch.context() as environment:
        if item.path.suffix == ".ipynb" and not os.environ.get("NIN_PROFILE"):
            environment.setenv("NIN_PROFILE", "smoke")
        return (yield)
