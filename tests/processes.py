"""Processes of their own that need not import torch again: each is forked from a server that has, and nothing else."""

import multiprocessing
import os
import socket

import torch

SERVED = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
if os.name != "nt":
    SERVED.set_forkserver_preload(
        ["pytest", "sklearn.datasets", "torch.distributed.nn", "torch._dynamo", "nin_helpers.training.loop"]
    )


def start(function, *arguments, **variables):
    """Return a process that calls a module's `function`, on one thread, with so many more environment variables."""
    process = SERVED.Process(target=_call, args=(function, arguments, variables))
    process.start()
    return process


def _call(function, arguments, variables):
    os.environ.update(variables)
    torch.set_num_threads(1)
    function(*arguments)


def finish(*processes):
    """Wait until all have come to their end without an error."""
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def together(function, *arguments, size=2):
    """Call `function` in `size` processes that find each other as those of torchrun do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        places = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    finish(*[start(function, *arguments, RANK=str(rank), **places) for rank in range(size)])
