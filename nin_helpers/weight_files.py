"""Weights in a file that says of which network they are, and that is checked when it is read."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nin_helpers.files import as_json, write_whole

PRETRAINED = Path(__file__).parent / "weights" / "nin_fashion_mnist.safetensors"  # comes with the package
PRETRAINED_FC = PRETRAINED.with_name("fc_head.safetensors")  # another head for its features
KEY = "nin_helpers"  # of safetensors' metadata: one text, so that the same network gives the same bytes


def write_weights(path, tensors, about):
    """Write {name: tensor} to `path`, whole or not at all, with a dictionary for JSON and a checksum of both."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = as_json(about)
    write_whole(path, save(tensors, {KEY: json.dumps({"sha256": _checksum(tensors, about), **about})}))


def read_weights(path=None):
    """Return ({name: tensor}, about) as they were written to `path`; None: the network that comes with the package.

    Raises FileNotFoundError, and ValueError for a file that is damaged or was not written by `write_weights`.
    """
    if path is None and not PRETRAINED.is_file():
        raise FileNotFoundError(f"this copy of nin_helpers has no trained network: {PRETRAINED} is missing")
    path = Path(PRETRAINED if path is None else path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights {path}")
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
            about = json.loads((file.metadata() or {}).get(KEY, "null"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is no file of weights, or is damaged: {error}") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} does not say which network it is of: it was not written by train or save_pretrained")
    if about.pop("sha256", None) != _checksum(tensors, about):
        raise ValueError(f"{path} is damaged: its content is not what was written")
    return tensors, about


def _checksum(tensors, about):
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
