"""Convolution arithmetic, and the table of a model's layers."""

import copy
import html
from dataclasses import astuple, dataclass, fields

from torch import nn


def conv_output_size(size, kernel_size, stride=1, padding=0):
    """Return the height (or width) in pixels that a convolution or pooling window leaves of `size` pixels.

    The window of `kernel_size` pixels fits ⌊(size + 2 · padding − kernel_size) / stride⌋ + 1 times.
    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), relationship 6.

    Raises ValueError for an argument that is not a whole number or is out of range, and where no window fits.
    """
    for name, value, smallest in (
        ("size", size, 1),
        ("kernel_size", kernel_size, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
    ):
        check_whole_number(name, value, smallest)
    if size + 2 * padding < kernel_size:
        raise ValueError(
            f"size={size} is too small: with padding={padding} there are {size + 2 * padding} pixels, and a window of "
            f"kernel_size={kernel_size} does not fit; the smallest size that works is {kernel_size - 2 * padding}"
        )
    return (size + 2 * padding - kernel_size) // stride + 1


@dataclass(frozen=True)
class Rung:
    """One step of a shape ladder: a window that goes over a square of `size` pixels.

    output: height and width in pixels behind it. unused: how many rows (and columns) at the end, padding included, no
    window reaches, because the formula rounds down. problem: why there is no output; size, output and unused are None
    where a rung before has a problem already. channels: of the output.
    """

    name: str
    channels: int
    size: int | None
    kernel_size: int
    stride: int
    padding: int
    output: int | None
    unused: int | None
    problem: str | None = None

    @property
    def formula(self):
        """The arithmetic with its numbers in it, the result left out."""
        n = "?" if self.size is None else self.size
        return f"⌊({n} + 2·{self.padding} − {self.kernel_size}) / {self.stride}⌋ + 1"


def ladder(input_size, windows):
    """Return the `Rung`s that a square image of `input_size` pixels goes down, one for each window.

    windows: [(name, channels, kernel_size, stride, padding), …]. A window that does not fit ends the ladder: its rung
    has the problem. Raises ValueError for a number that is out of range, as `conv_output_size` does.
    """
    check_whole_number("input_size", input_size, 1)
    size, rungs = input_size, []
    for name, channels, kernel_size, stride, padding in windows:
        check_whole_number("channels", channels, 1)
        conv_output_size(10**9, kernel_size, stride, padding)  # refuses what is out of range
        output = unused = problem = None
        if size is not None and size + 2 * padding >= kernel_size:
            output = conv_output_size(size, kernel_size, stride, padding)
            unused = (size + 2 * padding - kernel_size) % stride
        elif size is not None:
            there = size + 2 * padding
            count = "1 pixel is" if there == 1 else f"{there} pixels are"
            problem = f"{name} needs a window of {kernel_size}, but only {count} there"
        rungs.append(Rung(name, channels, size, kernel_size, stride, padding, output, unused, problem))
        size = output
    return rungs


def judge_size(rung, guess):
    """Return (right, sentence) for a reader's guess, as typed, of a rung's output; ValueError: no whole number."""
    text = str(guess).strip()
    if not text.isdecimal():
        raise ValueError(f"your prediction is {text!r}, but must be a whole number of pixels, such as 26")
    right = int(text) == rung.output
    verdict = "Right" if right else f"Not {int(text)}"
    return right, f"{verdict}: behind {rung.name} there are {rung.formula} = {rung.output} pixels."


def check_whole_number(name, value, smallest):
    """Raise ValueError unless `value` is an int (True and False are not) of at least `smallest`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {smallest}")


@dataclass(frozen=True)
class LayerRow:
    """One line of a layer table: where it is, what it is, shapes with the batch first (None: never called)."""

    name: str
    type: str
    input_shape: tuple | None
    output_shape: tuple | None
    parameters: int


@dataclass(frozen=True)
class LayerTable:
    """The rows of a model, in the order in which the layers ran; prints as text, shows as HTML in a notebook."""

    rows: tuple[LayerRow, ...]

    @property
    def total_parameters(self):
        """The number of parameters, shared ones counted once: the sum over the rows."""
        return sum(row.parameters for row in self.rows)

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def _cells(self):
        header = [field.name.replace("_", " ") for field in fields(LayerRow)]
        body = [[_text(value) for value in astuple(row)] for row in self.rows]
        return header, body, ["total", "", "", "", _text(self.total_parameters)]

    def __str__(self):
        header, body, total = self._cells()
        lines = [header, *body, total]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

        def line(cells):
            left = [cell.ljust(width) for cell, width in zip(cells[:-1], widths)]
            return "  ".join([*left, cells[-1].rjust(widths[-1])])

        rule = "─" * len(line(header))
        return "\n".join([line(header), rule, *map(line, body), rule, line(total)])

    def _repr_html_(self):
        header, body, total = self._cells()

        def row(cells, tag):
            align = ["left"] * (len(cells) - 1) + ["right"]
            return "".join(f'<{tag} style="text-align:{a}">{html.escape(c)}</{tag}>' for c, a in zip(cells, align))

        lines = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in body)
        return (
            f"<table><thead><tr>{row(header, 'th')}</tr></thead><tbody>{lines}</tbody>"
            f"<tfoot><tr>{row(total, 'th')}</tr></tfoot></table>"
        )


def _text(value):
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return " × ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else value


def layer_table(model, input_shape, per="layer"):
    """Run one forward pass of a copy of `model` without data and return its `LayerTable`.

    model: any nn.Module that takes one tensor; it is left as it was (mode, hooks, weights, random state).
    input_shape: with the batch in front, (batch, channel, height, width) for images; three numbers given to a model
    of 2-d convolutions are one image, (channel, height, width).
    per: "layer" for each module that has no children; "block" for the direct children of the model.

    A parameter is counted in the first row that holds it, so shared weights count once and the rows sum to the total.
    The pass and its shapes are torchinfo's. Raises ValueError for a shape that the model refuses, with its reason.
    """
    if per not in ("layer", "block"):
        raise ValueError(f'per={per!r} must be "layer" or "block"')
    shape = _with_batch(model, input_shape)
    model = _blank_copy(model)
    names = {id(module): name for name, module in model.named_modules()}
    seen = set()

    def row(module, name, info=None, own=False):
        count = 0
        for parameter in module.parameters(recurse=not own):
            count += parameter.numel() * (id(parameter) not in seen)
            seen.add(id(parameter))
        sizes = (tuple(info.input_size), tuple(info.output_size)) if info else (None, None)
        return LayerRow(name or "(model)", type(module).__name__, *sizes, count)

    children = [] if per == "layer" else [id(child) for child in model.children()]
    rows = []
    for info in _forward(model, shape):
        if info.layer_id not in names:  # torchinfo also lists bare parameters; their module has the row
            continue
        module, name = info.module, names[info.layer_id]
        is_leaf = next(module.children(), None) is None
        if (is_leaf and not children) or info.layer_id in children:
            rows.append(row(module, name, info))
    for name, module in model.named_modules():  # weights outside those rows: never called, or held by a container
        if any(id(parameter) not in seen for parameter in module.parameters(recurse=False)):
            rows.append(row(module, name, own=True))
    return LayerTable(tuple(rows))


def _with_batch(model, input_shape):
    if not isinstance(input_shape, (tuple, list)):
        raise ValueError(f"input_shape={input_shape!r} must be a tuple such as (batch, channel, height, width)")
    shape = tuple(input_shape)
    for index, size in enumerate(shape):
        check_whole_number(f"input_shape={shape} has a size at index {index}, which", size, 1)
    takes_images = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return (1, *shape) if takes_images and len(shape) == 3 else shape


def _blank_copy(model):
    """Copy `model` to the meta device, where a pass costs nothing, without the hooks that a user registered.

    What stands in deepcopy's memo is taken for the copy: blank tensors, where `.to("meta")` would untie shared ones.
    """
    blanks = {id(tensor): _blank(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, dict) and (name.endswith("_hooks") or "_hooks_" in name):
                blanks[id(value)] = type(value)()
    return copy.deepcopy(model, blanks).eval()


def _blank(tensor):
    blank = tensor.detach().to("meta")
    return nn.Parameter(blank, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else blank


def _forward(model, shape):
    import torch
    import torchinfo

    try:
        return torchinfo.summary(
            model, input_data=torch.zeros(shape, device="meta"), depth=10**6, verbose=0, col_names=()
        ).summary_list
    except RuntimeError as error:
        reason = error.__cause__ or error
        raise ValueError(f"input_shape={shape} does not run through {type(model).__name__}: {reason}") from error
