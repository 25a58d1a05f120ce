"""The figures: that they show the numbers they were given, and say so to those who cannot see."""

import itertools
import math

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")

from matplotlib import pyplot as plt

from nin_helpers import plots


def texts(figure):
    """All that a reader can read in a figure."""
    found = [figure.get_suptitle()]
    for axis in figure.axes:
        found += [axis.get_title(), axis.get_xlabel(), axis.get_ylabel(), *(text.get_text() for text in axis.texts)]
    return found


def history(count=3):
    figures = {"train_accuracy": 0.1, "validation_accuracy": 0.2, "images_per_second": 1234.0}
    return {"evaluations": [{"step": 10 * k, "train_loss": 2 / k, **figures} for k in range(1, count + 1)]}


def trial(optimizer, init, lr, accuracy, batch_size=32):
    settings = {"optimizer": optimizer, "init": init, "lr": lr, "batch_size": batch_size}
    return {"settings": settings, "validation_accuracy": accuracy}


# what all have in common

NINE = [f"number {k}" for k in range(9)]
MANY = {
    "plot_bars": ({name: 1 for name in NINE}, "count", "", "{}", NINE),
    "plot_history": ({name: history() for name in NINE},),
    "plot_losses": ({name: [1.0] for name in NINE},),
    "plot_layer_spread": ({name: [("layer", 1.0)] for name in NINE},),
    "plot_search": ([trial("sgd", name, 0.1, 0.5) for name in NINE],),
    "plot_curves": ({name: {0: [0.5]} for name in NINE}, "shift", "accuracy"),
    "plot_followers": ({name: [1.0] for name in NINE},),
    "plot_costs": ({name: (1, 1, 1) for name in NINE},),
    "plot_roofline": ({(name, "window"): [(100, 10, 1.0)] for name in NINE}, 80.0, 20.0),
    "plot_trace": ([(name, "operation", 0.0, 1.0) for name in NINE], 0.5),
}


@pytest.mark.parametrize("name", MANY)
def test_nothing_is_left_out_however_much_there_is_to_draw(name):
    axis = getattr(plots, name)(*MANY[name]).axes[-1]
    assert max(len(artists) for artists in (axis.lines, axis.collections, axis.patches)) >= 9


def test_curves_are_told_apart_by_more_than_colour():
    looks = list(itertools.islice(plots.STYLES(), 28))
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 28
    one, other, *_ = plots.plot_history({"one": history(), "other": history(2)}).axes[0].lines
    assert one.get_linestyle() != other.get_linestyle() and one.get_marker() != other.get_marker()


def test_the_look_is_one_and_stays_with_our_figures():
    figure = plots.plot_followers({"one": [1.0]}, "title")
    assert not plt.get_fignums(), "pyplot never shows it at a cell's end, half drawn"
    assert all(plt.rcParams[key] == matplotlib.rcParamsDefault[key] for key in plots.LOOK)
    assert figure.get_layout_engine() is not None and figure.get_suptitle() == "title"
    assert not any(axis.spines[side].get_visible() for axis in figure.axes for side in ("top", "right"))
    assert figure.axes[0].xaxis.get_major_ticks()[0].gridline.get_alpha() == 0.3


# the figures, one by one


def test_images_are_shown_with_their_titles():
    images = np.arange(12 * 4).reshape(12, 2, 2)
    titles = [f"image {k}" for k in range(12)]
    figure = plots.show_images(images, titles, "heading", columns=5)
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == titles and "heading" in texts(figure)
    assert all((axis.images[0].get_array() == image).all() for axis, image in zip(shown, images))
    with pytest.raises(ValueError, match="shorter"):
        plots.show_images(images, ["one title"])


def test_a_history_shows_its_evaluations_if_any_and_the_line_of_knowing_nothing():
    figure = plots.plot_history({"": history()}, "title", num_classes=7)
    left, right = figure.axes
    assert list(left.lines[0].get_ydata()) == [2, 1, 2 / 3]
    assert left.lines[1].get_ydata()[0] == math.log(7)
    assert {line.get_label() for line in right.lines} == {"held-out images", "training"}
    assert "title · 1,234 images/s" in texts(figure)
    assert plots.plot_history({"": history(0)}).axes[0].lines[0].get_ydata().size == 0


def test_confusion_shows_each_count_and_colours_by_the_share_of_its_row():
    matrix = [[8, 2], [1, 0]]
    axis = plots.plot_confusion(matrix, ("a", "b"), "title").axes[0]
    assert [text.get_text() for text in axis.texts] == ["8", "2", "1", "0"]
    np.testing.assert_allclose(axis.images[0].get_array(), [[0.8, 0.2], [1, 0]])


