"""Figures: the only module that imports matplotlib. Each function takes plain numbers and arrays, and draws one figure.

Colours are Okabe and Ito's (2008), told apart by the colour-blind and on light and dark pages; each figure has a white
ground of its own, so that a dark theme does not swallow its text.
"""

import itertools
import math
import threading

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patheffects import withStroke

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
STYLES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"), (RED, ":", "D"), (GREY, "-", "x"))
_pyplot = threading.Lock()


def show_images(images, titles, heading="", columns=10):
    """Draw images (count, height, width) in a grid, each under its title."""
    rows = math.ceil(len(images) / columns)
    figure, axes = _subplots(rows, columns, figsize=(columns * 0.95, rows * 1.3 + 0.4), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles):
        axis.imshow(image, cmap="gray")
        axis.set_title(title, fontsize=8)
    figure.suptitle(heading)
    figure.tight_layout()
    return figure


def plot_networks(stacks):
    """Draw networks side by side as stacks of layers, first layer at the bottom.

    stacks: {network: [(text, kind, group), …]}, kind one of "conv", "pointwise", "fc", "pool", "mean"; neighbours with
    the same group (not None) get a frame around them: a block.
    """
    colours = {"conv": BLUE, "pointwise": ORANGE, "fc": RED, "pool": GREY, "mean": GREEN}
    labels = {
        "conv": "k × k convolution", "pointwise": "1 × 1 convolution", "fc": "fully connected", "pool": "max pooling",
        "mean": "global average pooling",
    }  # fmt: skip
    height = max(len(layers) for layers in stacks.values())
    figure, axes = _subplots(1, len(stacks), figsize=(2.5 * len(stacks), 0.32 * height + 1.2), sharey=True)
    for axis, (name, layers) in zip(np.atleast_1d(axes), stacks.items()):
        groups = {}
        for level, (text, kind, group) in enumerate(layers):
            axis.barh(level, 1, 0.72, color=colours[kind], alpha=0.35, edgecolor=colours[kind])
            axis.text(0.5, level, text, ha="center", va="center", fontsize=8.5)
            groups.setdefault(group, []).append(level)
        for group, levels in groups.items():
            if group is not None:
                edges = (-0.04, levels[0] - 0.45), 1.08, len(levels) - 0.1
                axis.add_patch(plt.Rectangle(*edges, fill=False, color="black", linewidth=1.2))
        axis.text(0.5, len(layers) - 0.2, name, ha="center", va="center", fontsize=12)
        axis.set(xlim=(-0.08, 1.08), ylim=(-0.7, height + 0.3))
        axis.axis("off")
    kinds = [kind for kind in colours if any(kind == layer[1] for layers in stacks.values() for layer in layers)]
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=colours[k], alpha=0.4, label=labels[k]) for k in kinds]
    figure.legend(handles=handles, loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return figure


def plot_bars(values, xlabel, title="", text="{:,.0f}"):
    """Draw {label: number} as horizontal bars from the top, each with its number written beside it."""
    figure, axis = _subplots(figsize=(7, 0.42 * len(values) + 1.1))
    bars = axis.barh(list(values), list(values.values()), color=BLUE)
    axis.bar_label(bars, [text.format(value) for value in values.values()], padding=4, fontsize=9)
    axis.set(xlabel=xlabel, title=title)
    axis.invert_yaxis()
    axis.margins(x=0.22)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


class LivePlot:
    """A figure of a training history that redraws itself in place: give it to `train` as `on_evaluation`."""

    def __init__(self, title, num_classes=10):
        self.title, self.num_classes, self.handle = title, num_classes, None

    def __call__(self, history):
        """Show the history's points so far; the last call's figure stays in the notebook."""
        alt = f"Loss and accuracy over the first {history['evaluations'][-1]['step']} steps."
        self.handle = redraw(plot_history({"": history}, self.title, self.num_classes), alt, self.handle)


def plot_history(histories, title="", num_classes=10):
    """Draw the loss of each {name: history} with the ln(classes) line, and the training and held-out accuracy."""
    figure, (left, right) = _subplots(1, 2, figsize=(9, 3.4))
    for (name, history), (colour, line, marker) in zip(histories.items(), STYLES):
        style = {"color": colour, "linestyle": line, "marker": marker, "ms": 3}
        steps, loss, held_out, trained = (
            [point[key] for point in history["evaluations"]]
            for key in ("step", "train_loss", "validation_accuracy", "train_accuracy")
        )
        left.plot(steps, loss, label=name or "training", **style)
        right.plot(steps, held_out, label=f"{name}, held-out" if name else "held-out images", **style)
        if len(histories) == 1:
            right.plot(steps, trained, "--", color=ORANGE, marker="s", ms=3, label="training")
    left.axhline(math.log(num_classes), color=GREY, linestyle=":", label=f"ln {num_classes}: knows nothing")
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel="accuracy", ylim=(0, 1))
    for axis in (left, right):
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    speed = histories and list(histories.values())[-1]["points"]
    speed = f" · {speed[-1]['images_per_second']:,.0f} images/s" if len(histories) == 1 and speed else ""
    figure.suptitle(title + speed)
    figure.tight_layout()
    return figure


