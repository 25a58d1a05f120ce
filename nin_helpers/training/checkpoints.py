"""Checkpoints of a training run: whole or not at all, verified before they are used, and exact to the bit on a CPU.

A checkpoint is a folder STEP with three files: weights.safetensors; state.pt, what else the next step depends on
(optimizer, schedule, random numbers, the history so far), of plain values and tensors only; and manifest.json, with the
checksums of both and what the run is. It is written beside its place and then renamed: a kill leaves none or all of it.
"""

import hashlib
import io
import json
import math
import os
import pickle
import shutil
import time
from pathlib import Path

import torch
from safetensors.torch import load, save

from nin_helpers.hardware import wait_for

KEPT = 2  # the newest and the one before it
FILES = ("weights.safetensors", "state.pt")


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged, or of another run; the message says which, why, and what to do."""


def save_checkpoint(folder, step, model, state, run):
    """Write the checkpoint `folder`/STEP and remove all but the newest `KEPT`. Return its path.

    state: a dictionary of plain values and tensors. run: what a run must agree in to go on from here, for JSON.
    """
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    contents = dict(zip(FILES, (save(weights), buffer.getvalue())))
    manifest = {"step": step, "run": run, "sha256": {name: _sum(content) for name, content in contents.items()}}
    contents["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    path, part = folder / f"{step:09d}", folder / f"{step:09d}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, content in contents.items():
        with open(part / name, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    if path.exists():  # of this very step, from before the run went back
        shutil.rmtree(path)
    part.rename(path)
    for old in find_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
    return path


def find_checkpoints(folder):
    """Return the paths of the checkpoints in `folder`, oldest first; what a kill left half written is not one."""
    folder = Path(folder)
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir() and path.name.isdigit())


def load_checkpoint(path, model, run):
    """Load the weights of the checkpoint `path` into `model` and return (step, state).

    Raises CheckpointError, before anything is changed, for a file that is missing or not what was written, for a run
    that differs from `run`, and for weights that do not fit, naming them.
    """
    path = Path(path)
    manifest, contents = _read(path)
    differing = [key for key in run if manifest["run"].get(key) != run[key]]
    if differing:
        was = ", ".join(describe_difference(key, manifest["run"].get(key), run[key]) for key in differing)
        raise CheckpointError(f"{path} is of another run: {was}; name another folder")
    weights = load(contents["weights.safetensors"])
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = {name for name in shapes.keys() | weights.keys() if name not in shapes or name not in weights}
    wrong |= {name for name in shapes.keys() & weights.keys() if shapes[name] != tuple(weights[name].shape)}
    if wrong:
        raise CheckpointError(f"{path} is of another network: {', '.join(sorted(wrong))} differ; name another folder")
    try:
        state = torch.load(io.BytesIO(contents["state.pt"]), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not ours: state.pt holds more than plain values and tensors") from error
    model.load_state_dict(weights)
    return manifest["step"], state


def _read(path):
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        contents = {name: (path / name).read_bytes() for name in FILES}
        sums = manifest["sha256"]
        manifest["step"], manifest["run"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}){_advice(path)}") from error
    for name, content in contents.items():
        if _sum(content) != sums.get(name):
            raise CheckpointError(f"{path} is damaged ({name} is not what was written){_advice(path)}")
    return manifest, contents


def describe_difference(key, old, new):
    """Say how `old` differs from `new`; of two dictionaries only what is not the same in both."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [name for name in old | new if old.get(name) != new.get(name)]
        old, new = ({name: values.get(name) for name in keys} for values in (old, new))
    return f"{key}={old!r}, not {new!r}"


def _advice(path):
    earlier = [other for other in find_checkpoints(path.parent) if other.name < path.name]
    return f"; delete it to go on from {earlier[-1]}" if earlier else "; delete it to begin anew"


def _sum(content):
    return hashlib.sha256(content).hexdigest()


class Checkpointer:
    """Writes the checkpoints of a run, and brings a new run to where the last one is; does nothing without a folder.

    minutes: between two checkpoints, besides those at the end of each epoch. train_step, meter, group: of the run.
    """

    def __init__(self, folder, minutes, train_step, meter, group):
        self.folder, self.seconds, self.group, self.meter = folder, 60 * minutes, group, meter
        self.model, self.device = meter.model, train_step.device
        self.kept = {key: getattr(train_step, key) for key in ("optimizer", "schedule", "scaler")} | {"meter": meter}
        history = meter.history
        self.run = {key: history[key] for key in ("data", "train_images", "config", "precision", "num_steps")}
        self.epoch = math.ceil(history["train_images"] / history["config"]["batch_size"])  # in steps
        self.written = time.monotonic()

    def resume(self):
        """Go to where the newest checkpoint is and return its step; 0 without one."""
        found = find_checkpoints(self.folder) if self.folder else []
        if not found:
            return 0
        step, state = load_checkpoint(found[-1], self.model, self.run)
        for name, part in self.kept.items():
            part.load_state_dict(state[name])
        if self.group.rank < len(state["random"]):  # cloned: PyTorch reads from the beginning of a tensor's storage
            torch.set_rng_state(state["random"][self.group.rank].clone())
            if self.device.type == "cuda" and "cuda_random" in state:  # not if a CPU wrote it
                torch.cuda.set_rng_state(state["cuda_random"][self.group.rank].clone(), self.device)
        return step

    def maybe_save(self, step, stopped=False):
        """Write one if an epoch or the run ends here, if the minutes are over, or a run of one process is stopped."""
        ends = step % self.epoch == 0 or step == self.run["num_steps"] or (stopped and self.group.size == 1)
        if self.folder and (ends or self.group.any(step, time.monotonic() - self.written > self.seconds)):
            self.save(step)

    def save(self, step):
        """Write the checkpoint of `step`: the first process does.

        All take part, since each has random numbers of its own.
        """
        wait_for(self.device)  # the steps are still training …
        self.written = time.monotonic()
        state = {name: part.state_dict() for name, part in self.kept.items()}
        state["random"] = self.group.gather(torch.get_rng_state())
        if self.device.type == "cuda":
            state["cuda_random"] = self.group.gather(torch.cuda.get_rng_state(self.device))
        if self.group.rank == 0:
            save_checkpoint(self.folder, step, self.model, state, self.run)
        self.meter.start += time.monotonic() - self.written  # … and this is none
