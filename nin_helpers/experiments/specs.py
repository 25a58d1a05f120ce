"""What is measured: each experiment, its cases, and how much of it. Imports no torch.

A new experiment is an entry of `EXPERIMENTS`; the command line, its help and `experiment --all` (which leaves out what
wants a GPU) find it there. A new kind needs a function in `runner.RUNS`, a recorded result a row in results/README.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from nin_helpers.architecture import FAMILY, HEADS, INITS
from nin_helpers.checks import check_whole_number
from nin_helpers.training.config import RECIPES


@dataclass(frozen=True)
class Case:
    """One of the things that an experiment compares, by its name: a network, and how it is trained.

    recipe: one of `RECIPES`, or "search" for the best one that the experiment of this name has found.
    settings: of the training, in place of the recipe's and the profile's.
    model: options of `NiN`, in place of the usual ones; {"family": name} stands for a member of `nin_family`,
        {"paper": True} for `paper_nin`.
    change: to the weights before the first step, see `cases.change_start`.
    measure: what is measured of the trained network besides its accuracy, one of `measurements.MEASURES`.
    held_out: whether held-out images judge, as they must where something is chosen, and not the test images.
    """

    name: str
    recipe: str = "adamw_alive"
    settings: Mapping = field(default_factory=dict)
    model: Mapping = field(default_factory=dict)
    change: tuple[str, ...] | int | None = None
    measure: str | None = None
    held_out: bool = False


@dataclass(frozen=True)
class Training:
    """Train each case with the seeds 0 … seeds − 1, each on one thread. The fields but `about` and `cases` are options.

    profile: one of `PROFILES`. precision, device: as in `TrainConfig`. jobs: how many are trained at a time.
    data: the folder of Fashion-MNIST, see `load_data`.
    """

    about: str
    cases: tuple[Case, ...]
    profile: str = "reduced"
    seeds: int = 3
    precision: str = "fp32"
    device: str = "cpu"
    jobs: int = 1
    data: str | None = None


@dataclass(frozen=True)
class Search:
    """Try `trials` recipes, which Optuna chooses; see `search.run_search`."""

    about: str
    profile: str = "reduced"
    trials: int = 60
    precision: str = "fp32"
    device: str = "cpu"
    jobs: int = 1
    data: str | None = None


@dataclass(frozen=True)
class StepTimes:
    """Time a training step of each case of some experiments, in turns; see `measurements.run_step_times`."""

    about: str
    groups: tuple[str, ...]
    profile: str = "reduced"
    repeats: int = 7
    precision: str = "fp32"
    device: str = "cpu"


@dataclass(frozen=True)
class Memory:
    """Measure the memory of a pass through each of `cases.NETWORKS`; see `measurements.run_memory`."""

    about: str
    batch_size: int = 32
    repeats: int = 3
    device: str = "cpu"


@dataclass(frozen=True)
class FirstSteps:
    """Record the first steps of training from each start with each learning rate; see `measurements.first_steps`."""

    about: str
    inits: tuple[str, ...] = INITS
    rates: tuple[float, ...] = (0.01, 0.05, 0.1, 0.5)
    data: str | None = None


TEXTBOOK = ("sgd_xavier", "sgd_xavier_0.1")
FIRST_RECIPES = tuple(Case(name, name) for name in ("sgd_default", *TEXTBOOK, "adam", "adamw_alive"))


def _starts():
    """Return the cases of "cure": each start with the textbook's optimizer and with ours, named "start; optimizer"."""
    zero = ("zero biases",)
    parts = {"": (), " + lift": ("lift",), " + copies": ("copies",), " + both": ("lift", "copies")}
    starts = {"PyTorch's": ("default", (), {}), "Xavier": ("xavier", (), {})}
    for part, change in parts.items():
        starts[f"Xavier, zero biases{part}"] = ("xavier", zero + change, {})
    for part, change in parts.items():
        starts[f"Kaiming{part}"] = ("kaiming", change, {})
    for start in ("PyTorch's", "Xavier", "Xavier, zero biases", "Kaiming"):
        starts[f"{start} − last ReLU"] = (*starts[start][:2], {"final_relu": False})
    return tuple(
        Case(f"{name}; {optimizer}", recipe, {"init": init}, model, change or None)
        for name, (init, change, model) in starts.items()
        for optimizer, recipe in (("SGD", "sgd_xavier"), ("AdamW", "adamw_alive"))
    )


