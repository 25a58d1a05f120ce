"""Figures: the only module that imports matplotlib. Each function takes plain numbers and arrays, and draws one figure.

Colours are Okabe and Ito's (2008), told apart by the colour-blind and on light and dark pages; each figure has a white
ground of its own, so that a dark theme does not swallow its text. What all figures have in common is `LOOK`.
"""

import io
import itertools
import math
import threading
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.rcsetup import cycler

from nin_helpers.files import write_whole

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666", "#CC79A7", "#56B4E9")
BLUE, ORANGE, GREEN, RED, GREY, *_ = COLOURS
# 7 colours with 4 kinds of line: 28 curves before two look alike, and then it begins anew
STYLES = cycler(
    color=COLOURS * 4, linestyle=("-", "--", "-.", ":") * 7, marker=("o", "s", "^", "D", "X", "v", "P") * 4,
    markersize=(4,) * 28,
)  # fmt: skip
LOOK = {
    "figure.constrained_layout.use": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": STYLES,  # for curves, one after the other; lines of a drawing: axis.set_prop_cycle(None)
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_pyplot = threading.Lock()


def show_images(images, titles, heading="", columns=10):
    """Draw images (count, height, width) in a grid, each under its title."""
    figure, _ = _image_grid(images, titles, heading, columns, (0.95, 1.2))
    return figure


def plot_networks(stacks):
    """Draw networks side by side as stacks of layers, first layer at the bottom.

    stacks: {network: [(text, kind, group), …]}, kind one of "conv", "pointwise", "fc", "pool", "mean"; neighbours with
    the same group (not None) get a frame around them: a block.
    """
    kinds = {
        "conv": ("k × k convolution", BLUE), "pointwise": ("1 × 1 convolution", ORANGE), "fc": ("fully connected", RED),
        "pool": ("max pooling", GREY), "mean": ("global average pooling", GREEN),
    }  # fmt: skip
    height = max(map(len, stacks.values()))
    figure, axes = _subplots(1, len(stacks), figsize=(2.7 * len(stacks), 0.32 * height + 1), squeeze=False)
    for axis, (name, layers) in zip(axes.flat, stacks.items()):
        _draw_stack(axis, name, layers, kinds)
        axis.set(xlim=(-0.08, 1.08), ylim=(-0.7, height + 0.3))
        axis.axis("off")
    used = {kind for layers in stacks.values() for _, kind, _ in layers}
    handles = [plt.Rectangle((0, 0), 1, 1, fc=colour, alpha=0.4, label=text)
               for kind, (text, colour) in kinds.items() if kind in used]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _draw_stack(axis, name, layers, kinds):
    groups = {}
    for level, (text, kind, group) in enumerate(layers):
        _, colour = kinds[kind]
        axis.barh(level, 1, 0.72, color=colour, alpha=0.35, edgecolor=colour)
        axis.text(0.5, level, text, ha="center", va="center", fontsize=8.5)
        groups.setdefault(group, []).append(level)
    for group, levels in groups.items():
        if group is not None:
            edges = (-0.04, levels[0] - 0.45), 1.08, len(levels) - 0.1
            axis.add_patch(plt.Rectangle(*edges, fill=False, color="black", linewidth=1.2))
    axis.text(0.5, len(layers) - 0.2, name, ha="center", va="center", fontsize=12)


def plot_bars(values, xlabel, title="", text="{:,.0f}", kinds=None, log=False):
    """Draw {label: number} as horizontal bars from the top, each with its number written beside it.

    kinds: what each bar is, a colour for each kind. log: for numbers so far apart that only a logarithmic scale shows
    them all: it has no 0 for a bar to begin at, so there are dots instead.
    """
    figure, axis = _subplots(title=title, figsize=(7, 0.42 * len(values) + 1.1))
    numbers, kinds = list(values.values()), list(kinds or [""] * len(values))
    colour_of = dict(zip(dict.fromkeys(kinds), itertools.cycle(COLOURS)))
    colours = [colour_of[kind] for _, kind in zip(numbers, kinds, strict=True)]
    if log:
        axis.scatter(numbers, range(len(numbers)), 60, colours)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    else:
        axis.barh(range(len(numbers)), numbers, color=colours)
    for row, number in enumerate(numbers):
        beside = {"xytext": (8 if log else 4, 0), "textcoords": "offset points", "va": "center"}
        axis.annotate(text.format(number), (number, row), fontsize=9, **beside)
    axis.set(xlabel=xlabel)
    _name_rows(axis, values, lines=log)
    axis.margins(x=0.22)
    return figure


class LivePlot:
    """A figure of a training history that redraws itself in place: give it to `train` as `on_evaluation`."""

    def __init__(self, title, num_classes=10):
        self.title, self.num_classes, self.handle = title, num_classes, None

    def __call__(self, history):
        """Show the history's evaluations so far; the last call's figure stays in the notebook."""
        alt = f"Loss and accuracy over the first {history['evaluations'][-1]['step']} steps."
        self.handle = redraw(plot_history({"": history}, self.title, self.num_classes), alt, self.handle)


def plot_history(histories, title="", num_classes=10):
    """Draw the loss of each {name: history} with the ln(classes) line, and the training and held-out accuracy."""
    last = [history["evaluations"][-1:] for history in histories.values()]
    if len(last) == 1 and last[0]:
        title += f" · {last[0][0]['images_per_second']:,.0f} images/s"
    figure, (left, right) = _subplots(1, 2, title=title, figsize=(9, 3.4))
    keys = "step", "train_loss", "validation_accuracy", "train_accuracy"
    for name, history in histories.items():
        steps, loss, held_out, trained = ([each[key] for each in history["evaluations"]] for key in keys)
        left.plot(steps, loss, label=name or "training")
        right.plot(steps, held_out, label=f"{name}, held-out" if name else "held-out images")
        if len(histories) == 1:
            right.plot(steps, trained, label="training")
    left.axhline(math.log(num_classes), color=GREY, linestyle=":", label=f"ln {num_classes}: knows nothing")
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel="accuracy", ylim=(0, 1))
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    return figure


