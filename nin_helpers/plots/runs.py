"""Figures of trainings: losses and accuracies, over steps and over seeds."""

import math

import matplotlib.pyplot as plt
import numpy as np

from nin_helpers.plots.look import BLUE, GREY, RED, STYLES, name_rows, redraw, subplots


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
    figure, (left, right) = subplots(1, 2, title=title, figsize=(9, 3.4))
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
    figure, axis = subplots(title=title, figsize=(7, 3.2))
    for name, values in losses.items():
        axis.plot(range(1, len(values) + 1), values, label=name, marker="")
    axis.axhline(math.log(num_classes), color=GREY, linestyle=":", label=f"ln {num_classes}: knows nothing")
    axis.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axis.legend(fontsize=8)
    return figure


def plot_runs(groups, xlabel, title="", lines=()):
    """Draw {name: [a number for each seed]} as one row of dots each, with the median as a bar.

    Many dots lie slightly apart; a few (up to 5) on their row's line. lines: [(number, text), …] are drawn as vertical
    lines.
    """
    figure, axis = subplots(title=title, figsize=(8, 0.5 * len(groups) + 1.4))
    for row, values in enumerate(groups.values()):
        apart = 0.22 if len(values) > 5 else 0
        places = row + np.linspace(-apart, apart, len(values))
        axis.plot(values, places, color=BLUE, linestyle="", marker="o", alpha=0.6, ms=5 if apart else 7, mew=0)
        axis.vlines(np.median(values), row - 0.36, row + 0.36, color=RED, linewidth=2)
    for x, text in lines:
        axis.axvline(x, color=GREY, linestyle=":")
        axis.annotate(text, (x, 1), xycoords=("data", "axes fraction"), ha="left", va="bottom", fontsize=8)
    name_rows(axis, groups, lines=True)
    axis.set_xlabel(xlabel)
    return figure


def plot_layer_spread(spreads, title=""):
    """Draw how much each layer's output differs across images, on a log scale: {name: [(layer, spread), …]}."""
    figure, axis = subplots(title=title, figsize=(9, 3.6))
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
    figure, axes = subplots(1, len(optimizers), title=title, figsize=(9.5, 3.6), sharey=True, squeeze=False)
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
    figure, axis = subplots(title=title, figsize=(7, 3.6))
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
    figure, (left, right) = subplots(1, 2, title=title, figsize=(9, 3.4))
    first = np.array(next(iter(losses.values())))
    for number, (name, values) in enumerate(losses.items(), 1):
        left.plot(values, linewidth=1 + 2 * (len(losses) - number), linestyle="-", marker="", label=name)
        farthest = np.maximum.accumulate(abs(np.array(values) / first - 1))
        right.plot(100 * farthest, markevery=10)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel=f"% away from {next(iter(losses))}, at most so far")
    left.legend(fontsize=8)
    return figure
