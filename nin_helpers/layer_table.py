"""The table of a model's layers: where each is, what it is, its shapes and its parameters."""

import copy
import html
from dataclasses import astuple, dataclass, fields

import torch
from torch import nn

from nin_helpers.checks import check_whole_number


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
    model = bare_copy(model).eval()
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


def bare_copy(model, device="meta"):
    """Return a copy of `model` on `device`, where a pass costs nothing if that is "meta", without the user's hooks.

    Shared tensors stay shared, which `.to("meta")` and `.to_empty` would untie: what stands in deepcopy's memo is taken
    for the copy. Of a model on the meta device, which has no numbers, the copy has none that were set.
    """
    copies = {id(tensor): _copied(tensor, device) for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, dict) and (name.endswith("_hooks") or "_hooks_" in name):
                copies[id(value)] = type(value)()
    return copy.deepcopy(model, copies)


def _copied(tensor, device):
    new = torch.empty_like(tensor.detach(), device=device)
    if not tensor.is_meta:
        new.copy_(tensor.detach())
    return nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new


def _forward(model, shape):
    import torchinfo

    try:
        return torchinfo.summary(
            model, input_data=torch.zeros(shape, device="meta"), depth=10**6, verbose=0, col_names=()
        ).summary_list
    except RuntimeError as error:
        reason = error.__cause__ or error
        raise ValueError(f"input_shape={shape} does not run through {type(model).__name__}: {reason}") from error


def layer_stack(model):
    """Return [(text, kind, block), …], the convolutions, fully connected layers and poolings of `model`, for a drawing.

    kind: "conv", "pointwise" (1 × 1), "fc", "pool" or "mean" (global average). block: the name of the direct child of
    the model that holds the layer; None for the child itself.
    """
    found = []
    for name, layer in model.named_modules():
        block = name.split(".")[0] if "." in name else None
        if isinstance(layer, nn.Conv2d):
            k = layer.kernel_size[0]
            found.append((f"{k} × {k} conv, {layer.out_channels}", "pointwise" if k == 1 else "conv", block))
        elif isinstance(layer, nn.Linear):
            found.append((f"fully connected, {layer.out_features:,}", "fc", block))
        elif isinstance(layer, nn.MaxPool2d):
            found.append((f"{layer.kernel_size} × {layer.kernel_size} max pool", "pool", block))
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            found.append(("global average pool", "mean", block))
    return found