def plot_losses(losses, title="", num_classes=10):
    """Draw the loss of each step, {name: [loss, …]}, with the line of a network that knows nothing."""
    figure, axis = _subplots(title=title, figsize=(7, 3.2))
    for name, values in losses.items():
        axis.plot(range(1, len(values) + 1), values, label=name, marker="")
    axis.axhline(math.log(num_classes), color=GREY, linestyle=":", label=f"ln {num_classes}: knows nothing")
    axis.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axis.legend(fontsize=8)
    return figure


def plot_confusion(matrix, classes, title=""):
    """Draw how many images of each class (row) were taken for each class (column): counts (classes, classes)."""
    matrix = np.asarray(matrix)
    figure, axis = _subplots(title=title, figsize=(6.2, 5.6))
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        axis.text(column, row, matrix[row, column], ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.grid(False)
    axis.spines[:].set_visible(True)
    axis.set(xlabel="predicted", ylabel="true")
    return figure


def plot_runs(groups, xlabel, title="", lines=()):
    """Draw {name: [a number for each seed]} as one row of dots each, with the median as a bar.

    Many dots lie slightly apart; a few (up to 5) on their row's line. lines: [(number, text), …] are drawn as vertical
    lines.
    """
    figure, axis = _subplots(title=title, figsize=(8, 0.5 * len(groups) + 1.4))
    for row, values in enumerate(groups.values()):
        apart = 0.22 if len(values) > 5 else 0
        places = row + np.linspace(-apart, apart, len(values))
        axis.plot(values, places, color=BLUE, linestyle="", marker="o", alpha=0.6, ms=5 if apart else 7, mew=0)
        axis.vlines(np.median(values), row - 0.36, row + 0.36, color=RED, linewidth=2)
    for x, text in lines:
        axis.axvline(x, color=GREY, linestyle=":")
        axis.annotate(text, (x, 1), xycoords=("data", "axes fraction"), ha="left", va="bottom", fontsize=8)
    _name_rows(axis, groups, lines=True)
    axis.set_xlabel(xlabel)
    return figure


def plot_layer_spread(spreads, title=""):
    """Draw how much each layer's output differs across images, on a log scale: {name: [(layer, spread), …]}."""
    figure, axis = _subplots(title=title, figsize=(9, 3.6))
    for name, layers in spreads.items():
        axis.plot([max(spread, 1e-9) for _, spread in layers], label=name)
    axis.set_xticks(range(len(layers)), [layer for layer, _ in layers], rotation=60, ha="right", fontsize=8)
    axis.set(yscale="log", ylabel="spread across images")
    axis.legend(fontsize=8)
    return figure


def plot_search(runs, title=""):
    """Draw the trials of a search: held-out accuracy against learning rate, a panel per optimizer.

    Colour and marker tell the initialisation, the size the batch. runs: [{"settings": {"lr", "optimizer", "init",
    "batch_size", …}, "validation_accuracy": …}, …]
    """
    runs = [run["settings"] | run for run in runs]
    optimizers, starts = (sorted({run[key] for run in runs}) for key in ("optimizer", "init"))
    figure, axes = _subplots(1, len(optimizers), title=title, figsize=(9.5, 3.6), sharey=True, squeeze=False)
    for axis, optimizer in zip(axes.flat, optimizers):
        for start, style in zip(starts, STYLES()):
            found = [run for run in runs if (run["optimizer"], run["init"]) == (optimizer, start)]
            axis.scatter(
                [run["lr"] for run in found],
                [run["validation_accuracy"] for run in found],
                [8 * run["batch_size"] ** 0.6 for run in found],
                color=style["color"], marker=style["marker"], alpha=0.65, edgecolors="black", linewidths=0.4,
            )  # fmt: skip
        axis.set(xscale="log", xlabel="learning rate", title=optimizer, ylim=(0, 1))
    axes[0, 0].set_ylabel("accuracy on held-out images")
    handles = [plt.Line2D([], [], **style | {"linestyle": "", "label": name}) for name, style in zip(starts, STYLES())]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, markerscale=1.5, fontsize=8, frameon=False)
    return figure


