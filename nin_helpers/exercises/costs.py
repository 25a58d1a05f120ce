"""Exercise 5: functions of a model and an input shape that return a number."""

import math
from numbers import Real

from torch import nn

from nin_helpers.exercises.answers import call, expect
from nin_helpers.nin import nin_block


def _models():
    """Yield (model, input shape) that the reader does not see: other depths, strides, paddings and heads."""
    yield nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3)), (4, 7)
    yield nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 1, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    ), (3, 2, 20, 16)  # fmt: skip
    yield nn.Sequential(nin_block(3, 12, 5, 2, 1), nn.MaxPool2d(3, 2), nin_block(12, 6, 3, 1, 1)), (2, 3, 41, 41)


def _number(value):
    """Return `value`, also one of NumPy or a tensor with one element, as a number of Python's."""
    found = value.item() if math.prod(getattr(value, "shape", (0,))) == 1 else value
    is_number = isinstance(found, Real) and not isinstance(found, bool) and math.isfinite(found)
    expect(is_number, f"It returned {value!r}; it should be a number.")
    return found


def check_count(truth, hint, tolerance=0.0):
    """Compare the reader's number with that of `truth` (model, input shape), up to a share of it."""

    def check_it(answer):
        for model, shape in _models():
            expected = truth(model, shape)
            found = _number(call(answer, model, shape))
            expect(
                abs(found - expected) <= tolerance * expected,
                f"It gives {found:,.10g}, which is {abs(found - expected):,.10g} too "
                f"{'many' if found > expected else 'few'}, for an input of {shape} to {model}. {hint}",
            )

    return check_it
