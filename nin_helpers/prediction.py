"""A trained network in use: what it needs to answer, kept in one file with its weights."""

from dataclasses import asdict, dataclass

import torch

from nin_helpers.diagnostics import class_maps
from nin_helpers.nin import NiN, from_weights
from nin_helpers.pictures import read_picture_file
from nin_helpers.preprocessing import preprocess
from nin_helpers.training.config import TrainConfig
from nin_helpers.training.evaluation import predict
from nin_helpers.weight_files import read_weights, write_weights


@dataclass(frozen=True)
class Classifier:
    """A trained network, the configuration of its training, its classes, and the size of the pictures that it saw.

    picture_size: height and width in pixels of the training pictures before they were enlarged to `config.size`.
    Pictures below are uint8, (count, channel, height, width).
    """

    model: NiN
    config: TrainConfig
    classes: tuple[str, ...]
    picture_size: int = 28

    def read(self, path, invert=False):
        """Return the picture (channel, height, width) of a file, as the training pictures were; see `read_picture`.

        DataError names a file that cannot be read.
        """
        return read_picture_file(path, invert=invert, size=self.picture_size, color=self.model.in_channels == 3)

    def top(self, pictures, k=3):
        """Return for each picture {class: share} of its `k` most likely classes, the first one first; all add up to 1.

        A share is the softmax of the logits: what the network is sure of, which may be wrong.
        """
        shares = predict(self.model, pictures, self.config).softmax(dim=1)
        found = shares.topk(min(k, len(self.classes)))
        return [
            {self.classes[label]: share for label, share in zip(labels, values)}
            for labels, values in zip(found.indices.tolist(), found.values.tolist())
        ]

    def maps(self, pictures, names):
        """Return (count, h, w): of each picture the map of the class that `names` has for it; see `class_maps`."""
        maps, _ = class_maps(self.model, preprocess(pictures, self.config.size, self.config.mean, self.config.std))
        return maps[range(len(maps)), [self.classes.index(name) for name in names]]


def load_classifier(path=None):
    """Return the `Classifier` in a file of weights, on the CPU; None: the one that comes with the package.

    Raises as `weight_files.read_weights` does.
    """
    tensors, about = read_weights(path)
    return Classifier(
        from_weights(tensors, about), TrainConfig(**about["config"]), tuple(about["classes"]), about["picture_size"]
    )


def save_pretrained(model, config, data, path, dtype=torch.float16):
    """Write a trained `NiN` and what its answers need to the file `path`, for `load_classifier`.

    config, data: of its training. dtype: of the weights in the file; None: as they are. Raises ValueError for a network
    that config and data do not describe, and for a weight that is too large for dtype.
    """
    options = {"head": model.head, "batch_norm": config.batch_norm, "input_size": model.input_size}
    options |= data.model_options()
    with torch.device("meta"):
        described = NiN(**options)
    if repr(model) != repr(described):
        raise ValueError(f"model is not the network that config and data describe, NiN with {options}")
    tensors = model.state_dict()
    for name, tensor in tensors.items():
        if dtype is not None and tensor.is_floating_point():
            tensors[name] = tensor.to(dtype)
            if not tensors[name].isfinite().all():
                raise ValueError(f"{name} has a value that {dtype} cannot hold")
    about = {"model": options, "config": asdict(config), "classes": data.classes, "data": data.title}
    write_weights(path, tensors, {**about, "picture_size": data.train.images.shape[-1]})