def plot_curves(curves, xlabel, ylabel, title=""):
    """Draw {name: {x: [a number for each seed]}}: a line through the medians, in a band from lowest to highest."""
    figure, axis = _subplots(title=title, figsize=(7, 3.6))
    for name, points in curves.items():
        x, values = list(points), list(points.values())
        (line,) = axis.plot(x, [np.median(seeds) for seeds in values], label=name)
        band = [min(seeds) for seeds in values], [max(seeds) for seeds in values]
        axis.fill_between(x, *band, color=line.get_color(), alpha=0.18, lw=0)
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, 1))
    axis.legend(fontsize=8)
    return figure


def plot_followers(losses, title=""):
    """Draw the losses of {name: [one for each step]}, and how far each has been from the first one's, in percent of it.

    The losses lie on each other: each is drawn narrower than the one before, so that all can be seen.
    """
    figure, (left, right) = _subplots(1, 2, title=title, figsize=(9, 3.4))
    first = np.array(next(iter(losses.values())))
    for number, (name, values) in enumerate(losses.items(), 1):
        left.plot(values, linewidth=1 + 2 * (len(losses) - number), linestyle="-", marker="", label=name)
        farthest = np.maximum.accumulate(abs(np.array(values) / first - 1))
        right.plot(100 * farthest, markevery=10)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel=f"% away from {next(iter(losses))}, at most so far")
    left.legend(fontsize=8)
    return figure