@pytest.mark.parametrize("log", [False, True])
def test_bars_or_dots_carry_their_numbers_and_the_colours_of_their_kinds(log):
    figure = plots.plot_bars({"a": 1200, "b": 3, "c": 5}, "count", kinds=("x", "y", "x"), log=log)
    (axis,) = figure.axes
    assert {"1,200", "3", "5"} <= set(texts(figure)) and axis.get_xscale() == ("log" if log else "linear")
    dots = axis.collections[0] if log else None
    numbers = dots.get_offsets()[:, 0].tolist() if log else [bar.get_width() for bar in axis.patches]
    one, two, three = dots.get_facecolors().tolist() if log else [bar.get_facecolor() for bar in axis.patches]
    assert numbers == [1200, 3, 5] and one == three != two
    assert axis.get_ylim() == (2.5, -0.5), "the first on top"
    with pytest.raises(ValueError, match="longer"):
        plots.plot_bars({"a": 1}, "count", kinds=("x", "y"), log=log)


def test_runs_show_each_run_and_the_median():
    groups = {"few": [0.1, 0.2, 0.9], "many": [0.5] * 6}
    axis = plots.plot_runs(groups, "accuracy", "title", [(0.1, "guessing")]).axes[0]
    few, many, _ = axis.lines
    assert list(few.get_xdata()) == [0.1, 0.2, 0.9] and list(few.get_ydata()) == [0, 0, 0]
    assert len(set(many.get_ydata())) == 6, "many lie apart"
    assert axis.collections[0].get_segments()[0][:, 0].tolist() == [0.2, 0.2]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["few", "many"]
    assert "guessing" in texts(axis.figure)


def test_layer_spread_survives_a_spread_of_zero():
    axis = plots.plot_layer_spread({"dead": [("one", 1.0), ("two", 0.0)]}).axes[0]
    assert axis.get_yscale() == "log" and min(axis.lines[0].get_ydata()) > 0


def test_a_search_has_a_panel_for_each_optimizer_and_a_mark_for_each_start():
    runs = [trial("sgd", "xavier", 0.1, 0.3), trial("adamw", "alive", 1e-3, 0.8), trial("sgd", "alive", 0.2, 0.7, 128)]
    figure = plots.plot_search(runs, "title")
    assert [axis.get_title() for axis in figure.axes] == ["adamw", "sgd"]
    shown = [point for mark in figure.axes[1].collections for point in mark.get_offsets().tolist()]
    assert sorted(shown) == [[0.1, 0.3], [0.2, 0.7]]
    assert [text.get_text() for text in figure.legends[0].texts] == ["alive", "xavier"]
    small, large = (mark.get_sizes()[0] for mark in figure.axes[1].collections[::-1])
    assert small < large


def test_curves_run_through_the_medians_in_a_band_of_the_range():
    axis = plots.plot_curves({"gap": {0: [0.9, 0.8, 0.7], 8: [0.1, 0.5, 0.6]}}, "shift", "accuracy").axes[0]
    assert axis.lines[0].get_xdata().tolist() == [0, 8] and axis.lines[0].get_ydata().tolist() == [0.8, 0.5]
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.1, 0.9)


def test_followers_are_shown_in_nested_lines_beside_how_far_each_has_been_from_the_first():
    left, right = plots.plot_followers({"PyTorch": [4.0, 2.0, 1.0], "other": [4.0, 1.5, 1.1]}).axes
    assert left.lines[1].get_ydata().tolist() == [4.0, 1.5, 1.1]
    assert left.lines[0].get_linewidth() > left.lines[1].get_linewidth(), "the one below can be seen"
    assert [line.get_ydata().tolist() for line in right.lines] == [[0, 0, 0], [0, 25, 25]]
    assert right.get_ylabel() == "% away from PyTorch, at most so far"


def test_a_tradeoff_shows_median_and_range_at_its_cost():
    axis = plots.plot_tradeoff({"A": (10, [0.5, 0.9, 0.6])}, "cost", "accuracy").axes[0]
    middle, _, (bar,) = axis.containers[0].lines
    assert middle.get_xydata().tolist() == [[10, 0.6]] and "A" in texts(axis.figure)
    assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([0.5, 0.9])


