"""What all figures have in common: their look, how they are made, shown and saved.

Colours are Okabe and Ito's (2008), told apart by the colour-blind and on light and dark pages; each figure has a white
ground of its own, so that a dark theme does not swallow its text.
"""

import io
import threading
from pathlib import Path

import matplotlib.pyplot as plt
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


def subplots(*arguments, title="", **options):
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


def name_rows(axis, names, lines=False):
    """Name the rows 0, 1, … of an axis from the top, with a line through each or with none."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    if not lines:
        axis.grid(axis="y", visible=False)


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


def save(figure, path):
    """Write `figure` to the file `path`, whole or not at all, in the format of its ending (PNG without one)."""
    content = io.BytesIO()
    figure.savefig(content, format=Path(path).suffix[1:] or "png", dpi=150)
    write_whole(path, content.getvalue())
