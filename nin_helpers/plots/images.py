"""Figures of images, of maps beside them, and of what was taken for what."""

import math

import numpy as np

from nin_helpers.plots.look import subplots


def show_images(images, titles, heading="", columns=10):
    """Draw images (count, height, width) in a grid, each under its title."""
    figure, _ = _image_grid(images, titles, heading, columns, (0.95, 1.2))
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
    figure, axes = subplots(rows, columns, title=heading, figsize=size, squeeze=False, layout="compressed")
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


def plot_confusion(matrix, classes, title=""):
    """Draw how many images of each class (row) were taken for each class (column): counts (classes, classes)."""
    matrix = np.asarray(matrix)
    figure, axis = subplots(title=title, figsize=(6.2, 5.6))
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
