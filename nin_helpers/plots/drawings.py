"""Drawings of the idea and of networks as stacks of layers."""

import itertools

import matplotlib.pyplot as plt
import numpy as np

from nin_helpers.plots.look import BLUE, GREEN, GREY, ORANGE, RED, subplots


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
    figure, axes = subplots(1, len(stacks), figsize=(2.7 * len(stacks), 0.32 * height + 1), squeeze=False)
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


def plot_idea(maps, names):
    """Draw NiN's two ideas: a small perceptron for each pixel's column of channels, and scores that are means of maps.

    maps: (classes, height, width), one for each of `names`.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 4.2), width_ratios=[1.75, 1])
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