def plot_confusion(matrix, classes, title=""):
    """Draw how many images of each class (row) were taken for each class (column): counts (classes, classes)."""
    matrix = np.asarray(matrix)
    figure, axis = _subplots(figsize=(6.2, 5.6))
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        axis.text(column, row, matrix[row, column], ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.set(xlabel="predicted", ylabel="true", title=title)
    figure.tight_layout()
    return figure


def plot_runs(groups, xlabel, title="", lines=()):
    """Draw {name: [a number for each seed]} as one row of dots each, slightly apart, with the median as a bar.

    lines: [(number, text), …] are drawn as vertical lines.
    """
    figure, axis = _subplots(figsize=(8, 0.5 * len(groups) + 1.4))
    for row, values in enumerate(groups.values()):
        offsets = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else [0]
        axis.plot(values, row + np.asarray(offsets), "o", color=BLUE, alpha=0.6, ms=5, mew=0)
        axis.plot([np.median(values)] * 2, [row - 0.36, row + 0.36], color=RED, linewidth=2)
    for x, text in lines:
        axis.axvline(x, color=GREY, linestyle=":")
        axis.annotate(text, (x, 1), xycoords=("data", "axes fraction"), ha="left", va="bottom", fontsize=8)
    axis.set_yticks(range(len(groups)), groups)
    axis.invert_yaxis()
    axis.set(xlabel=xlabel)
    axis.set_title(title, pad=18)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def plot_layer_spread(spreads, title=""):
    """Draw how much each layer's output differs across images, on a log scale: {name: [(layer, spread), …]}."""
    figure, axis = _subplots(figsize=(9, 3.6))
    for (name, layers), (colour, line, marker) in zip(spreads.items(), STYLES):
        axis.plot([max(spread, 1e-9) for _, spread in layers], line, color=colour, marker=marker, ms=4, label=name)
    axis.set_xticks(range(len(layers)), [layer for layer, _ in layers], rotation=60, ha="right", fontsize=8)
    axis.set(yscale="log", ylabel="spread across images", title=title)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def plot_search(runs, title=""):
    """Draw the trials of a search: held-out accuracy against learning rate, a panel per optimizer.

    Colour and marker tell the initialisation, the size the batch. runs: [{"settings": {"lr", "optimizer", "init",
    "batch_size", …}, "validation_accuracy": …}, …]
    """
    optimizers = sorted({run["settings"]["optimizer"] for run in runs})
    starts = sorted({run["settings"]["init"] for run in runs})
    figure, axes = _subplots(1, len(optimizers), figsize=(9.5, 3.6), sharey=True, squeeze=False)
    for axis, optimizer in zip(axes.flat, optimizers):
        for start, (colour, _, marker) in zip(starts, STYLES):
            found = [run["settings"] | run for run in runs if run["settings"]["optimizer"] == optimizer]
            found = [run for run in found if run["init"] == start]
            axis.scatter(
                [run["lr"] for run in found],
                [run["validation_accuracy"] for run in found],
                [8 * run["batch_size"] ** 0.6 for run in found],
                color=colour, marker=marker, alpha=0.65, edgecolors="black", linewidths=0.4,
            )  # fmt: skip
        axis.set(xscale="log", xlabel="learning rate", title=optimizer, ylim=(0, 1))
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("accuracy on held-out images")
    handles = [
        plt.Line2D([], [], color=colour, marker=marker, linestyle="", label=start)
        for start, (colour, _, marker) in zip(starts, STYLES)
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(starts), fontsize=8, frameon=False)
    figure.suptitle(title)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return figure


def plot_curves(curves, xlabel, ylabel, title=""):
    """Draw {name: {x: [a number for each seed]}}: a line through the medians, in a band from lowest to highest."""
    figure, axis = _subplots(figsize=(7, 3.6))
    for (name, points), (colour, line, marker) in zip(curves.items(), STYLES):
        x = list(points)
        axis.plot(x, [np.median(points[key]) for key in x], line, color=colour, marker=marker, ms=5, label=name)
        axis.fill_between(x, *([side(points[key]) for key in x] for side in (min, max)), color=colour, alpha=0.18, lw=0)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title, ylim=(0, 1))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def plot_followers(losses, title=""):
    """Draw the losses of {name: [one for each step]}, and how far each is from the first one's, in percent of it."""
    figure, (left, right) = _subplots(1, 2, figsize=(9, 3.4))
    first, *_ = losses.values()
    for (name, values), (colour, line, marker) in zip(losses.items(), STYLES):
        style = {"color": colour, "linestyle": line, "marker": marker, "markevery": 10, "ms": 4, "label": name}
        left.plot(values, **style)
        right.plot([100 * (value - start) / start for value, start in zip(values, first)], **style)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel=f"% away from {next(iter(losses))}")
    left.legend(fontsize=8)
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    return figure


