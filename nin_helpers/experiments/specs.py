"""What is measured: the cases of each experiment. Imports no torch."""

from nin_helpers.architecture import FAMILY, HEADS

# What varies in each experiment: cases with a name, a recipe ("adamw_alive" where none is named), and, where they differ from
# the default, options for NiN, a member of the family in its place, an initialisation other than the recipe's, other
# settings of the training, a change to the weights before the first step (see `_change_start`), what is measured of the
# trained network (`MEASURES`), and whether it is judged by the held-out images, as what is chosen from must be.
FIRST_RECIPES = ("sgd_default", "sgd_xavier", "adam", "adamw_alive")  # those of the textbooks, and the cure


EXPERIMENTS = {
    # how often each recipe gets stuck
    "recipes": [
        *({"case": name, "recipe": name} for name in FIRST_RECIPES),
        {"case": "adamw_alive, batch norm", "recipe": "adamw_alive", "model": {"batch_norm": True}},
    ],
    # which part of "adamw_alive" does what, and whether batch normalisation alone would do
    "cure": [
        {"case": "alive", "recipe": "adamw_alive"},
        {"case": "alive without the lift", "recipe": "adamw_alive", "change": "no lift"},
        {"case": "alive without the copies", "recipe": "adamw_alive", "change": "no copies"},
        {"case": "kaiming, optimizer of alive", "recipe": "adamw_alive", "init": "kaiming"},
        {"case": "xavier, optimizer of alive", "recipe": "adamw_alive", "init": "xavier"},
        {"case": "sgd_xavier, batch norm", "recipe": "sgd_xavier", "model": {"batch_norm": True}},
    ],
    # what a dead class costs: k of the ten killed before the first step
    "dead_classes": [{"case": f"{k} dead", "recipe": "adamw_alive", "change": k} for k in (0, 2, 4, 6, 8)],
    # exercise 1: the recipes again, and the best that `search` found, with seeds that the search has not seen
    "tuned": [
        *({"case": name, "recipe": name} for name in FIRST_RECIPES),
        {"case": "best of the search", "best_of": "search"},
    ],
    # exercises 2 and 3: how many per-pixel layers, and 3 × 3 in place of 1 × 1
    "per_pixel": [
        *({"case": f"{number} of 1 × 1", "model": {"num_pointwise": number}} for number in (0, 1, 2, 3)),
        {"case": "2 of 3 × 3", "model": {"pointwise_kernel_size": 3}},
    ],
    # exercise 2 again, for networks that train longer
    "per_pixel_longer": [{"case": f"{number} of 1 × 1", "model": {"num_pointwise": number}} for number in (0, 2)],
    # exercise 4: the heads, on shifted pictures and on pictures of other sizes too
    "heads": [{"case": head, "model": {"head": head}, "measure": "shifts"} for head in HEADS],
    # exercise 6: from 384 channels to 10 in one step, or by way of a block of 96, with and without our start
    "reduction": [
        {"case": f"{init}, {' → '.join(map(str, (384, *steps, 10)))}", "init": init, "model": {"reduction": steps}}
        | {"measure": "maps"}
        for init in ("alive", "kaiming")
        for steps in ((), (96,))
    ],
    # exercise 7: networks from small to large
    "family": [{"case": name, "family": name} for name in FAMILY],
    # how far the same network goes in a longer training, with today's habits
    "modern": [{"case": name, "recipe": name} for name in ("modern", "progressive")],
    # how to spend a third of these seconds: on large pictures, on more small ones, or on first small, then large ones
    "pictures": [
        {"case": case, "recipe": "modern", "held_out": True, "settings": settings}
        for case, settings in (
            ("large, 3 epochs", {"num_epochs": 3}),
            ("small, 7 epochs", {"num_epochs": 7, "size": 67}),
            ("small, then large, 4 epochs", {"num_epochs": 4, "progressive_resizing": 0.5}),
        )
    ],
}


# Whose steps are timed.
TIMED = ("per_pixel", "heads", "family")


# Whose first steps are recorded: each initialisation with each learning rate of plain SGD, after so many steps.
FIRST_RATES = (0.01, 0.05, 0.1, 0.5)


FIRST_STEPS = (0, 1, 2, 5, 10, 20, 40, 70, 100)
