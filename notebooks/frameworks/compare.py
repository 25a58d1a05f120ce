"""Train the five networks from one start, and time their steps in turns.

Writes results/frameworks.json, which the appendix's index shows.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from weights import Recorded
from worker import STEPS

from nin_helpers.experiments.results import new_result, write_result
from nin_helpers.provenance import environment

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"pytorch": "PyTorch", "keras": "TensorFlow/Keras", "jax": "JAX", "paddle": "PaddlePaddle", "mxnet": "MXNet"}
ROUNDS = 7


class Worker:
    """A framework in a process of its own, which works only when it is its turn."""

    def __init__(self, name):
        python = sys.executable if name == "pytorch" else ROOT / f".venv-{name}" / "bin" / "python"
        command = [str(python), "worker.py", name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        every = {
            **os.environ,
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
        }  # Paddle would take one
        self.process = subprocess.Popen(command, cwd=Path(__file__).parent, env=every, **pipes)

    def do(self, task):
        """Return the result of a task."""
        self.process.stdin.write(f"{task}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}, see above")
        return json.loads(answer)

    def end(self):
        """Let the process come to its end."""
        self.process.stdin.close()
        self.process.wait()


def main():
    """Ask each framework for its losses, then all in turns for the time of some steps."""
    settings, workers = Recorded().settings, {name: Worker(name) for name in NAMES}
    result = new_result("frameworks", settings.pop("data"))
    for name, worker in workers.items():
        where = {"versions": worker.do("versions"), "command": "python notebooks/frameworks/compare.py"}
        run = {"framework": name, "title": NAMES[name], "config": {**settings, "steps_per_turn": STEPS}}
        run |= {"environment": {**environment(torch.device("cpu")), **where}, "losses": worker.do("train")}
        worker.do("turn")  # the first one compiles
        result["runs"].append({**run, "images_per_second": []})
        print(f"{NAMES[name]}: loss {run['losses'][-1]:.3f}", flush=True)
    for number in range(ROUNDS):
        for run in result["runs"]:
            rate = STEPS * settings["batch_size"] / workers[run["framework"]].do("turn")
            run["images_per_second"].append(rate)
        print(f"round {number + 1} of {ROUNDS}", flush=True)
    for worker in workers.values():
        worker.end()
    write_result(ROOT / "results" / "frameworks.json", result)


if __name__ == "__main__":
    main()