def plot_tradeoff(points, xlabel, ylabel, title=""):
    """Draw {name: (cost, [a number for each seed])}: the median of each, with a bar from lowest to highest."""
    figure, axis = _subplots(figsize=(7, 3.6))
    for name, (cost, values) in points.items():
        middle = np.median(values)
        axis.errorbar(
            cost, middle, [[middle - min(values)], [max(values) - middle]],
            fmt="o", color=BLUE, ecolor=GREY, capsize=4, ms=7,
        )  # fmt: skip
        axis.annotate(name, (cost, middle), xytext=(8, 6), textcoords="offset points", fontsize=10)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.margins(0.12)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def plot_costs(costs, title=""):
    """Draw networks by parameters and multiply–accumulates, on log scales, with the bytes of training as the area.

    costs: {name: (parameters, multiply–accumulates, bytes)}.
    """
    figure, axis = _subplots(figsize=(7, 4.2))
    largest = max(memory for _, _, memory in costs.values())
    for (name, (parameters, macs, memory)), (colour, _, _) in zip(costs.items(), STYLES):
        axis.scatter(parameters, macs, 4000 * memory / largest, color=colour, alpha=0.4, edgecolors=colour)
        axis.plot(parameters, macs, ".", color="black", ms=4)
        text = f"{name}\n{memory / 2**20:,.0f} MiB"
        axis.annotate(text, (parameters, macs), xytext=(0, -9), textcoords="offset points", ha="center", va="top")
    axis.set(xscale="log", yscale="log", xlabel="parameters", ylabel="multiply–accumulates per image", title=title)
    axis.margins(0.28)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def show_maps(images, maps, titles, heading="", columns=6, brightest=None):
    """Draw images (count, height, width), each with its map (count, h, w) laid over it: bright is more evidence.

    A map is enlarged without blurring: one square is one of its pixels. brightest: the value with the brightest colour;
    None: each map's own largest.
    """
    rows = math.ceil(len(images) / columns)
    figure, axes = _subplots(rows, columns, figsize=(columns * 1.5, rows * 1.9 + 0.5), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, values, title in zip(axes.flat, images, maps, titles):
        values = np.asarray(values)
        extent = (0, image.shape[1], image.shape[0], 0)
        axis.imshow(image, cmap="gray", extent=extent)
        axis.imshow(values, cmap="viridis", alpha=0.5, extent=extent, vmin=0, vmax=brightest or max(values.max(), 1e-9))
        axis.set_title(title, fontsize=8)
    figure.suptitle(heading)
    figure.tight_layout()
    return figure


def plot_ladder(rungs, title=""):
    """Draw a ladder of sizes: [(name, size in pixels or None, text, kind), …], a bar as wide as each map.

    kind: "known", "hidden" (the size is not told yet), "broken" (no window fits; the text says why) or "missing".
    """
    figure, axis = _subplots(figsize=(9, 0.36 * len(rungs) + 0.6))
    widest = max(size or 0 for _, size, _, kind in rungs if kind == "known")
    for row, (name, size, text, kind) in enumerate(rungs):
        if kind == "known":
            axis.barh(row, size / widest, 0.7, color=BLUE, alpha=0.55)
        colour = {"known": "black", "broken": RED}.get(kind, GREY)
        mark = {"known": f"{size}", "hidden": "?", "broken": "✗", "missing": "–"}[kind]
        axis.text(-0.02, row, name, ha="right", va="center", fontsize=9, color=colour)
        beside = size / widest if kind == "known" and size / widest < 0.15 else 0  # too narrow to hold its number
        axis.text(beside + 0.01, row, mark, va="center", fontsize=10, weight="bold", color=colour)
        axis.text(1.04, row, text, va="center", fontsize=9, color=colour)
    axis.set(xlim=(-0.16, 2.35), ylim=(len(rungs) - 0.4, -0.6))
    axis.set_title(title, fontsize=11, loc="left")
    axis.axis("off")
    figure.tight_layout()
    return figure


def plot_pixel(inputs, outputs, row, column, lines):
    """Draw maps before and behind a layer, {name: (height, width)} each, with one pixel marked, above lines of text."""
    maps = [*inputs.items(), (None, None), *outputs.items()]
    figure, axes = _subplots(1, len(maps), figsize=(9, 2.5), width_ratios=[0.3 if m is None else 1 for _, m in maps])
    for axis, (name, values) in zip(axes, maps):
        axis.axis("off")
        if name is None:
            axis.text(0.5, 0.5, "→", ha="center", va="center", fontsize=16, transform=axis.transAxes)
            continue
        axis.imshow(values, cmap="gray")
        axis.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2))
        axis.set_title(name, fontsize=9)
    figure.tight_layout(rect=(0, 0.38, 1, 1))
    figure.text(0.02, 0.02, "\n".join(lines), fontsize=9, family="monospace", linespacing=1.4)
    return figure


