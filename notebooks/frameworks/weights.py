"""Weights and recorded runs in files: what the networks of all frameworks share. Needs NumPy and safetensors only.

The names, shapes and axis orders in a file are PyTorch's: "block1.0.weight" is (out channels, in channels, height,
width), "block1.0.bias" (out channels,). Each framework's module turns them into its own, in one place.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

RECORDED = Path(__file__).resolve().parents[2] / "build" / "frameworks" / "pytorch.safetensors"


def read_weights(path, shapes):
    """Return {name: float32 array} of a safetensors file, which must have exactly the tensors of {name: shape}.

    Raises ValueError naming the tensors that are missing, not known, or of another shape.
    """
    arrays = load_file(path)
    wrong = [f"{name} is missing" for name in shapes if name not in arrays]
    wrong += [f"{name} is not a tensor of this network" for name in arrays if name not in shapes]
    wrong += [
        f"{name} has shape {arrays[name].shape}, not {tuple(shape)}"
        for name, shape in shapes.items()
        if name in arrays and arrays[name].shape != tuple(shape)
    ]
    wrong += [f"{name} is {array.dtype}, not float32" for name, array in arrays.items() if array.dtype != np.float32]
    if wrong:
        raise ValueError(f"{path}: {'; '.join(wrong)}")
    return arrays


def write_weights(path, arrays):
    """Write {name: float32 array} as a safetensors file."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def batches(images, labels, batch_size):
    """Yield the images and labels of batch after batch, once through."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size], labels[start : start + batch_size]


class Recorded:
    """What PyTorch's network did, as `reference.py` recorded it.

    settings: a dictionary: lr, batch_size, size, versions and so on. weights: {name: array}, the common start.
    inputs: {size: (batch, 1, size, size)}. layers: {size: {layer: array}}, in the order of the network, the logits
    last. images: (steps × batch_size, 1, size, size), prepared for the network; labels: (steps × batch_size,).
    losses: (steps,), of training from that start on those images, batch after batch, without dropout.
    """

    def __init__(self, path=RECORDED):
        if not Path(path).exists():
            raise FileNotFoundError(f"{path} is not there: reference.py beside this file writes it")
        with safe_open(path, framework="numpy") as file:
            self.settings = json.loads(file.metadata()["settings"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
        self.weights = _part(arrays, "weights/")
        self.inputs = {int(size): array for size, array in _part(arrays, "input/").items()}
        self.layers = {
            size: {name: arrays[f"layer/{size}/{name}"] for name in self.settings["layers"]} for size in self.inputs
        }
        self.images, self.labels, self.losses = (arrays[name] for name in ("images", "labels", "losses"))


def _part(arrays, prefix):
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