def plot_tradeoff(points, xlabel, ylabel, title=""):
    """Draw {name: (cost, [a number for each seed])}: the median of each, with a bar from lowest to highest."""
    figure, axis = _subplots(title=title, figsize=(7, 3.6))
    for name, (cost, values) in points.items():
        middle = np.median(values)
        axis.errorbar(
            cost, middle, [[middle - min(values)], [max(values) - middle]],
            fmt="o", color=BLUE, ecolor=GREY, capsize=4, ms=7,
        )  # fmt: skip
        axis.annotate(name, (cost, middle), xytext=(8, 6), textcoords="offset points", fontsize=10)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.margins(0.12)
    return figure


def plot_costs(costs, title=""):
    """Draw networks by parameters and multiply–accumulates, on log scales, with the bytes of training as the area.

    costs: {name: (parameters, multiply–accumulates, bytes)}.
    """
    figure, axis = _subplots(title=title, figsize=(7, 4.2))
    largest = max(memory for _, _, memory in costs.values())
    for (name, (parameters, macs, memory)), colour in zip(costs.items(), itertools.cycle(COLOURS)):
        area = 4000 * memory / largest  # in points²: of a square as wide as the disc
        axis.scatter(parameters, macs, area, color=colour, alpha=0.4, edgecolors=colour)
        text, below = f"{name}\n{memory / 2**20:,.0f} MiB", (0, -math.sqrt(area) / 2 - 3)
        axis.annotate(text, (parameters, macs), xytext=below, textcoords="offset points", ha="center", va="top")
    axis.set(xscale="log", yscale="log", xlabel="parameters", ylabel="multiply–accumulates per image")
    axis.margins(0.28)
    return figure


def show_maps(images, maps, titles, heading="", columns=3, brightest=None, centres=None):
    """Draw images (count, height, width) or in colour (count, height, width, 3), each beside its map (count, h, w).

    Bright is more evidence. brightest: the value with the brightest colour; None: each map's own largest. centres: see
    `_colour_map`.
    """
    pairs, texts = zip(images, maps, strict=True), ((title, "") for title in titles)
    side = max(1.1, 3.3 / columns)
    figure, axes = _image_grid(sum(pairs, ()), sum(texts, ()), heading, 2 * columns, (side, side + 0.3))
    for picture, beside, values in zip(axes[::2], axes[1::2], maps):
        _colour_map(picture, beside, values, centres, brightest)
    return figure


def _image_grid(images, titles, heading, columns, size):
    """Draw images under their titles in a grid of cells of `size` inches; return the figure and the images' axes."""
    rows = math.ceil(len(images) / columns)
    size = (columns * size[0], rows * size[1] + 0.4)
    figure, axes = _subplots(rows, columns, title=heading, figsize=size, squeeze=False, layout="compressed")
    for axis in axes.flat:
        axis.axis("off")
    for axis, (image, title) in zip(axes.flat, zip(images, titles, strict=True)):
        axis.imshow(image, cmap="gray")
        axis.set_title(title, fontsize=8)
    return figure, axes.flat[: len(images)]


def _colour_map(picture, beside, values, centres, brightest=None):
    """Draw a map (h, w) on the axis `beside`, and its pixels as squares on that of its picture; return the map's image.

    centres: the middle of what each row, and each column, of the map sees, in pixels of the picture; None: no squares.
    """
    values = np.asarray(values)
    style = {"cmap": "viridis", "vmin": 0, "vmax": brightest or max(values.max(), 1e-9)}
    if centres is not None:
        picture.scatter(*np.meshgrid(centres, centres), 36, values, marker="s", edgecolors="white", **style)
    return beside.imshow(values, **style)