def plot_first_steps(runs, step, title="", num_classes=10):
    """Draw the first steps of {name: states as `experiments.first_steps` yields them}, and mark the one at `step`."""
    figure, axes = _subplots(2, 2, figsize=(8, 5.4))
    axes = axes.flat
    panels = ("loss", "loss"), ("live", "live channels behind ReLUs"), ("gradient", "norm of the gradient")
    for axis, (key, label) in zip(axes, panels):
        for (name, states), (colour, line, marker) in zip(runs.items(), STYLES):
            values = [np.nan if state[key] is None else max(state[key], 1e-6) for state in states]
            axis.plot([state["step"] for state in states], values, line, color=colour, marker=marker, ms=4, label=name)
        axis.axvline(step, color=GREY, linewidth=1)
        axis.set(xlabel="step", title=label)
        axis.title.set_fontsize(9)
    axes[0].axhline(math.log(num_classes), color=RED, linestyle=":")
    axes[0].set(ylim=(0, 3))
    place = (0.03, math.log(num_classes) + 0.2)
    axes[0].annotate(
        f"ln {num_classes}: knows nothing", place, xycoords=("axes fraction", "data"), color=RED, fontsize=8
    )
    axes[0].legend(fontsize=8, loc="lower left")
    if any(states[-1]["loss"] is None for states in runs.values()):
        axes[0].text(0.97, 0.05, "diverged", ha="right", color=RED, fontsize=9, transform=axes[0].transAxes)
    axes[1].set(ylim=(0, 1.05))
    axes[2].set(yscale="log", ylim=(1e-6, 1e4))
    for (name, states), (colour, line, marker) in zip(runs.items(), STYLES):
        state = min(states, key=lambda state: abs(state["step"] - step))
        spread = [np.nan if value is None else max(value, 1e-9) for value in state["spread"].values()]
        axes[3].plot(range(1, len(spread) + 1), spread, line, color=colour, marker=marker, ms=4, label=name)
    axes[3].set(yscale="log", xlim=(0.5, len(spread) + 0.5), ylim=(1e-9, 1e4))
    axes[3].set(xlabel="ReLU, first to last", title="spread across images")
    axes[3].title.set_fontsize(9)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    return figure


def plot_class_map(image, values, logits, chosen, title=""):
    """Draw an image (height, width) under a class's map (h, w), beside the logits {class: number}, one chosen."""
    figure, (left, right) = _subplots(1, 2, figsize=(8, 3.4), width_ratios=[1, 1.5])
    values = np.asarray(values)
    extent = (0, image.shape[1], image.shape[0], 0)
    left.imshow(image, cmap="gray", extent=extent)
    shown = left.imshow(values, cmap="viridis", alpha=0.55, extent=extent, vmin=0, vmax=max(values.max(), 1e-9))
    figure.colorbar(shown, ax=left, shrink=0.8)
    left.set_title(f"map of {chosen}", fontsize=10)
    left.axis("off")
    colours = [ORANGE if name == chosen else BLUE for name in logits]
    names = [f"▸ {name}" if name == chosen else name for name in logits]
    bars = right.barh(names, list(logits.values()), color=colours)
    right.bar_label(bars, [f"{value:.2f}" for value in logits.values()], padding=3, fontsize=8)
    right.set(xlabel="logit: the mean of the class's map")
    right.tick_params(labelsize=9)
    right.invert_yaxis()
    right.margins(x=0.15)
    right.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    return figure


