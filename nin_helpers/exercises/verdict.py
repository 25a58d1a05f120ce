"""What a reader calls: `check`, and the check of each question."""

import torch

from nin_helpers.datasets import DataError
from nin_helpers.exercises.answers import NotAttempted, Wrong, attempted
from nin_helpers.exercises.costs import check_count
from nin_helpers.exercises.networks import (
    check_block,
    check_family,
    check_head,
    check_reduction,
    check_small_network,
)
from nin_helpers.exercises.recipe import check_recipe
from nin_helpers.resources import count_macs, count_parameters, prediction_memory, training_memory


def check(question, answer):
    """Print whether `answer` is right and return it as a bool: right; wrong, with a hint; or not attempted yet.

    question: one of `CHECKS`: "1.recipe" takes a TrainConfig; "2.block" and "3.block" functions with the five
    arguments of `nin_block`; "4.head" a function (channels, height, width, num_classes) → module; the four of 5
    functions (model, input_shape) → number, memory in bytes of FP32; "6.reduction" a function (channels,
    num_classes) → module; "7.family" a dictionary {name: model}, smallest first; "8.network" a model.

    The checks look at behaviour on sizes of their own, so that an answer for one size only is wrong; memory counts
    as right within 10 %, a recipe in a short run, see `check_recipe`. Models of the reader stay as they are. Raises
    ValueError for a question that does not exist and, for data that no answer can help, what `load_data` raises.
    """
    if question not in CHECKS:
        raise ValueError(f"question={question!r} is unknown; there are {', '.join(CHECKS)}")
    try:
        attempted(answer, "it is")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            CHECKS[question](answer)
    except NotAttempted as reason:
        print(f"{question}: not attempted yet ({reason})")
        return False
    except Wrong as hint:
        print(f"{question}: wrong. {hint}")
        return False
    except DataError:
        raise
    except Exception as error:  # the reader's own code may raise anything
        print(f"{question}: wrong. Your answer raised {type(error).__name__}: {error}")
        return False
    print(f"{question}: right")
    return True


CHECKS = {
    "1.recipe": check_recipe,
    "2.block": check_block(num_pointwise=3),
    "3.block": check_block(pointwise_kernel_size=3),
    "4.head": check_head,
    "5.parameters": check_count(
        lambda model, shape: count_parameters(model),
        "Do biases count, and do layers without one?",
    ),
    "5.macs": check_count(
        count_macs,
        "Does it count each pixel of the output, each image of the batch, and no bias?",
    ),
    "5.training_memory": check_count(
        training_memory,
        "Which tensors does the backward pass still need? What two layers need is kept once, each parameter has a "
        "gradient, pooling keeps int64 indices. An optimizer's state is not asked for.",
        tolerance=0.1,
    ),
    "5.prediction_memory": check_count(
        prediction_memory,
        "Parameters and input are there all the time; besides, how many activations at once?",
        tolerance=0.1,
    ),
    "6.reduction": check_reduction,
    "7.family": check_family,
    "8.network": check_small_network,
}
