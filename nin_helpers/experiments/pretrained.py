"""The network that comes with the package: how a finished training becomes it, and its card in results/."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_model

from nin_helpers.datasets import load_data
from nin_helpers.experiments.cases import recorded_config
from nin_helpers.experiments.results import ENVIRONMENT, new_result, write_result
from nin_helpers.nin import NiN
from nin_helpers.prediction import load_classifier, save_pretrained
from nin_helpers.training.config import TrainConfig
from nin_helpers.training.evaluation import predict
from nin_helpers.training.outputs import RunFiles
from nin_helpers.weight_files import PRETRAINED


def publish(run, weights=PRETRAINED, out=Path("results/pretrained.json"), data=None):
    """Make the run that `train --out run` has finished the package's network, in 16 bits, and write its card.

    data: Fashion-MNIST unless given; all of its test images judge. Returns the card, see `card`.
    """
    files, data = RunFiles(run), data or load_data("fashion_mnist")
    history = json.loads(files.history.read_text(encoding="utf-8"))
    config = TrainConfig(**history["config"])
    model = NiN(**config.model_options(data))
    load_model(model, files.weights)
    save_pretrained(model, config, data, weights)
    return card(weights, history, data, out)


def card(weights, history, data, out):
    """Write what is to be known of the network in the file `weights` to `out`, a file of results, and return it.

    history: of its training. Its one run has the environment, configuration and seed of that; the file's bytes and
    sha256; and of the network as it is read back, in FP32 on the CPU: parameters, test_accuracy and test_images, and
    confusion, how many images of each of `classes` (row) were taken for each (column).
    """
    trained, content = load_classifier(weights), Path(weights).read_bytes()
    predicted, count = predict(trained.model, data.test.images, trained.config).argmax(dim=1), len(data.classes)
    confusion = (data.test.labels * count + predicted).bincount(minlength=count**2).view(count, count)
    result = new_result("pretrained", data.name)
    result["runs"] = [{
        "environment": {key: history[key] for key in sorted(ENVIRONMENT)},
        "config": recorded_config(trained.config),
        "seed": trained.config.seed,
        **{key: history[key] for key in ("train_images", "num_steps", "training_seconds")},
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "test_accuracy": (confusion.diagonal().sum() / confusion.sum(dtype=torch.float64)).item(),
        "test_images": len(data.test),
        "classes": list(data.classes),
        "confusion": confusion.tolist(),
    }]  # fmt: skip
    write_result(out, result)
    return result