def plot_roofline(points, matrix_rate, memory_rate, title=""):
    """Draw the roof that matrix and memory rate make, in FLOP and bytes a second, and layers under it.

    points: {(group, part): [(flops, bytes, seconds), …]}; colours tell the groups, markers the parts.
    """
    figure, axis = _subplots(title=title, figsize=(8, 4.4))
    ridge = matrix_rate / memory_rate
    axis.plot([0.3, ridge, 3000], [0.3 * memory_rate, matrix_rate, matrix_rate], color=GREY, linestyle="-", marker="")
    axis.axvline(ridge, color=GREY, linestyle=":", linewidth=1)
    axis.text(1.05 * ridge, 0.03, f"ridge: {ridge:.0f} FLOP per byte", fontsize=8, transform=axis.get_xaxis_transform())
    groups, parts = (list(dict.fromkeys(names)) for names in zip(*points))
    for (group, part), layers in points.items():
        x, y = [flops / moved for flops, moved, _ in layers], [flops / taken for flops, _, taken in layers]
        colour, marker = (COLOURS * 9)[groups.index(group)], ("s", "o", "^", "D")[parts.index(part)]
        axis.plot(x, y, color=colour, linestyle="", marker=marker, markersize=7, label=f"{group}, {part}")
    axis.set(xscale="log", yscale="log", xlabel="FLOP per byte moved", ylabel="FLOP per second")
    axis.set_ylim(top=matrix_rate * 3)
    axis.legend(fontsize=8, loc="upper left")  # above the roof, where nothing can be
    return figure


