"""Record what PyTorch's network does, for the other frameworks to be compared with: `make setup-NAME`.

Written to build/frameworks/pytorch.safetensors, and read by `weights.Recorded`: see there what is in it.
"""

import json
import os

import numpy as np
import torch
from nin_pytorch import NiN, layer_outputs, make_step
from safetensors.numpy import save_file
from weights import RECORDED, batches

from nin_helpers.datasets import load_data
from nin_helpers.preprocessing import preprocess

STEPS, BATCH_SIZE, SIZE, LR, SEED = 100, 32, 99, 0.001, 0
NORMALISATION = 0.286, 0.353  # mean and standard deviation of the training pixels, as in notebook 3
INPUTS = {224: 1, 160: 2}  # height and width: images


def main():
    """Write the file, whole or not at all."""
    torch.manual_seed(SEED)
    model = NiN(init="alive", dropout=0.0, input_size=SIZE)
    arrays = {f"weights/{name}": tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    for size, count in INPUTS.items():
        arrays[f"input/{size}"] = x = torch.randn(count, 1, size, size).numpy()
        layers = layer_outputs(model, x)
        arrays |= {f"layer/{size}/{name}": output for name, output in layers.items()}
    data = load_data()
    count = STEPS * BATCH_SIZE
    order = torch.randperm(len(data.train)).repeat(-(-count // len(data.train)))[:count]  # the stand-in has too few
    images = preprocess(data.train.images[order], SIZE, *NORMALISATION).numpy()
    labels, step = data.train.labels[order].numpy(), make_step(model, LR)
    losses = [step(x, y) for x, y in batches(images, labels, BATCH_SIZE)]
    arrays |= {"images": images, "labels": labels, "losses": np.array(losses)}
    settings = {"data": data.name, "steps": STEPS, "batch_size": BATCH_SIZE, "size": SIZE, "lr": LR, "seed": SEED}
    settings |= {"layers": list(layers), "classes": list(data.classes), "torch": torch.__version__}
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    temporary = RECORDED.with_suffix(".part")
    save_file(arrays, temporary, {"settings": json.dumps(settings)})
    os.replace(temporary, RECORDED)
    print(
        f"{STEPS} steps of {BATCH_SIZE} images of {data.title}: loss {losses[0]:.3f} to {losses[-1]:.3f}, in {RECORDED}"
    )


if __name__ == "__main__":
    main()
