"""What a network answers, and how much of it is right."""

import math

import torch

from nin_helpers.hardware import autocast
from nin_helpers.modes import evaluating
from nin_helpers.preprocessing import preprocess


@torch.inference_mode()
def predict(model, images, config, precision="fp32", batch_size=100):
    """Return the logits (count, classes), float32, of uint8 images (count, channel, height, width), dropout off.

    The model's mode is left as it was.
    """
    pieces = []
    with evaluating(model):
        for batch in images.split(batch_size):
            x = preprocess(batch, config.size, config.mean, config.std)
            with autocast(images.device, precision):
                logits = model(x).float()
                pieces.append((logits + model(x.flip(3)).float()) / 2 if config.flip_in_test else logits)
    return torch.cat(pieces)


def accuracy(logits, labels, k=1):
    """Return the share of rows of logits (count, classes) whose label is among the k largest, 0 to 1."""
    return is_among(logits, labels, k).sum().item() / len(labels)


def is_among(logits, labels, k):
    """Return (count,), bool: whether each row's label is among the k largest of logits (count, classes)."""
    return (logits.topk(min(k, logits.shape[1])).indices == labels[:, None]).any(dim=1)


def is_plateau(loss, num_classes):
    """Return whether `loss` is within 1 % of ln(num_classes), what a network pays that knows nothing."""
    return abs(loss / math.log(num_classes) - 1) <= 0.01


def dead_classes(logits):
    """Return how many classes have the logit 0 for every image, as a last ReLU that never opens leaves it."""
    return (logits == 0).all(dim=0).sum().item()


def evaluate(model, data, config, precision="fp32", answer=None):
    """Return test_accuracy and test_top5_accuracy (0 to 1), dead_classes and test_images, over `data.test`.

    answer: a function from images to logits in place of `predict`.
    """
    split = data.test[: config.test_limit]
    logits = answer(split.images) if answer else predict(model, split.images, config, precision)
    return {
        "test_accuracy": accuracy(logits, split.labels),
        "test_top5_accuracy": accuracy(logits, split.labels, k=5),
        "dead_classes": dead_classes(logits),
        "test_images": len(split),
    }
