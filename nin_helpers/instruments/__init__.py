"""The instruments: figures that answer while one drags, in a notebook and on a page without a kernel.

Each is an ES module in this folder, which reckons and draws, and a class here with its state: a few lines. In a
notebook anywidget hosts the module, on a page of `make site` a script of ours does. To add one: a module NAME.js, a
class in `instruments.arithmetic` or `instruments.networks`, and its still by `make stills`.
"""

from nin_helpers.instruments.arithmetic import (
    CostTable,
    HeadCalculator,
    PixelPerceptron,
    ShapeLadder,
    StuckOrLearning,
)
from nin_helpers.instruments.base import Instrument
from nin_helpers.instruments.networks import Journey, ShiftTest, WhereItLooks

__all__ = [
    "CostTable",
    "HeadCalculator",
    "Instrument",
    "Journey",
    "PixelPerceptron",
    "ShapeLadder",
    "ShiftTest",
    "StuckOrLearning",
    "WhereItLooks",
]
