"""One framework's network at work, in its own environment: `compare.py` starts it and says whose turn it is.

Each line on the standard input is a task, each line on the standard output its result as JSON.
"""

import importlib
import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from weights import Recorded, batches, write_weights

STEPS = 10  # that one turn takes


def main(name):
    """Do one task after another: "train" from the recorded start, or "turn", some steps by the clock."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints is no answer
    framework, recorded = importlib.import_module(f"nin_{name}"), Recorded()
    versions = {distribution: version(distribution) for distribution in framework.DISTRIBUTIONS}
    step = make_step(framework, recorded)
    x, labels = next(batches(recorded.images, recorded.labels, recorded.settings["batch_size"]))
    tasks = {
        "versions": lambda: versions,
        "train": lambda: train(make_step(framework, recorded), recorded),
        "turn": lambda: seconds_of(lambda: [step(x, labels) for _ in range(STEPS)]),
    }
    for line in sys.stdin:
        answers.write(json.dumps(tasks[line.strip()]()) + "\n")
        answers.flush()


def make_step(framework, recorded):
    """Return the step of a new network at the recorded start."""
    model = framework.NiN(dropout=0.0)
    with tempfile.TemporaryDirectory() as folder:
        write_weights(Path(folder) / "start.safetensors", recorded.weights)
        framework.read_weights(model, Path(folder) / "start.safetensors")
    return framework.make_step(model, recorded.settings["lr"])


def train(step, recorded):
    """Return the loss of each step on the recorded batches."""
    return [float(step(x, y)) for x, y in batches(recorded.images, recorded.labels, recorded.settings["batch_size"])]


def seconds_of(work):
    """Return how long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(sys.argv[1])
