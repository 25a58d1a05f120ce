"""What goes on in a network: why it does not learn, what its units pass on, where it looks, what a shift changes."""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from nin_helpers.checks import check_whole_number
from nin_helpers.modes import evaluating

BLIND = 0.01  # logits that differ less than this across images move no probability by more than about 1 %


@dataclass(frozen=True)
class LayerState:
    """What one layer does on a batch.

    live: the share (0 to 1) of its channels that are other than 0 for some image and pixel.
    spread: the standard deviation of its output across images, root mean square over channels and pixels.
    gradient: the norm of the loss's gradient with respect to its weights and biases; None without any.
    """

    name: str
    type: str
    live: float
    spread: float
    gradient: float | None


@dataclass(frozen=True)
class Diagnosis:
    """The state of each layer, and what follows from it.

    cause: "dead" (all logits are 0 and so is every gradient), "blind" (the logits hardly depend on the image), or None.
    dead_classes: how many classes have the logit 0 for each image. sentence: what is the matter, and what to change.
    """

    layers: tuple[LayerState, ...]
    cause: str | None
    dead_classes: int
    sentence: str

    def __str__(self):
        lines = [f"{'layer':<12}{'type':<20}{'live units':>10}{'spread':>12}{'gradient':>12}"]
        for layer in self.layers:
            gradient = "–" if layer.gradient is None else f"{layer.gradient:.1e}"
            lines.append(f"{layer.name:<12}{layer.type:<20}{layer.live:>10.0%}{layer.spread:>12.1e}{gradient:>12}")
        return "\n".join([*lines, self.sentence])


def diagnose(model, batch):
    """Return the `Diagnosis` of `model` on a batch: two different causes keep the loss at ln(classes).

    batch: (x, labels), x float (batch, channel, height, width) as the model takes it, at least 2 images; labels int64
    (batch,). The model is left as it was; it runs as in prediction, dropout off. Raises ValueError for a smaller batch.
    """
    x, labels = batch
    if len(x) < 2:
        raise ValueError(f"batch has {len(x)} images; at least 2 are needed to see whether the outputs depend on them")
    outputs, logits = _run(model, x)
    gradients = _gradients(model, F.cross_entropy(logits.float(), labels))
    layers = tuple(
        LayerState(name, type(layer).__name__, *_live_and_spread(output), _norm(layer, gradients))
        for name, layer, output in outputs
    )
    dead = (logits == 0).all(dim=0).sum().item()
    _, spread = _live_and_spread(logits)
    if dead == logits.shape[1] and all(not gradient.any() for gradient in gradients.values()):
        cause = "dead"
        sentence = (
            "The last ReLU is dead: it gives 0 for every class and image, and a gradient of exactly 0, so nothing can "
            'change; start again with init="alive", and with a smaller lr if it died on the way.'
        )
    elif spread < BLIND:
        cause = "blind"
        sentence = (
            f"The logits hardly depend on the image: across images they differ by {spread:.0e}, because each layer "
            'shrinks what it gets; start again with init="alive", or with batch_norm=True.'
        )
    else:
        cause = None
        sentence = f"The logits differ across images by {spread:.2g}; {dead} of {logits.shape[1]} classes are dead."
    return Diagnosis(layers, cause, dead, sentence)


@dataclass(frozen=True)
class MapState:
    """What the maps behind one ReLU pass on, over the images and pixels of a batch.

    channels: how many there are. live: how many are other than 0 somewhere. open: how many are so at one image's one
    pixel, on average. rank: how many directions their values span: singular values above 1 % of the largest.
    """

    name: str
    channels: int
    live: int
    open: float
    rank: int


def map_states(model, x):
    """Return a `MapState` for each ReLU of `model`, in the order of the calls, dropout off.

    x: (batch, channel, height, width). Few open units, or a low rank, are a bottleneck for all that comes behind them.
    """
    with torch.no_grad():
        outputs, _ = _run(model, x)
    states = []
    for name, layer, output in outputs:
        if isinstance(layer, nn.ReLU):
            pixels = output.float().transpose(0, 1).flatten(1)  # (channel, batch · height · width)
            values = torch.linalg.svdvals(pixels)
            rank = (values > 0.01 * values[0]).sum().item()
            nonzero = pixels != 0
            live, open_units = nonzero.any(dim=1).sum().item(), nonzero.sum(dim=0).float().mean().item()
            states.append(MapState(name, len(pixels), live, open_units, rank))
    return states


