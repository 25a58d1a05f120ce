"""Time how fast the instruments answer, into results/instruments.json: `python tools/time_instruments.py`.

From an event, a slider that is dragged or a button that is pressed, to the next frame that is painted, in Chromium on
this machine: of today's instruments in JupyterLab and on a page of build/site, and of those of an older commit in
JupyterLab, which drew with matplotlib in the kernel: there up to the last change in the cell, for a slider that is
moved by a key.
Those that ask a network: up to the frame that shows its answer.
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

from playwright.sync_api import sync_playwright  # noqa: E402

from chromium import find  # noqa: E402
from hosting import answers, served, sweep, write_pages  # noqa: E402
from lab import Notebook, Server  # noqa: E402

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
GIVEN = (
    "result, known = load_result('first_steps'), load_classifier()",
    "images = torch.randint(256, (20, 1, 28, 28), dtype=torch.uint8)",
    "models = {'gap': known.model, 'again': known.model}",  # two networks, as large as those of today
)
# The same for those that ask a network.
NETWORKS = {
    "where-it-looks": ("WhereItLooks()", "where_it_looks(known.model, images, known.classes, known.config)", "picture"),
    "shift-test": (
        "ShiftTest()",
        "shift_test(models, images, torch.arange(20) % 10, known.classes, known.config)",
        "moved right",
    ),
    "journey": ("Journey()", None, None),
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
        lines += ["import torch", "from nin_helpers.prediction import load_classifier", *GIVEN]
        first = "\n".join(lines)
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
    count = int(dragged.get_attribute("width")) if label is None else min(COUNT, span_of(dragged)) + 1
    while len(times) < COUNT:  # to and fro; on a picture along one row after the other
        turn = len(times) // count
        sweep(page, box, count, 0.5 if label else (turn + 0.5) / count, back=turn % 2 == 1)
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
    for i in range(50):
        handle.press("ArrowLeft" if i % 2 else "ArrowRight")
        page.wait_for_timeout(700)
        times.append(page.evaluate("changed - pressed"))
    return [time for time in times if time > 0]


def old_package(folder):
    """Unpack the package of the old commit, with its results, and return its folder."""
    packed = subprocess.run(["git", "archive", OLD], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def in_jupyterlab(browser, folder, package, calls, measure):
    """Return {instrument: times}, which `measure` finds on a page of JupyterLab with the package of a folder."""
    with TimingServer(folder, package, calls) as server:
        notebook = Notebook(browser.new_page(viewport={"width": 1280, "height": 1400}), server, "timing")
        notebook.open()
        notebook.run_all()
        notebook.page.wait_for_timeout(3000)
        times = measure(notebook.page)
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


def networks_on_pages(browser, folder):
    """Return {instrument: times} of those that ask a network, on pages like those of `make site`."""
    from nin_helpers import instruments

    write_pages(folder, [instruments.WhereItLooks(), instruments.ShiftTest(), instruments.Journey()])
    times = {}
    with served(folder) as address:
        for name in NETWORKS:
            page = browser.new_page(viewport={"width": 1280, "height": 1400})
            page.goto(f"{address}/{name.replace('-', '_')}.html")
            times |= answers_of(page, name)
            page.close()
    return times


def answers_of(page, *names):
    """Return {instrument: times} from an event to the painted answer of a network."""
    roots = {name: page.locator(f".nin-instrument.nin-{name}") for name in names}
    return {
        name: [answer["ms"] for answer in answers(root, name.replace("-", "_"), COUNT)] for name, root in roots.items()
    }


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


def measure_now(page):
    """Return {instrument: times} of today's instruments in JupyterLab."""
    roots = {name: page.locator(f".nin-instrument.nin-{name}") for name in INSTRUMENTS}
    return {name: drag(page, root, INSTRUMENTS[name][2]) for name, root in roots.items()} | answers_of(page, *NETWORKS)


def measure_then(page):
    """Return {instrument: times} of the old ones."""
    old = {name: label for name, (_, call, label) in (INSTRUMENTS | NETWORKS).items() if call}
    return {name: press(page, name, label) for name, label in old.items()}


def main():
    """Measure all, write the results, and return 0."""
    parser = argparse.ArgumentParser(description="Time how fast the instruments answer.")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "instruments.json")
    out = parser.parse_args().out
    work = ROOT / "build" / "timing"
    subprocess.run(["rm", "-rf", work], check=True)
    for name in ("new", "old", "package", "site"):
        (work / name).mkdir(parents=True)
    now, then, _ = zip(*INSTRUMENTS.values(), *NETWORKS.values())
    os.environ.setdefault("PYTEST_CURRENT_TEST", "timing")  # lab.py notes by it where an error of the console came from
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        runs = summary("JupyterLab", in_jupyterlab(browser, work / "new", ROOT, now, measure_now))
        runs += summary("page", on_pages(browser) | networks_on_pages(browser, work / "site"))
        package = old_package(work / "package")
        calls = [call for call in then if call]
        runs += summary(f"JupyterLab, {OLD}", in_jupyterlab(browser, work / "old", package, calls, measure_then))
        browser_version = browser.version
        browser.close()
    told = environment(torch.device("cpu"))
    told["versions"]["chromium"] = browser_version
    result = new_result("instruments", data="fashion_mnist")
    result["runs"] = [{"environment": told, "config": None, **run} for run in runs]
    write_result(out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