# In the order of the chapter, and so that what is chosen from an experiment comes after it.
EXPERIMENTS = {
    "recipes": Training(
        "how often the first recipes get stuck",
        (*FIRST_RECIPES, Case("adamw_alive, batch norm", settings={"batch_norm": True})),
        seeds=20,
    ),
    "first_steps": FirstSteps("a hundred steps of each start and learning rate"),
    "cure": Training(
        "what each part of the start 'alive' does, with two optimizers; the last ReLU; and batch normalisation",
        (*_starts(), Case("Xavier, batch normalisation; SGD", "sgd_xavier", {"batch_norm": True})),
        precision="bf16",
    ),
    "plateau": Training(
        "how long the textbook's recipes stay on the plateau: three epochs of its batches",
        tuple(Case(name, name, {"num_epochs": 3, "num_evaluations": 30}, measure="evaluations") for name in TEXTBOOK),
        profile="long",
        seeds=5,
        precision="bf16",
    ),
    "dead_classes": Training(
        "what a dead class costs: k of the ten are killed before the first step",
        tuple(Case(f"{k} dead", change=k) for k in (0, 2, 4, 6, 8)),
        seeds=2,
    ),
    "textbook_size": Training(
        "one epoch at the textbook's size, with all its evaluations",
        (Case("adamw_alive", settings={"num_epochs": 1}, measure="evaluations"),),
        profile="full",
        seeds=1,
        precision="bf16",
    ),
    "search": Search("exercise 1: look for a better recipe, by held-out images", precision="bf16"),
    "tuned": Training(
        "exercise 1: the best of the search beside the first recipes, with seeds that it has not seen",
        (*FIRST_RECIPES, Case("best of the search", "search")),
        seeds=10,
        precision="bf16",
    ),
    "per_pixel": Training(
        "exercises 2 and 3: how many 1 × 1 layers in a block, and 3 × 3 in place of 1 × 1",
        (
            *(Case(f"{number} of 1 × 1", model={"num_pointwise": number}) for number in (0, 1, 2, 3)),
            Case("2 of 3 × 3", model={"pointwise_kernel_size": 3}),
        ),
        profile="study",
        precision="bf16",
    ),
    "per_pixel_longer": Training(
        "exercise 2: the same in a longer training",
        tuple(Case(f"{number} of 1 × 1", model={"num_pointwise": number}) for number in (0, 2)),
        profile="longer",
        precision="bf16",
    ),
    "heads": Training(
        "exercise 4: the heads, on shifted pictures and on pictures of other sizes too",
        tuple(Case(head, model={"head": head}, measure="shifts") for head in HEADS),
        profile="study",
        seeds=5,
        precision="bf16",
    ),
    "resources": Memory("exercise 5: the memory of four networks in training and prediction"),
    "reduction": Training(
        "exercise 6: from 384 channels to 10 in one step or by way of 96, from two starts",
        tuple(
            Case(
                f"{init}, {' → '.join(map(str, (384, *steps, 10)))}",
                settings={"init": init},
                model={"reduction": steps},
                measure="maps",
            )
            for init in ("alive", "kaiming")
            for steps in ((), (96,))
        ),
        profile="study",
        precision="bf16",
    ),
    "family": Training(
        "exercise 7: networks from small to large",
        tuple(Case(name, model={"family": name}) for name in FAMILY),
        profile="study",
        precision="bf16",
    ),
    "quick": Training(
        "what the notebook's training gets to, beside one that has the larger pictures from the start",
        (
            Case("67, then 99 px"),
            Case("112 px", settings={"size": 112, "num_steps": 1500, "progressive_resizing": 0.0}),
        ),
        profile="quick",
        seeds=5,
        precision="bf16",
    ),
    "small_pictures": Training(
        "exercise 8: the paper's own network on pictures of 28 pixels, beside the enlarged one, with as many images",
        (
            Case("NiN, 112 px", settings={"batch_norm": True}),
            Case(
                "paper's NiN, 28 px",
                settings={"batch_norm": True, "init": "kaiming", "size": 28},
                model={"paper": True},
            ),
        ),
        profile="longer",
        precision="bf16",
    ),
    "speed": StepTimes(
        "the time of a training step of each network of the exercises, in turns",
        groups=("per_pixel", "heads", "family"),
        profile="study",
        precision="bf16",
    ),
    "modern": Training(
        "how far the same network goes in a longer training, with today's habits",
        (Case("modern", "modern"), Case("progressive", "progressive")),
        profile="long",
        seeds=5,
        precision="bf16",
    ),
    "pictures": Training(
        "how to spend a third of that time: on large pictures, on more small ones, or on small ones first",
        tuple(
            Case(name, "modern", settings, held_out=True)
            for name, settings in (
                ("large, 3 epochs", {"num_epochs": 3}),
                ("small, 7 epochs", {"num_epochs": 7, "size": 67}),
                ("small, then large, 4 epochs", {"num_epochs": 4, "progressive_resizing": 0.5}),
            )
        ),
        profile="long",
        seeds=2,
        precision="bf16",
    ),
    "full_size": Training(
        "each recipe for ten epochs at the textbook's size, on a GPU; not part of --all",
        tuple(Case(name, name) for name in RECIPES),
        profile="full",
        precision="auto",
        device="cuda",
    ),
}

OPTIONS = ("profile", "seeds", "trials", "repeats", "precision", "device", "jobs", "data")


def options_of(name):
    """Return which of `OPTIONS` experiment `name` takes; ValueError names an experiment that there is not."""
    if name not in EXPERIMENTS:
        raise ValueError(f"name={name!r} is no experiment; there are {', '.join(EXPERIMENTS)}")
    return [option for option in OPTIONS if hasattr(EXPERIMENTS[name], option)]


def specify(name, **options):
    """Return experiment `name` with `options` in place of its own values.

    Raises ValueError naming an experiment that there is not, an option that it does not take, a count below 1, or the
    package that a search needs.
    """
    taken = options_of(name)
    for option, value in options.items():
        if option not in taken:
            raise ValueError(f"{option}={value!r} is no option of experiment {name!r}, which takes {', '.join(taken)}")
        if option in ("seeds", "trials", "repeats", "jobs"):
            check_whole_number(option, value, 1)
    experiment = replace(EXPERIMENTS[name], **options)
    if isinstance(experiment, Search) and find_spec("optuna") is None:
        raise ValueError("a search needs Optuna, which is not installed: pip install 'nin_helpers[search]'")
    return experiment