def plot_answers(image, answers, xlabel, title=""):
    """Draw an image (height, width) beside what networks answer: {network: {class: number}}, bars side by side."""
    figure, (left, right) = _subplots(1, 2, figsize=(9, 4), width_ratios=[1, 1.7])
    left.imshow(image, cmap="gray")
    left.axis("off")
    height = 0.8 / len(answers)
    for row, ((name, numbers), (colour, *_), hatch) in enumerate(zip(answers.items(), STYLES, ("", "///", "..."))):
        places = [place + (row - (len(answers) - 1) / 2) * height for place in range(len(numbers))]
        style = {"color": colour, "hatch": hatch, "edgecolor": "white", "label": name}
        bars = right.barh(places, list(numbers.values()), height, **style)
        right.bar_label(bars, [f"{value:.1f}" for value in numbers.values()], padding=2, fontsize=7)
    right.set(yticks=range(len(numbers)), yticklabels=numbers, xlabel=xlabel)
    right.tick_params(labelsize=9)
    right.invert_yaxis()
    right.margins(x=0.12)
    right.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(answers), frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    return figure


def plot_roofline(points, matrix_rate, memory_rate, title=""):
    """Draw the roof that matrix and memory rate make, and layers under it: {kind: [(name, flops, bytes, seconds), …]}.

    matrix_rate: FLOP a second; memory_rate: bytes a second. A layer without arithmetic is left out.
    """
    figure, axis = _subplots(figsize=(8, 4.4))
    ridge = matrix_rate / memory_rate
    halo = [withStroke(linewidth=2, foreground="white")]  # a label may lie over the roof
    style = {"textcoords": "offset points", "fontsize": 7, "path_effects": halo}
    axis.plot([0.3, ridge, 3000], [0.3 * memory_rate, matrix_rate, matrix_rate], color=GREY)
    axis.text(ridge, matrix_rate * 1.12, f"ridge: {ridge:.0f} FLOP per byte", ha="center", fontsize=8)
    for row, ((kind, layers), (colour, _, marker)) in enumerate(zip(points.items(), STYLES)):
        layers = [layer for layer in layers if layer[1]]
        at = [flops / moved for _, flops, moved, _ in layers], [flops / taken for _, flops, _, taken in layers]
        axis.plot(*at, marker, color=colour, label=kind)
        for x in dict.fromkeys(at[0]):  # layers with the same work share a label
            names, rates = zip(*((layer[0], y) for layer, other, y in zip(layers, *at) if other == x))
            endings = ["".join(name.rpartition(".")[1:]) for name in names[1:]]  # block1.2, .4
            y, above = (max(rates), 5) if row % 2 else (min(rates), -10)
            beside = any(x < other < 2 * x for other in at[0])
            place = {"xytext": (-4 if beside else 4, above), "ha": "right" if beside else "left"}
            axis.annotate(", ".join([names[0], *endings]), (x, y), **place, **style)
    axis.set(xscale="log", yscale="log", xlabel="FLOP per byte moved", ylabel="FLOP per second", title=title)
    axis.margins(y=0.1)
    axis.set_ylim(top=matrix_rate * 2)
    axis.legend(fontsize=8, loc="lower right")
    axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def plot_trace(events, title=""):
    """Draw when each operation of [(kind, name, start, duration), …] ran, in seconds; a row for each kind."""
    kinds = list(dict.fromkeys(event[0] for event in events))
    figure, axis = _subplots(figsize=(9, 0.5 * len(kinds) + 1.2))
    for row, (kind, (colour, *_)) in enumerate(zip(kinds, STYLES)):
        bars = [(1000 * start, 1000 * taken) for other, _, start, taken in events if other == kind]
        axis.broken_barh(bars, (row - 0.38, 0.76), color=colour)
    axis.set(yticks=range(len(kinds)), yticklabels=kinds, xlabel="milliseconds", title=title, xlim=(0, None))
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


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


def _subplots(*arguments, **options):
    """Return plt.subplots(…), with a figure that pyplot has forgotten: only `show` and `redraw` show it.

    A kernel may draw in several threads, and what pyplot remembers is shown and closed at the end of whatever cell, or
    answer to a control, comes first.
    """
    with _pyplot:
        figure, axes = plt.subplots(*arguments, **options)
        plt.close(figure)
    return figure, axes


def plot_idea(maps, names):
    """Draw NiN's two ideas: a small perceptron for each pixel's column of channels, and scores that are means of maps.

    maps: (classes, height, width), one for each of `names`.
    """
    figure, (left, right) = _subplots(1, 2, figsize=(9.5, 4.2), width_ratios=[1.75, 1], layout="constrained")
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
