"""Self-checks for the exercises: each takes the reader's own object and looks at what it does."""

import itertools
from dataclasses import replace
from numbers import Real

import torch
from torch import nn

from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN, nin_block
from nin_helpers.resources import count_macs, count_parameters, prediction_memory, training_memory
from nin_helpers.training.config import RECIPES, TrainConfig, make_config
from nin_helpers.training.loop import train


class Wrong(Exception):
    """The answer is wrong; the message is a hint that says what to look at."""


class NotAttempted(Exception):
    """The answer is None, or a function that returns None: an untouched stub, or one without its return."""


def check(question, answer):
    """Print whether `answer` is right and return it as a bool: right; wrong, with a hint; or not attempted yet.

    question: one of `CHECKS`: "1.recipe" takes a TrainConfig; "2.block" and "3.block" functions with the five
    arguments of `nin_block`; "4.head" a function (channels, height, width, num_classes) → module; the four of 5
    functions (model, input_shape) → number, memory in bytes of FP32; "6.reduction" a function (channels,
    num_classes) → module; "7.family" a dictionary {name: model}, smallest first.

    The checks look at behaviour on sizes of their own, so that an answer for one size only is wrong; memory counts
    as right within 10 %. They raise ValueError for a question that does not exist, and nothing else.
    """
    if question not in CHECKS:
        raise ValueError(f"question={question!r} is unknown; there are {', '.join(CHECKS)}")
    try:
        if answer is None:
            raise NotAttempted("it is None")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            CHECKS[question](answer)
    except NotAttempted as reason:
        print(f"{question}: not attempted yet ({reason})")
        return False
    except Wrong as hint:
        print(f"{question}: wrong. {hint}")
        return False
    except Exception as error:  # the reader's own code may raise anything
        print(f"{question}: wrong. Your answer raised {type(error).__name__}: {error}")
        return False
    print(f"{question}: right")
    return True


def _call(function, *arguments):
    if not callable(function):
        raise Wrong(f"This should be a function; it is of type {type(function).__name__}.")
    result = function(*arguments)
    if result is None:
        raise NotAttempted("the function returns None")
    return result


def _module(function, *arguments):
    result = _call(function, *arguments)
    if not isinstance(result, nn.Module):
        raise Wrong(f"The function should return an nn.Module; it returned a value of type {type(result).__name__}.")
    return result.eval()


def _expect(condition, hint):
    if not condition:
        raise Wrong(hint)


def _check_block(**options):
    """Compare the reader's block with ours of these options: same layers in the same order, same output."""

    def check_it(answer):
        for arguments in ((3, 8, 5, 2, 1), (1, 4, 3, 1, 0), (6, 5, 1, 1, 2)):
            block, ours = _module(answer, *arguments), nin_block(*arguments, **options)
            x = torch.randn(2, arguments[0], 19, 23)
            weights, expected = list(block.parameters()), list(ours.parameters())
            _expect(
                len(weights) == len(expected),
                f"Its weights and biases are {len(weights)} tensors, two for each convolution that has a bias. Count "
                f"its convolutions: how many should follow the first?",
            )
            got, wanted = block(x), ours(x)
            _expect(
                got.shape == wanted.shape,
                f"From {tuple(x.shape)} it makes {tuple(got.shape)}. Which layer may change height, width or channels?",
            )
            _expect(
                all(a.shape == b.shape for a, b in zip(weights, expected)),
                "A convolution has another kernel or other channels than it should. Look at the layer table.",
            )
            with torch.no_grad():
                for mine, reference in zip(weights, expected):
                    mine.copy_(reference)
            _expect(
                torch.allclose(block(x), wanted, atol=1e-5),
                "The weights fit, the output does not. Is there a ReLU behind each convolution, and nothing else?",
            )

    return check_it


def _check_head(answer):
    for channels, height, width, classes in ((6, 4, 5, 3), (3, 2, 2, 7)):
        head = _module(answer, channels, height, width, classes)
        linear = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
        _expect(linear, "There is no nn.Linear in it.")
        x = torch.randn(2, channels, height, width, requires_grad=True)
        logits = head(x)
        _expect(
            logits.shape == (2, classes),
            f"From {tuple(x.shape)} it makes {tuple(logits.shape)}; it should be one score per image and class.",
        )
        _expect(
            linear[0].in_features == channels * height * width,
            f"Its first linear layer takes {linear[0].in_features} features. How many numbers has one feature map?",
        )
        shuffled = x.flip(3)
        _expect(
            not torch.allclose(head(shuffled), logits, atol=1e-6),
            "It gives a mirrored map the same scores: the places of the pixels are lost before the linear layer.",
        )


def _models():
    """Yield (model, input shape) that the reader does not see: other depths, strides, paddings and heads."""
    yield nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3)), (4, 7)
    yield nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 1, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    ), (3, 2, 20, 16)  # fmt: skip
    yield nn.Sequential(nin_block(3, 12, 5, 2, 1), nn.MaxPool2d(3, 2), nin_block(12, 6, 3, 1, 1)), (2, 3, 41, 41)


def _number(value):
    """Return `value`, also one of NumPy or of a tensor with one element, as a number of Python's."""
    found = value.item() if hasattr(value, "item") else value
    _expect(
        isinstance(found, (int, float)) and not isinstance(found, bool),
        f"It returned {value!r}; it should be a number.",
    )
    return found


def _check_count(truth, hint, tolerance=0.0):
    def check_it(answer):
        for model, shape in _models():
            found, expected = _number(_call(answer, model, shape)), truth(model, shape)
            _expect(
                abs(found - expected) <= tolerance * expected,
                f"For a model of {len(list(model.modules())) - 1} modules and an input of {shape} it is too "
                f"{'large' if found > expected else 'small'}. {hint}",
            )

    return check_it


