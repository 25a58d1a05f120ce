"""Recipes and profiles: all that a training run depends on besides the model and the data. Imports no torch."""

import os
from dataclasses import dataclass, fields

from nin_helpers.architecture import INITS, smallest_input_size
from nin_helpers.checks import check_choice, check_number, check_per_channel, check_share, check_whole_number

# How the weights start, how they move, and how an image becomes numbers: (x / 255 − mean) / std.
RECIPES = {
    # Dive into Deep Learning since 2022: SGD, lr 0.05, Xavier weights
    "sgd_xavier": {"init": "xavier", "optimizer": "sgd", "lr": 0.05},
    # the same before 2022: its `train_ch6` gives the network Xavier weights, too
    "sgd_xavier_0.1": {"init": "xavier", "optimizer": "sgd", "lr": 0.1},
    # whoever leaves these weights out has PyTorch's own start
    "sgd_default": {"init": "default", "optimizer": "sgd", "lr": 0.1},
    # the Paddle edition's choice: Adam, lr 0.001, pixels in [−1, 1]
    "adam": {"init": "default", "optimizer": "adam", "lr": 1e-3, "mean": 0.5, "std": 0.5},
    # ours: every class map starts alive; warm-up and linear decay; pixels with mean 0 and standard deviation 1
    "adamw_alive": {
        "init": "alive", "optimizer": "adamw", "lr": 1e-3, "schedule": "warmup_linear", "mean": 0.286, "std": 0.353,
    },
    # the same network with today's habits, for accuracy in little time
    "modern": {
        "init": "alive", "batch_norm": True, "optimizer": "adamw", "lr": 5e-3, "weight_decay": 0.05,
        "schedule": "warmup_linear", "label_smoothing": 0.1, "random_flip": True, "flip_in_test": True,
        "mean": 0.286, "std": 0.353,
    },
}  # fmt: skip
# the same in less time: half of its steps on smaller pictures, which have less than half of the pixels
RECIPES["progressive"] = {**RECIPES["modern"], "progressive_resizing": 0.5}

# What the recipes say of pixels where they mean those of the training images; other data have their own.
FASHION_MNIST = {"mean": 0.286, "std": 0.353}

# How much of it: the textbook's run, and shorter ones.
PROFILES = {
    "full": {"size": 224, "batch_size": 128, "num_epochs": 10, "num_evaluations": 10},
    # a CPU's few minutes: half of the steps on smaller pictures; the last map is 2 × 2
    "quick": {"size": 99, "batch_size": 64, "num_steps": 1600, "progressive_resizing": 0.5},
    # what the trained network in the package took: five epochs, four of them on smaller pictures
    "trained": {
        "size": 195, "batch_size": 64, "num_epochs": 5, "progressive_resizing": 0.8, "num_evaluations": 10,
    },
    # all images, ten times, at a size that a CPU can do
    "long": {"size": 99, "batch_size": 128, "num_epochs": 10, "num_evaluations": 10},
    # one of the many runs of an experiment
    "reduced": {"size": 99, "batch_size": 32, "num_steps": 300, "num_evaluations": 6, "test_limit": 2000},
    # one of two networks, to compare them in a longer training
    "longer": {"size": 112, "batch_size": 64, "num_steps": 1500},
    # one of the fewer, longer runs behind the solutions; the last map is 3 × 3
    "study": {"size": 131, "batch_size": 64, "num_steps": 300, "num_evaluations": 6, "test_limit": 5000},
    "smoke": {"size": 67, "batch_size": 32, "num_steps": 80, "num_evaluations": 4, "test_limit": 1000},
}  # fmt: skip

SMALL = 0.68  # of the size, in the small steps of progressive resizing: 67 of 99 pixels, 152 of 224