def plot_trace(events, begins, title=""):
    """Draw when each operation of [(kind, name, start, duration), …] ran, in one lane: a colour for each kind.

    begins: when the backward pass does. All in seconds; the legend has each kind's share of the operations' time.
    """
    figure, axis = _subplots(title=title, figsize=(9, 2.2))
    taken = {kind: sum(event[3] for event in events if event[0] == kind) for kind, *_ in events}
    for kind, colour in zip(sorted(taken, key=taken.get, reverse=True), itertools.cycle(COLOURS)):
        bars = [(1000 * start, 1000 * duration) for other, _, start, duration in events if other == kind]
        axis.broken_barh(bars, (0, 1), color=colour, label=f"{kind} {taken[kind] / sum(taken.values()):.0%}")
    axis.axvline(1000 * begins, color="black", linewidth=1.5)
    for text, side in (("◂ forward  ", "right"), ("  backward ▸", "left")):
        axis.text(1000 * begins, 1.06, text, ha=side, fontsize=9)
    axis.set(xlabel="milliseconds", xlim=(0, None), ylim=(0, 1.25), yticks=[])
    axis.spines["left"].set_visible(False)
    figure.legend(loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


def save(figure, path):
    """Write `figure` to the file `path`, whole or not at all, in the format of its ending (PNG without one)."""
    content = io.BytesIO()
    figure.savefig(content, format=Path(path).suffix[1:] or "png", dpi=150)
    write_whole(path, content.getvalue())


def show(figure, alt):
    """Show `figure`, one of this module's, in a notebook, once, with `alt` as its text for those who cannot see it."""
    redraw(figure, alt, None)


def redraw(figure, alt, handle):
    """Show `figure` in a notebook in place of the one that `handle` names (None: a new one), and return the handle."""
    from IPython.display import display

    metadata = {"image/png": {"alt": alt}}
    if handle is None:
        return display(figure, display_id=True, metadata=metadata)
    handle.update(figure, metadata=metadata)
    return handle


def _subplots(*arguments, title="", **options):
    """Return plt.subplots(…) in `LOOK`, with a figure that pyplot has forgotten: only `show` and `redraw` show it.

    A kernel may draw in several threads, and what pyplot remembers is shown and closed at the end of whatever cell, or
    answer to a control, comes first.
    """
    with _pyplot, plt.rc_context(LOOK):
        figure, axes = plt.subplots(*arguments, **options)
        plt.close(figure)
    for axis in figure.axes:
        axis.grid(alpha=0.3)  # not in `LOOK`: ticks are made when the figure is shown, and would not heed it
    if title:
        figure.suptitle(title)
    return figure, axes


def _name_rows(axis, names, lines=False):
    """Name the rows 0, 1, … of an axis from the top, with a line through each or with none."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    if not lines:
        axis.grid(axis="y", visible=False)


def plot_idea(maps, names):
    """Draw NiN's two ideas: a small perceptron for each pixel's column of channels, and scores that are means of maps.

    maps: (classes, height, width), one for each of `names`.
    """
    figure, (left, right) = _subplots(1, 2, figsize=(9.5, 4.2), width_ratios=[1.75, 1])
    left.set_prop_cycle(None)  # a drawing, no curves
    levels = np.arange(5) + 1.0
    places = [[_sheet(left, x, y) for y in levels] for x in (0, 9.2)]
    layers = [[(x, y) for y in levels + offset] for x, offset in ((4.9, 0.25), (6.4, 0.25), (7.9, 0.25))]
    for links in ((places[0], layers[0]), (layers[2], places[1])):
        for one, other in zip(*links):
            left.plot(*zip(one, other), color=ORANGE, linewidth=1.2, linestyle=":")
    for before, after in itertools.pairwise(layers):
        for one in before:
            for other in after:
                left.plot(*zip(one, other), color=GREY, linewidth=0.5, zorder=1)
    for nodes, colour in zip(layers, (ORANGE, BLUE, ORANGE)):
        left.scatter(*zip(*nodes), s=90, color=colour, edgecolors="black", linewidths=0.6, zorder=6)
    texts = (
        "one pixel of all maps:\na column of channels",
        "the same small perceptron\nat every pixel",
        "new maps,\nas large as before",
    )
    for x, text in zip((1.9, 6.4, 11.1), texts):
        left.text(x, 0.55, text, ha="center", va="top", fontsize=9)
    left.set_title("In a block: a perceptron for each pixel", fontsize=10)
    left.set(xlim=(-0.1, 13.3), ylim=(-0.5, 6))
    left.axis("off")
    means = [np.mean(values) for values in maps]
    for row, (values, mean, name) in enumerate(zip(maps, means, names)):
        right.imshow(values, cmap="viridis", extent=(0, 0.75, row + 0.42, row - 0.42), vmin=0, vmax=np.max(maps))
        right.annotate("", (1.35, row), (0.85, row), arrowprops={"arrowstyle": "->", "color": GREY})
        right.barh(row, 1.6 * mean / max(means), 0.6, left=1.45, color=ORANGE if mean == max(means) else BLUE)
        right.text(-0.12, row, name, ha="right", va="center", fontsize=8.5)
    right.set_title("At the end: a class's score is the mean of its map", fontsize=10)
    right.set(xlim=(-1.5, 3.2), ylim=(len(maps) - 0.4, -0.6), aspect="auto")
    right.axis("off")
    return figure


def _sheet(axis, x, y, cells=4, width=0.72, depth=0.14, slant=0.25, row=2, column=1):
    """Draw a feature map as a slanting sheet of cells with one marked; return the middle of that one."""

    def corner(i, j):  # of the cell in row i and column j, from below
        return x + j * width + i * slant, y + i * depth

    def outline(i, j, n):
        return [corner(i, j), corner(i, j + n), corner(i + n, j + n), corner(i + n, j)]

    axis.add_patch(plt.Polygon(outline(0, 0, cells), facecolor="white", edgecolor="black", linewidth=0.8))
    for i in range(1, cells):
        axis.plot(*zip(corner(i, 0), corner(i, cells)), color="#bbbbbb", linewidth=0.5)
        axis.plot(*zip(corner(0, i), corner(cells, i)), color="#bbbbbb", linewidth=0.5)
    axis.add_patch(plt.Polygon(outline(row, column, 1), facecolor=ORANGE, edgecolor="black", linewidth=0.8))
    return corner(row + 0.5, column + 0.5)