def _check_reduction(answer):
    for channels, classes in ((48, 6), (384, 10)):
        module = _module(answer, channels, classes)
        for size in (5, 3):
            x = torch.randn(2, channels, size, size)
            shape, widths = _shape_and_widths(module, x)
            _expect(
                shape == (2, classes, size, size),
                f"From {tuple(x.shape)} it makes {shape}; height and width should stay, one map per class.",
            )
        _expect(
            any(classes < width < channels for width in widths),
            f"Its convolutions have {widths} channels: the fall from {channels} to {classes} still happens at once.",
        )
        a, b = torch.randn(2, 1, channels, 5, 5).unbind()
        _expect(
            not torch.allclose(module((a + b) / 2), (module(a) + module(b)) / 2, atol=1e-6),
            "It is linear: without something between the steps, they are one step.",
        )


def _shape_and_widths(module, x):
    """Return the output's shape, and the channels that each convolution makes on the way."""
    widths = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: widths.append(output.shape[1]))
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    shape = tuple(module(x).shape)
    for hook in hooks:
        hook.remove()
    return shape, widths


def _check_family(answer):
    _expect(isinstance(answer, dict), f"This should be a dictionary; it is of type {type(answer).__name__}.")
    _expect(len(answer) >= 3, f"A family of {len(answer)} is small: three or more, please.")
    costs = []
    for name, model in answer.items():
        _expect(isinstance(model, nn.Module), f"{name!r} is a {type(model).__name__}, not a model.")
        _check_structure(name, model.eval())
        costs.append((name, count_parameters(model), count_macs(model, (1, 1, 224, 224))))
    for (small, *low), (large, *high) in itertools.pairwise(costs):
        for what, a, b in zip(("parameters", "multiply–accumulates"), low, high):
            _expect(a < b, f"From {small!r} to {large!r} the {what} do not grow: {a:,} and {b:,}.")


def _check_structure(name, model):
    kernels = [layer.kernel_size for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    linear = any(isinstance(layer, nn.Linear) for layer in model.modules())
    _expect(not linear, f"{name!r} has a fully connected layer; NiN has none.")
    pointwise = [kernel == (1, 1) for kernel in kernels]
    _expect(
        any(pointwise) and not all(pointwise), f"{name!r}: its kernels are {kernels}. What is an NiN block made of?"
    )
    _expect(not pointwise[0], f"{name!r} begins with a 1 × 1 convolution. What does a block begin with?")
    shapes = []
    for size in (224, 256):
        with torch.no_grad():
            shapes.append(tuple(model(torch.randn(2, 1, size, size)).shape))
    _expect(
        len(shapes[0]) == 2 and shapes[0] == shapes[1],
        f"{name!r} makes {shapes[0]} at 224 pixels and {shapes[1]} at 256. What makes the average global?",
    )


def _check_recipe(answer):
    _expect(isinstance(answer, TrainConfig), "This should come from make_config(…).")
    same = [name for name, recipe in RECIPES.items() if all(getattr(answer, key) == recipe[key] for key in recipe)]
    _expect(not same, f"This is recipe {same[0]!r} as it was, up to its length." if same else "")
    score, reference = (_short_run(recipe) for recipe in (answer, None))
    _expect(
        score >= reference - 0.03,
        f"In a short run it reaches {score:.2f} on held-out images, alive {reference:.2f}. Look at its first steps: "
        f"does the loss leave ln 10? Does it jump?",
    )


def _short_run(recipe):
    """Return the held-out accuracy of a recipe, or of ours, after 5,120 images of 67 px."""
    config = make_config("smoke") if recipe is None else recipe
    steps = max(1, 5120 // config.batch_size)
    config = replace(config, size=67, num_steps=steps, num_evaluations=1, test_limit=100, seed=0)
    torch.manual_seed(0)
    history = train(NiN(init=config.init, input_size=67), load_data(), config, on_evaluation=lambda history: None)
    return history["evaluations"][-1]["validation_accuracy"]


CHECKS = {
    "1.recipe": _check_recipe,
    "2.block": _check_block(num_pointwise=3),
    "3.block": _check_block(pointwise_kernel_size=3),
    "4.head": _check_head,
    "5.parameters": _check_count(
        lambda model, shape: count_parameters(model),
        "Do biases count, and do layers without one?",
    ),
    "5.macs": _check_count(
        count_macs,
        "Does it count each pixel of the output, each image of the batch, and no bias?",
    ),
    "5.training_memory": _check_count(
        training_memory,
        "Which tensors does the backward pass still need? Each parameter has a gradient, pooling keeps int64 indices. "
        "An optimizer's state is not asked for.",
        tolerance=0.1,
    ),
    "5.prediction_memory": _check_count(
        prediction_memory,
        "Parameters and input are there all the time; besides, how many activations at once?",
        tolerance=0.1,
    ),
    "6.reduction": _check_reduction,
    "7.family": _check_family,
}


def check_prediction(prediction, answer):
    """Print whether a reader's prediction is the answer, and return that; None, no prediction, is not told.

    Numbers are right within 1 %, so that a rounded one is; anything else must be equal.
    """
    if prediction is None:
        print("not attempted yet: put your prediction in place of None, and run the cell again")
        return False
    both = isinstance(prediction, Real) and isinstance(answer, Real)
    right = bool(abs(prediction - answer) <= 0.01 * abs(answer) if both else prediction == answer)
    told = f"{answer:,}" if isinstance(answer, int) else answer
    print(f"right: {told}" if right else f"not {prediction!r}: it is {told}")
    return right
