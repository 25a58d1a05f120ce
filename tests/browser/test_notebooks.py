"""Each notebook in JupyterLab: Run All gets to the bottom, and what it shows is there for everyone."""

import pytest

from lab import ROOT

NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.md"))
pytestmark = pytest.mark.parametrize("notebook", NAMES, indirect=True)
WIDGET = "application/vnd.jupyter.widget-view+json"


def data(output):
    """Return what an output shows, by its type."""
    return output.get("data", {})


def test_run_all_gets_to_the_bottom(notebook):
    assert not [output for output in notebook.outputs() if output["output_type"] == "error"]
    counts = [cell["count"] for cell in notebook.ran]
    assert counts == list(range(1, len(counts) + 1))


def test_neither_console_nor_kernel_has_an_error(notebook):
    assert not notebook.errors and not notebook.kernel_errors()


def test_every_figure_has_a_text(notebook):
    figures = [output for output in notebook.outputs() if "image/png" in data(output)]
    assert all(figure["metadata"].get("image/png", {}).get("alt") for figure in figures)
    # JupyterLab 4.6 keeps the text of a figure to itself: no image of an output has one, whatever the output says
    assert not notebook.page.locator(".jp-Notebook img:not([alt]):not(.jp-RenderedImage img)").count()


def test_every_widget_is_there(notebook):
    kinds = (".jupyter-widgets-view", " .jupyter-widgets", " .nin-instrument")
    views = notebook.page.locator(", ".join(f".jp-OutputArea-output{kind}" for kind in kinds))
    widgets = [output for output in notebook.outputs() if WIDGET in data(output)]
    assert views.count() >= len(widgets)
    for words in ("Loading widget", "Error displaying widget", "Error creating widget"):
        assert not notebook.page.locator(".jp-OutputArea-output").get_by_text(words).count()
