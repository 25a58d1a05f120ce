"""The second network of the shift test: the package's trained features under a fully connected head.

`python -m nin_helpers.experiments.pretrained_fc` trains the head alone, on features that are computed once and kept in
runs/: stop it, and start it again as you like.
"""

import hashlib
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from nin_helpers.datasets import load_data
from nin_helpers.diagnostics import shift_accuracy
from nin_helpers.experiments.results import new_result, write_result
from nin_helpers.nin import load_pretrained, load_pretrained_fc
from nin_helpers.prediction import load_classifier
from nin_helpers.preprocessing import preprocess
from nin_helpers.provenance import environment
from nin_helpers.training.evaluation import accuracy, predict
from nin_helpers.weight_files import PRETRAINED, PRETRAINED_FC, read_weights, write_weights

RECIPE = {
    "train_images": 10_000,
    "feature_precision": "bf16",
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.0,
    "schedule": "linear",
    "batch_size": 64,
    "num_epochs": 10,
}
SEED = 0
PART = 1_000  # images whose features are one file
SHIFTS, SHIFTED = (0, 8, 16, 32, 48), 500  # pixels of 195, and how many test images are shifted


def publish(work="runs/pretrained_fc", weights=PRETRAINED_FC, out=Path("results/pretrained_fc.json"), data=None):
    """Train the head, make it the package's, in 16 bits, and write its card to `out`, which is returned.

    work: a folder for the features, about 200 MB; features that are there are not computed again. data: Fashion-MNIST.
    """
    data, classifier = data or load_data("fashion_mnist"), load_classifier()
    train = data.train[: RECIPE["train_images"]]
    found = features(classifier.model[:7], train.images, classifier.config, Path(work))
    started = time.monotonic()
    head = train_head(found, train.labels, len(data.classes))
    seconds = time.monotonic() - started
    tensors, (_, about) = {f"fc.{name}": tensor.half() for name, tensor in head.state_dict().items()}, read_weights()
    write_weights(weights, tensors, {**about, "model": {**about["model"], "head": "fc"}})
    return card(weights, data, classifier.config, out, seconds)


def features(body, images, config, work):
    """Return float16 (count, features): what `body` makes of uint8 images (count, 1, height, width), kept in `work`."""
    parts = []
    for number, part in enumerate(images.split(PART)):
        path = work / f"features_{number:03}.safetensors"
        if not path.exists():
            found = predict(body, part, config, RECIPE["feature_precision"])
            write_weights(path, {"features": found.flatten(1).half()}, {})
        parts.append(read_weights(path)[0]["features"])
    return torch.cat(parts)


def train_head(maps, labels, num_classes):
    """Return a linear layer trained on maps (count, features); the rate falls to 0 in a straight line."""
    torch.manual_seed(SEED)
    head = nn.Linear(maps.shape[1], num_classes)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RECIPE["lr"], weight_decay=RECIPE["weight_decay"])
    steps = len(maps) // RECIPE["batch_size"]
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, RECIPE["num_epochs"] * steps)
    for _ in range(RECIPE["num_epochs"]):
        for index in torch.randperm(len(maps)).split(RECIPE["batch_size"])[:steps]:
            optimizer.zero_grad()
            F.cross_entropy(head(maps[index].float()), labels[index]).backward()
            optimizer.step()
            falling.step()
    return head


def card(weights, data, config, out, seconds):
    """Write what is to be known of the head to `out`, and return it: measured as the file is read back, in FP32.

    seconds: of the head's training, without the features. Its one run has the head's test_accuracy, and as "shifts" the
    accuracy, 0 to 1, of the averaged and of the connected head on the first test images moved by so many pixels, as
    `shift_accuracy` measures it.
    """
    models = {"gap": load_pretrained(), "fc": load_pretrained_fc(weights)}
    answers = predict(models["fc"], data.test.images, config)
    moving = data.test[:SHIFTED]
    x, fill = preprocess(moving.images, config.size, config.mean, config.std), -config.mean / config.std
    result = new_result("pretrained_fc", data.name)
    result["runs"] = [{
        "environment": environment(torch.device("cpu")),
        "config": {**RECIPE, "size": config.size, "mean": config.mean, "std": config.std},
        "seed": SEED,
        "training_seconds": seconds,
        "sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
        "features_of": hashlib.sha256(PRETRAINED.read_bytes()).hexdigest(),
        "test_accuracy": accuracy(answers, data.test.labels),
        "test_images": len(data.test),
        "shifted_images": len(moving),
        "shifts": {name: shift_accuracy(model, x, moving.labels, SHIFTS, fill) for name, model in models.items()},
    }]  # fmt: skip
    write_result(out, result)
    return result


if __name__ == "__main__":
    publish()
