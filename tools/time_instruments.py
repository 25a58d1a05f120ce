"""Time how fast the instruments answer, into results/instruments.json: `python tools/time_instruments.py`.

From an event, a slider that is dragged or a button that is pressed, to the next frame that is painted, in Chromium on this
machine: of today's instruments in JupyterLab and on a page of build/site, and of those of an older commit in JupyterLab,
which drew with matplotlib in the kernel: there up to the last change in the cell, for a slider that is moved by a key.
"""

import argparse
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from statistics import median

import nbformat
import torch

from nin_helpers.experiments.results import new_result, write_result
from nin_helpers.provenance import environment

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from chromium import find  # noqa: E402
from lab import Notebook, Server  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

OLD = "c3a2675"
COUNT = 60
# The calls that make an instrument now and then, and what is moved: a slider, by its label, or the pixel (None).
INSTRUMENTS = {
    "shape-ladder": ("ShapeLadder()", "shape_ladder()", "input size"),
    "head-calculator": ("HeadCalculator()", "head_calculator()", "input size"),
    "cost-table": ("CostTable()", "cost_table()", "input size"),
    "pixel-perceptron": ("PixelPerceptron()", "pixel_perceptron()", None),
    "stuck-or-learning": ("StuckOrLearning(result)", "stuck_or_learning(result)", "step"),
}
PAGES = {"pixel-perceptron": "01_nin_block", "stuck-or-learning": "03_training"}
LISTEN = """root => {
    window.times = [];
    const note = event => requestAnimationFrame(() => {
        const painted = new MessageChannel();
        painted.port1.onmessage = () => times.push(performance.now() - event.timeStamp);
        painted.port2.postMessage(0);
    });
    const kinds = root.querySelector('canvas') ? ['pointermove'] : ['input'];
    for (const kind of kinds) root.addEventListener(kind, event => event.buttons !== 0 && note(event), true);
}"""
LISTEN_TO_A_CELL = """output => {
    window.pressed = window.changed = 0;
    output.addEventListener('keydown', event => { window.pressed = event.timeStamp; }, true);
    new MutationObserver(() => { window.changed = performance.now(); })
        .observe(output, {subtree: true, childList: true, attributes: true, characterData: true});
}"""


class TimingServer(Server):
    """JupyterLab with one notebook, which has each instrument in a cell of its own, and the package of a folder."""

    def __init__(self, folder, package, calls):
        super().__init__(folder)
        self.package = package
        module = "instruments" if package == ROOT else "widgets"
        lines = [f"from nin_helpers import {module}", "from nin_helpers.experiments import load_result"]
        first = "\n".join([*lines, "result = load_result('first_steps')"])
        cells = [nbformat.v4.new_code_cell(source) for source in (first, *(f"{module}.{call}" for call in calls))]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, folder / "notebooks" / "timing.ipynb")

    def environment(self):
        """Return the server's environment, with the package in front of the installed one."""
        return {**super().environment(), "PYTHONPATH": str(self.package)}