def test_costs_are_discs_whose_area_is_the_memory_with_the_text_below():
    axis = plots.plot_costs({"a": (1e6, 1e9, 2**30), "b": (1e7, 1e8, 2**28)}).axes[0]
    areas = [disc.get_sizes()[0] for disc in axis.collections]
    assert areas[0] == 4 * areas[1] and {"a\n1,024 MiB", "b\n256 MiB"} <= set(texts(axis.figure))
    assert all(text.xyann[1] < -math.sqrt(area) / 2 for text, area in zip(axis.texts, areas)), "in points: clear of it"


@pytest.mark.parametrize(("brightest", "top"), [(None, 3), (8, 8)])
def test_maps_stand_beside_their_images_with_a_square_where_each_pixel_looks(brightest, top):
    maps = [[[1, 2], [3, 0]], [[0, 0], [0, 0]]]
    figure = plots.show_maps(np.zeros((2, 6, 6)), maps, ["one", "two"], brightest=brightest, centres=[1, 4])
    picture, beside, other, *_ = figure.axes
    (squares,) = picture.collections
    assert picture.get_title() == "one" and other.get_title() == "two" and not beside.get_title()
    assert squares.get_offsets().tolist() == [[1, 1], [4, 1], [1, 4], [4, 4]], "column, then row, as of a point"
    assert squares.get_array().tolist() == [1, 2, 3, 0] and squares.get_clim() == (0, top)
    assert picture.images[0].get_array().shape == (6, 6) and beside.images[-1].get_array().tolist() == maps[0]
    assert beside.images[-1].get_clim() == (0, top) and other.collections[0].get_clim()[1] > 0


def test_networks_are_drawn_layer_by_layer_and_framed_by_block():
    layers = [("3 × 3 conv", "conv", "block1"), ("1 × 1 conv", "pointwise", "block1"), ("pool", "pool", None)]
    figure = plots.plot_networks({"net": layers, "other": layers[:1]})
    assert {"3 × 3 conv", "1 × 1 conv", "pool", "net", "other"} <= set(texts(figure))
    frames = [patch for patch in figure.axes[0].patches if not patch.get_fill()]
    assert len(frames) == 1 and frames[0].get_height() == pytest.approx(1.9)


def test_show_displays_once_with_a_text_for_those_who_cannot_see(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *what, display_id, metadata: shown.append((*what, metadata)))
    figure = plots.plot_bars({"a": 1}, "count")
    plots.show(figure, "one bar")
    assert shown == [(figure, {"image/png": {"alt": "one bar"}})]


def test_the_roofline_has_its_ridge_where_both_rates_meet_and_a_look_for_each_group_and_part():
    points = {("one", "k × k"): [(100, 10, 2.0), (100, 10, 4.0)], ("one", "1 × 1"): [(8, 4, 1.0)], ("two", "k × k"): []}
    axis = plots.plot_roofline(points, matrix_rate=80.0, memory_rate=20.0, title="title").axes[0]
    roof, ridge, window, pointwise, other = axis.lines
    assert list(roof.get_xdata())[1] == ridge.get_xdata()[0] == 4 and list(roof.get_ydata())[1:] == [80, 80]
    assert list(window.get_xdata()) == [10, 10] and list(window.get_ydata()) == [50, 25]
    assert window.get_color() == pointwise.get_color() != other.get_color()
    assert window.get_marker() == other.get_marker() != pointwise.get_marker()


def test_a_trace_is_one_lane_in_milliseconds_with_each_kinds_share_and_the_backward_pass_marked():
    events = [("ReLU", "relu", 0.5, 0.25), ("convolution", "conv", 0.0, 0.5), ("convolution", "conv", 0.75, 0.25)]
    figure = plots.plot_trace(events, 0.6, "title")
    (axis,) = figure.axes
    bars = [[path.get_extents().extents.tolist() for path in kind.get_paths()] for kind in axis.collections]
    assert bars == [[[0, 0, 500, 1], [750, 0, 1000, 1]], [[500, 0, 750, 1]]] and axis.lines[0].get_xdata()[0] == 600
    assert [text.get_text() for text in figure.legends[0].texts] == ["convolution 75%", "ReLU 25%"]


def test_the_idea_has_a_map_a_bar_and_a_name_for_each_class():
    figure = plots.plot_idea(np.stack([np.full((5, 5), value) for value in (1.0, 3.0, 2.0)]), ("a", "b", "c"))
    right = figure.axes[1]
    assert len(right.images) == 3 and [text.get_text() for text in right.texts if text.get_text()] == ["a", "b", "c"]
    one, two, three = (bar.get_width() for bar in right.patches[:3])
    assert (one / two, three / two) == pytest.approx((1 / 3, 2 / 3))