@torch.no_grad()
def class_maps(model, x):
    """Return (maps, logits) of a NiN with global average pooling, dropout off: where each class finds its evidence.

    x: (batch, channel, height, width) → maps (batch, classes, h, w), what block 4 puts out, and logits
    (batch, classes), the mean of each map: a class activation map (Zhou et al., 2016, arXiv 1512.04150) that needs no
    computation of its own. Raises ValueError for a model without a layer "gap", as with a fully connected head.
    """
    if not hasattr(model, "gap"):
        raise ValueError('model has no layer "gap", so no map per class; a NiN with head="gap" has')
    kept = []
    handle = model.gap.register_forward_hook(lambda _, inputs, __: kept.append(inputs[0]))
    try:
        with evaluating(model):
            logits = model(x)
    finally:
        handle.remove()
    return kept[0], logits


@torch.no_grad()
def block_maps(model, x):
    """Return {block: (maps behind its window, maps behind its last per-pixel layer)} of a NiN, dropout off.

    x: (batch, channel, height, width); maps: (batch, channels, h, w), behind the ReLU where there is one.
    """
    outputs, _ = _run(model, x)
    found = {}
    for name, layer, output in outputs:
        block, dot, _ = name.partition(".")
        if dot:
            found.setdefault(block, []).append((layer, output))
    return {block: (_behind_window(layers), layers[-1][1]) for block, layers in found.items()}


def _behind_window(layers):
    """Return what the first ReLU of a block's [(layer, output), …] puts out."""
    return next(output for layer, output in layers if isinstance(layer, nn.ReLU))


@torch.no_grad()
def shift_accuracy(model, x, labels, shifts, fill=0.0):
    """Return {shift: accuracy, 0 to 1} of `model` on images moved by each number of pixels, dropout off.

    x: (batch, channel, height, width). Each shift is measured to the left, right, up and down, and the four accuracies
    averaged; what leaves the picture is lost, and `fill` comes in. Raises ValueError without images, and for a shift
    that is no whole number, below 0 or as large as the picture.
    """
    if len(x) == 0:
        raise ValueError("x has no images; an accuracy needs at least one")
    shifts = [check_whole_number("shift", shift, 0, min(x.shape[2:]) - 1) for shift in shifts]
    found = {}
    with evaluating(model):
        for shift in shifts:
            ways = ((shift, 0), (-shift, 0), (0, shift), (0, -shift)) if shift else ((0, 0),)
            right = 0
            for way, (part, truth) in itertools.product(ways, zip(x.split(100), labels.split(100))):
                right += (model(moved(part, *way, fill)).argmax(dim=1) == truth).sum().item()
            found[shift] = right / (len(ways) * len(x))
    return found


def moved(x, down, right, fill=0.0):
    """Return pictures x (…, height, width) moved by so many pixels; what leaves them is lost, and `fill` comes in."""
    return F.pad(x, (right, -right, down, -down), value=fill)


def _run(model, x):
    """Return [(name, layer, output), …] in the order of the calls, and the logits, with the model as in prediction."""
    outputs = []
    names = [(name or "(model)", module) for name, module in model.named_modules() if not list(module.children())]
    handles = [
        layer.register_forward_hook(lambda layer, _, output, name=name: outputs.append((name, layer, output.detach())))
        for name, layer in names
    ]
    try:
        with evaluating(model):
            logits = model(x)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, logits


def _gradients(model, loss):
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {id(p): torch.zeros_like(p) if gradient is None else gradient for p, gradient in zip(parameters, found)}


def _norm(layer, gradients):
    own = [gradients[id(p)] for p in layer.parameters(recurse=False) if id(p) in gradients]
    return nn.utils.get_total_norm(own).item() if own else None


def _live_and_spread(output):
    """output: (batch, channel, …) → the share of channels that are not 0 throughout, and the spread across images."""
    live = (output.transpose(0, 1).flatten(1) != 0).any(dim=1).float().mean().item()
    return live, output.float().std(dim=0).square().mean().sqrt().item()
