"""The instruments that need no network: they reckon, or show what was recorded."""

import torch
import traitlets

from nin_helpers.architecture import BLOCKS, CLASS_WINDOW, INITS, POOL, WIDTHS
from nin_helpers.diagnostics import moved
from nin_helpers.instruments.base import Instrument
from nin_helpers.layer_table import layer_table
from nin_helpers.nin import NiN
from nin_helpers.preprocessing import read_drawing

# (kernel, stride, padding, channels) of the four blocks, and (kernel, stride) of the poolings between them
WINDOWS = [[kernel, stride, padding, channels] for channels, kernel, stride, padding in (*BLOCKS, (10, *CLASS_WINDOW))]

SHIRT = """\
..............
.###......###.
#####....#####
##############
##############
##.########.##
#..########..#
...########...
...##++++##...
...##++++##...
...########...
...########...
...########...
..............
"""


class ShapeLadder(Instrument):
    """The ladder of heights and widths that a picture goes down in NiN, for any windows.

    Predict first: the sizes are hidden until the reader has typed each. told: how many of them have been.
    """

    module = "shape_ladder"
    input_size = traitlets.Int(224).tag(sync=True)
    blocks = traitlets.List(WINDOWS).tag(sync=True)
    pool = traitlets.List(list(POOL)).tag(sync=True)
    predict = traitlets.Bool(False).tag(sync=True)
    told = traitlets.Int(0).tag(sync=True)
    verdict = traitlets.Unicode("").tag(sync=True)


class HeadCalculator(Instrument):
    """What NiN's average costs beside fully connected heads, for any input size and number of classes."""

    module = "head_calculator"
    input_size = traitlets.Int(224).tag(sync=True)
    classes = traitlets.Int(10).tag(sync=True)
    blocks = traitlets.List(WINDOWS).tag(sync=True)
    pool = traitlets.List(list(POOL)).tag(sync=True)
    features = traitlets.Int(WIDTHS[-1]).tag(sync=True)


class CostTable(Instrument):
    """What each layer of a network costs, for any input size; a click on a column's head sorts by it.

    model: of the layers that `TYPES` names, one behind another, on square pictures; None: NiN. ValueError names a layer
    of another type.
    """

    TYPES = ("Conv2d", "ReLU", "MaxPool2d", "Dropout", "AdaptiveAvgPool2d", "Flatten")

    module = "cost_table"
    input_size = traitlets.Int(224).tag(sync=True)
    channels = traitlets.Int(1).tag(sync=True)
    layers = traitlets.List().tag(sync=True)
    order = traitlets.Unicode("network").tag(sync=True)

    def __init__(self, model=None, input_size=224):
        model = model or NiN(input_size=input_size)
        modules, channels = dict(model.named_modules()), next(model.parameters()).shape[1]
        rows = layer_table(model, (1, channels, input_size, input_size))
        layers = [self._layer(row.name, modules[row.name]) for row in rows if row.name in modules]
        super().__init__(input_size=input_size, channels=channels, layers=layers)

    def _layer(self, name, layer):
        kind = type(layer).__name__
        if kind not in self.TYPES:
            raise ValueError(f"layer {name!r} of the model is a {kind}, but must be one of {', '.join(self.TYPES)}")
        window = {
            short: value[0] if isinstance(value, tuple) else value
            for short, long in (("k", "kernel_size"), ("s", "stride"), ("p", "padding"), ("out", "out_channels"))
            if (value := getattr(layer, long, None)) is not None
        }
        return {"name": name, "type": kind, **window}


class PixelPerceptron(Instrument):
    """A 1 × 1 convolution as a perceptron for each pixel, and a 3 × 3 one that is none.

    The picture, a shirt, has three channels: brightness, and how it changes to the right and downwards. order: how its
    pixels are shuffled. weights: (4, 3, 3, 3), of which 1 × 1 has the centres.
    """

    module = "pixel_perceptron"
    row = traitlets.Int(8).tag(sync=True)
    column = traitlets.Int(10).tag(sync=True)
    window = traitlets.Int(1).tag(sync=True)
    shuffled = traitlets.Bool(False).tag(sync=True)
    side = traitlets.Int(14).tag(sync=True)
    maps = traitlets.List().tag(sync=True)
    order = traitlets.List().tag(sync=True)
    weights = traitlets.List().tag(sync=True)
    biases = traitlets.List([-0.5, 0.0, 0.0, 1.0]).tag(sync=True)

    def __init__(self):
        bright = (read_drawing(SHIRT, 14)[0] / 255).double()  # (14, 14)
        maps = torch.stack([bright, moved(bright, 0, -1) - bright, moved(bright, -1, 0) - bright])
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(14 * 14, generator=generator)
        weights = torch.randn(4, 3, 3, 3, generator=generator) / 2
        weights[:, :, 1, 1] = torch.tensor([[1.0, 1, 1], [0, -1, 0], [0, 0, -1], [-1, 0.5, 0.5]])
        rounded = [tensor.mul(1000).round().div(1000).double() for tensor in (maps.flatten(1), weights)]
        super().__init__(maps=rounded[0].tolist(), order=order.tolist(), weights=rounded[1].tolist())


class StuckOrLearning(Instrument):
    """The first steps of three trainings side by side: blind, dead and learning at first, each to be changed.

    result: of the experiment "first_steps". live: a function of init and lr that yields such states, for the button
    that runs one, where a kernel answers; None: no button.
    """

    module = "stuck_or_learning"
    inits = traitlets.List(list(INITS)).tag(sync=True)
    rates = traitlets.List().tag(sync=True)
    runs = traitlets.List().tag(sync=True)  # [{init, lr, states}, …]
    shown = traitlets.List([["xavier", 0.05], ["default", 0.5], ["alive", 0.01]]).tag(sync=True)  # (init, lr) of each
    step = traitlets.Int(100).tag(sync=True)
    can_run = traitlets.Bool(False).tag(sync=True)

    def __init__(self, result, live=None):
        runs = [{key: run[key] for key in ("init", "lr", "states")} for run in result["runs"]]
        rates = sorted({run["lr"] for run in runs})
        super().__init__(runs=[_short(run) for run in runs], rates=rates, can_run=live is not None)
        self.live = live
        self.on_msg(self._run)

    def _run(self, _, content, buffers):
        if content.get("kind") != "live" or self.live is None:
            return
        init, lr = content["init"], content["lr"]
        for state in self.live(init, lr):
            self.send({"kind": "state", "init": init, "lr": lr, "state": _short_state(state)})
        self.send({"kind": "done", "init": init, "lr": lr})


def _short(run):
    return {**run, "states": [_short_state(state) for state in run["states"]]}


def _short_state(state):
    """Return a state with numbers of five digits, and its spread as a list, from the first ReLU to the last."""
    numbers = {key: _digits(state[key]) for key in ("step", "loss", "live", "gradient")}
    return {**numbers, "spread": [_digits(value) for value in state["spread"].values()]}


def _digits(value):
    return None if value is None else float(f"{value:.5g}")
