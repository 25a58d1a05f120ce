"""Figures of what networks and their layers cost: numbers, memory, time."""

import itertools
import math

import numpy as np

from nin_helpers.plots.look import BLUE, COLOURS, GREY, name_rows, subplots


def plot_bars(values, xlabel, title="", text="{:,.0f}", kinds=None, log=False):
    """Draw {label: number} as horizontal bars from the top, each with its number written beside it.

    kinds: what each bar is, a colour for each kind. log: for numbers so far apart that only a logarithmic scale shows
    them all: it has no 0 for a bar to begin at, so there are dots instead.
    """
    figure, axis = subplots(title=title, figsize=(7, 0.42 * len(values) + 1.1))
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
    name_rows(axis, values, lines=log)
    axis.margins(x=0.22)
    return figure


def plot_tradeoff(points, xlabel, ylabel, title=""):
    """Draw {name: (cost, [a number for each seed])}: the median of each, with a bar from lowest to highest."""
    figure, axis = subplots(title=title, figsize=(7, 3.6))
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
    figure, axis = subplots(title=title, figsize=(7, 4.2))
    largest = max(memory for _, _, memory in costs.values())
    for (name, (parameters, macs, memory)), colour in zip(costs.items(), itertools.cycle(COLOURS)):
        area = 4000 * memory / largest  # in points²: of a square as wide as the disc
        axis.scatter(parameters, macs, area, color=colour, alpha=0.4, edgecolors=colour)
        text, below = f"{name}\n{memory / 2**20:,.0f} MiB", (0, -math.sqrt(area) / 2 - 3)
        axis.annotate(text, (parameters, macs), xytext=below, textcoords="offset points", ha="center", va="top")
    axis.set(xscale="log", yscale="log", xlabel="parameters", ylabel="multiply–accumulates per image")
    axis.margins(0.28)
    return figure


def plot_roofline(points, matrix_rate, memory_rate, title=""):
    """Draw the roof that matrix and memory rate make, in FLOP and bytes a second, and layers under it.

    points: {(group, part): [(flops, bytes, seconds), …]}; colours tell the groups, markers the parts.
    """
    figure, axis = subplots(title=title, figsize=(8, 4.4))
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
    figure, axis = subplots(title=title, figsize=(9, 2.2))
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