def drag(page, root, label):
    """Drag a slider over its range, or press the buttons of a row, and return the times in milliseconds."""
    root.scroll_into_view_if_needed()
    root.evaluate(LISTEN)
    dragged = root.locator("canvas").first if label is None else root.get_by_role("slider", name=label, exact=True)
    box, times = dragged.bounding_box(), []
    steps = range(int(dragged.get_attribute("width")) if label is None else min(COUNT, span_of(dragged)) + 1)
    while len(times) < COUNT:  # to and fro; on a picture along one row after the other
        row = 0.5 if label else (len(times) // len(steps) + 0.5) / len(steps)
        for i, step in enumerate(steps if len(times) // len(steps) % 2 == 0 else reversed(steps)):
            place = box["x"] + 8 + step * (box["width"] - 16) / (len(steps) - 1)
            page.mouse.move(place, box["y"] + row * box["height"])
            if i == 0:
                page.mouse.down()
            page.wait_for_timeout(30)
        page.mouse.up()
        times = page.evaluate("times")
    return times


def span_of(slider):
    """Return how many steps a slider has."""
    return int(slider.get_attribute("max")) - int(slider.get_attribute("min"))


def press(page, name, label):
    """Move a slider of an old instrument by a key, again and again, and return the times in milliseconds."""
    root = page.locator(f".nin-instrument.nin-{name}")
    output, times = page.locator(".jp-Cell-outputWrapper").filter(has=root), []
    shown = root.locator(".widget-label").filter(has_text=label or "column").first.locator("xpath=..")
    handle = shown.get_by_role("slider")
    output.evaluate(LISTEN_TO_A_CELL)
    for i in range(COUNT):
        handle.press("ArrowLeft" if i % 2 else "ArrowRight")
        page.wait_for_timeout(900)
        times.append(page.evaluate("changed - pressed"))
    return [time for time in times if time > 0]


def old_package(folder):
    """Unpack the package of the old commit, with its results, and return its folder."""
    packed = subprocess.run(["git", "archive", OLD], cwd=ROOT, check=True, capture_output=True).stdout
    tarfile.open(fileobj=BytesIO(packed)).extractall(folder, filter="data")
    return folder


def in_jupyterlab(browser, folder, package, calls, measure):
    """Return {instrument: times} in JupyterLab with the package of a folder."""
    with TimingServer(folder, package, calls) as server:
        notebook = Notebook(browser.new_page(viewport={"width": 1280, "height": 1400}), server, "timing")
        notebook.open()
        notebook.run_all()
        notebook.page.wait_for_timeout(3000)
        times = {name: measure(notebook.page, name, label) for name, (*_, label) in INSTRUMENTS.items()}
        notebook.page.close()
    return times


def on_pages(browser):
    """Return {instrument: times} on the pages of `make site`."""
    times = {}
    for name, (*_, label) in INSTRUMENTS.items():
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        path = ROOT / "build" / "site" / "notebooks" / f"{PAGES.get(name, '02_output_shapes')}.html"
        page.goto(path.as_uri())
        root = page.locator(f".nin-instrument.nin-{name}")
        root.wait_for()
        times[name] = drag(page, root, label)
        page.close()
    return times


def summary(place, times):
    """Return the runs of a place: of each instrument how many values, the median, and the quarters around it."""
    runs = []
    for name, found in times.items():
        ordered = sorted(found)
        quarters = [ordered[len(ordered) * part // 4] for part in (1, 3)]
        values = {"count": len(found), "median_ms": median(found), "quartiles_ms": quarters}
        runs.append({"case": name, "place": place, **values})
        print(f"{place:24}{name:20}{len(found):4} values, median {median(found):7.1f} ms")
    return runs


def main():
    """Measure all, write the results, and return 0."""
    parser = argparse.ArgumentParser(description="Time how fast the instruments answer.")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "instruments.json")
    out = parser.parse_args().out
    work = ROOT / "build" / "timing"
    subprocess.run(["rm", "-rf", work], check=True)
    for name in ("new", "old", "package"):
        (work / name).mkdir(parents=True)
    now, then, _ = zip(*INSTRUMENTS.values())
    os.environ.setdefault("PYTEST_CURRENT_TEST", "timing")  # lab.py notes by it where an error of the console came from
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        measure = lambda page, name, label: drag(page, page.locator(f".nin-instrument.nin-{name}"), label)  # noqa: E731
        runs = summary("JupyterLab", in_jupyterlab(browser, work / "new", ROOT, now, measure))
        runs += summary("page", on_pages(browser))
        package = old_package(work / "package")
        runs += summary(f"JupyterLab, {OLD}", in_jupyterlab(browser, work / "old", package, then, press))
        browser_version = browser.version
        browser.close()
    told = environment(torch.device("cpu"))
    told["versions"]["chromium"] = browser_version
    result = new_result("instruments", data=None)
    result["runs"] = [{"environment": told, "config": None, **run} for run in runs]
    write_result(out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