@dataclass(frozen=True)
class TrainConfig:
    """All that a run depends on besides the model and the data; raises ValueError naming what is out of range.

    recipe, profile: the names under which the other values were chosen.
    init: how the weights start, see `nin.initialise`; for whoever builds the model, `train` leaves weights alone.
    optimizer: "sgd", "adam" or "adamw", with learning rate lr, momentum (SGD only) and weight_decay
        (not of biases and normalisations).
    schedule: "constant", or "warmup_linear": 10 % of the steps up to lr, then linearly down to 0.
    batch_norm: whether the network has batch normalisation; as init, for whoever builds the model.
    label_smoothing: the share of the target that is spread over all classes, 0 ≤ label_smoothing < 1.
    random_flip: whether each training image is mirrored, left to right, with probability one half.
    flip_in_test: whether an answer is the mean of those to the image and to its mirror image.
    mean, std: the normalisation of pixels in 0 … 1: a number, or a tuple with one for each channel.
    size: height and width in pixels to which the images are resized.
    progressive_resizing: the share of the steps, from the first, 0 ≤ progressive_resizing < 1, that are taken at
        `SMALL` of that size, in less than half the time each. It wants a network that takes both sizes, as NiN does.
    num_epochs, num_steps: the length; num_steps, where given, comes first.
    num_evaluations: how often the history gets an entry, with the accuracy on held-out images.
    validation_limit, test_limit: how many held-out and test images are used; None: all.
    precision: "fp32"; "bf16" or "fp16", multiplications in 16 bits and weights in FP32; "auto": see `pick_precision`.
    compile: whether the network goes through torch.compile first: that takes up to a minute or two before it can gain
        anything; `python -m benchmarks --compile` tells after how many images it has repaid.
    device: "auto" (CUDA, else MPS, else CPU), or a name that PyTorch knows, such as "cuda:1".
    seed: sets the order of the images and the dropout.
    """

    recipe: str = "adamw_alive"
    profile: str = "quick"
    init: str = "alive"
    optimizer: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    batch_norm: bool = False
    label_smoothing: float = 0.0
    random_flip: bool = False
    flip_in_test: bool = False
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    size: int = 224
    progressive_resizing: float = 0.0
    batch_size: int = 128
    num_epochs: int = 1
    num_steps: int | None = None
    num_evaluations: int = 20
    validation_limit: int | None = 1000
    test_limit: int | None = None
    precision: str = "auto"
    compile: bool = False
    device: str = "auto"
    seed: int = 0

    def __post_init__(self):
        def put(name, check, *limits):
            object.__setattr__(self, name, check(name, getattr(self, name), *limits))  # a plain number, as JSON has it

        for name in ("size", "batch_size", "num_epochs", "num_evaluations"):
            put(name, check_whole_number, 1)
        put("seed", check_whole_number, 0, 2**32 - 1)
        for name in ("num_steps", "validation_limit", "test_limit"):
            if getattr(self, name) is not None:
                put(name, check_whole_number, 1)
        put("lr", check_number)
        for name in ("mean", "std"):
            put(name, check_per_channel)
        for name in ("momentum", "weight_decay", "label_smoothing", "progressive_resizing"):
            put(name, check_share)
        for name in ("lr", "std"):
            value = getattr(self, name)
            if min(value) <= 0 if isinstance(value, tuple) else value <= 0:
                raise ValueError(f"{name}={value!r} must be greater than 0")
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)

    def model_options(self, data=None):
        """Return the arguments of `nin.NiN` that the run is meant for: init, batch_norm and input_size.

        data: the `ImageData` to be trained on; then its in_channels and num_classes, too.
        """
        options = {"init": self.init, "batch_norm": self.batch_norm, "input_size": self.size}
        return options if data is None else {**options, **data.model_options()}

    def size_at(self, step, num_steps):
        """Return the height and width in pixels of the images of step `step` of 1 … `num_steps`."""
        return self.small_size if step <= self.progressive_resizing * num_steps else self.size

    @property
    def small_size(self):
        """The height and width in pixels of the images in the small steps of progressive resizing."""
        return round(SMALL * self.size)


CHOICES = {
    "init": INITS,
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("constant", "warmup_linear"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    **dict.fromkeys(("batch_norm", "random_flip", "flip_in_test", "compile"), (True, False)),
}


def make_config(profile="quick", recipe="adamw_alive", data=None, **changes):
    """Return the `TrainConfig` of a profile (how much) and a recipe (how), with `changes` to single fields.

    data: the `ImageData` to be trained on, if it is one of your own: where the recipe has the mean and the standard
    deviation of Fashion-MNIST's pixels, those of its own training images take their place.

    Raises ValueError for a profile, recipe or field that does not exist, naming those that do, and for small steps that
    are too small for NiN.
    """
    for name, value, known in (("profile", profile, PROFILES), ("recipe", recipe, RECIPES)):
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown; there are {', '.join(known)}")
    known = [field.name for field in fields(TrainConfig)]
    for name in changes:
        if name not in known:
            raise ValueError(f"{name}={changes[name]!r} is no setting of a training run; there are {', '.join(known)}")
    values = {"profile": profile, "recipe": recipe, **PROFILES[profile], **RECIPES[recipe]}
    if data is not None and not data.like_fashion_mnist and values.items() >= FASHION_MNIST.items():
        values |= data.normalisation()
    values |= changes
    if "num_epochs" in changes and "num_steps" not in changes:
        values["num_steps"] = None
    config = TrainConfig(**values)
    if config.progressive_resizing and config.small_size < smallest_input_size():
        raise ValueError(
            f"size={config.size} is too small for progressive_resizing={config.progressive_resizing}: the small steps "
            f"would have {config.small_size} pixels, NiN takes {smallest_input_size()} at least; a size of "
            f"{round(smallest_input_size() / SMALL)} would do, "
            "or progressive_resizing=0"
        )
    return config


def default_profile():
    """Return the profile that the notebooks run: NIN_PROFILE where it is set, else "full" on CUDA, else "quick"."""
    if os.environ.get("NIN_PROFILE"):
        return os.environ["NIN_PROFILE"]
    import torch

    return "full" if torch.cuda.is_available() else "quick"
