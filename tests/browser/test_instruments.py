"""The instruments that reckon, on a page without a kernel and in JupyterLab; and the training monitor's button."""

import json
import math
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from playwright.sync_api import expect

from hosting import NAMELESS, POOR, sweep
from lab import ROOT, SCREENSHOTS
from nin_helpers.architecture import head_parameters
from nin_helpers.nin import NiN
from nin_helpers.resources import layer_costs

WINDOWS = ((11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 2, 0), (3, 1, 1))  # kernel, stride, padding
NOTEBOOKS = {
    "pixel_perceptron": "01_nin_block",
    "shape_ladder": "02_output_shapes",
    "cost_table": "02_output_shapes",
    "head_calculator": "02_output_shapes",
    "stuck_or_learning": "03_training",
}
# Count the events of a drag, and the changes until the next frame is painted and after it.
WATCH = """root => {
    Object.assign(window, {events: 0, inTime: 0, late: 0});
    let waiting = 0;
    const note = () => {
        [events, waiting] = [events + 1, waiting + 1];
        requestAnimationFrame(() => {
            const painted = new MessageChannel();
            painted.port1.onmessage = () => { waiting -= 1; };
            painted.port2.postMessage(0);
        });
    };
    for (const kind of ['input', 'pointerdown']) root.addEventListener(kind, note, true);
    root.addEventListener('pointermove', event => event.buttons && note(), true);
    const change = {subtree: true, childList: true, attributes: true, characterData: true};
    new MutationObserver(() => { if (waiting) inTime += 1; else late += 1; }).observe(root, change);
}"""


def path(size, windows=WINDOWS):
    """Return the heights behind each window, by the formula, with arrows between them."""
    sizes = [size]
    for kernel, stride, padding in windows:
        sizes.append((sizes[-1] + 2 * padding - kernel) // stride + 1)
    return " → ".join(map(str, sizes))


class Shown:
    """An instrument in a page, or in a notebook that has run: operated by the labels of its controls."""

    def __init__(self, page, name):
        self.page, self.root = page, page.locator(f".nin-instrument.nin-{name.replace('_', '-')}")
        self.result = self.root.locator(".nin-result")

    def type(self, label, value):
        """Type a number into the box with this label."""
        self.root.get_by_role("spinbutton", name=label, exact=True).fill(str(value))

    def says(self, *texts):
        """Wait until the sentence has each of these texts."""
        for text in texts:
            expect(self.result).to_contain_text(text)


@pytest.fixture
def shown(request, visit):
    """The instrument that a test names, on a page."""
    return Shown(visit(request.param), request.param)


def of(name):
    """Give a test the instrument of this name."""
    return pytest.mark.parametrize("shown", [name], indirect=True)


# what each does, on a page


@of("shape_ladder")
def test_the_ladder_follows_each_window(shown):
    shown.says(f"{path(224)} → 1", "1 before pool 1")
    shown.type("input size", 100)
    shown.says(path(100))
    shown.root.get_by_text("Change the windows").click()
    shown.type("stride, block 1", 2)
    shown.says(path(100, ((11, 2, 0), *WINDOWS[1:])))
    shown.type("padding, block 2", 0)
    shown.type("kernel, block 2", 1)
    shown.says(path(100, ((11, 2, 0), (3, 2, 0), (1, 1, 0), *WINDOWS[3:])))
    shown.type("channels, block 4", 7)
    shown.says("each of 7 maps")
    shown.type("kernel, block 4", 11)
    shown.says("✗ block 4 needs a window of 11, but only")


@of("shape_ladder")
def test_the_ladder_lets_the_reader_predict(shown):
    guess = shown.root.get_by_role("textbox", name="your prediction, in pixels:")
    assert not guess.is_visible()
    shown.root.get_by_role("checkbox", name="predict first").press("Space")
    shown.says("224 → ? How many pixels are there behind block 1?")
    assert "54" not in shown.root.inner_text(), "what is to be predicted is nowhere to be read"
    guess.fill("many")
    guess.press("Enter")
    expect(shown.root.locator("form .nin-refusal")).to_contain_text("“many”, but must be a whole number of pixels")
    for number, verdict in ((54, "Right: behind block 1"), (27, "Not 27: behind pool 1")):
        guess.fill(str(number))
        guess.press("Enter")
        shown.says(verdict)
    shown.says("= 26 pixels", "224 → 54 → 26 → ?")
    shown.root.get_by_role("checkbox", name="predict first").press("Space")
    shown.says(f"{path(224)} → 1")


@of("head_calculator")
def test_the_heads_cost_what_their_layers_have(shown):
    for size, classes in ((224, 10), (320, 10), (320, 100)):
        shown.type("input size", size)
        shown.type("classes", classes)
        counts = ", ".join(f"{head} {head_parameters(head, size, classes):,}" for head in ("gap", "fc", "fc3"))
        shown.says(counts, f"for {classes} classes")
    shown.root.get_by_role("slider", name="classes").press("ArrowRight")
    shown.says("for 101 classes")


@pytest.mark.parametrize("shown", ["head_calculator", "cost_table"], indirect=True)
def test_what_cannot_be_is_refused_where_it_is_typed_and_changes_nothing(shown):
    before = shown.result.inner_text()
    for value, why in ((66, "66 pixels are too few: 67 is the smallest"), (5, "a whole number from 28 to 320")):
        shown.type("input size", value)
        expect(shown.root.locator(".nin-refusal", has_text=why)).to_be_visible()
        assert shown.result.inner_text() == before
    shown.type("input size", 67)
    expect(shown.root.locator(".nin-refusal:not(:empty)")).to_have_count(0)


@of("cost_table")
def test_the_table_is_sorted_by_the_head_that_is_pressed(shown):
    costs = layer_costs(NiN(), (1, 1, 224, 224))
    shown.says("by network: block1.0 comes first", "In all 1,992,166 parameters")
    keys = {"parameters": "parameters", "multiply–accumulates": "macs", "bytes of output": "bytes"}
    for column, (order, key) in enumerate(keys.items(), start=3):
        shown.root.get_by_role("button", name=order).press("Enter")
        most = max(costs, key=lambda cost: getattr(cost, key))
        shown.says(f"by {order}: {most.name} comes first")
        rows = [row.locator("td").all_inner_texts() for row in shown.root.locator("tbody tr").all()]
        assert [int(row[column].replace(",", "")) for row in rows] == sorted(
            (getattr(c, key) for c in costs), reverse=True
        )
        assert shown.root.locator("th[aria-sort=descending]").inner_text().strip() == order
    shown.root.get_by_role("button", name=order).press("Enter")
    shown.says("by network")


@of("pixel_perceptron")
def test_a_pixel_is_picked_with_the_mouse_and_only_the_larger_window_minds_the_shuffling(shown):
    canvas = shown.root.locator("canvas").first
    box = canvas.bounding_box()
    shown.page.mouse.move(box["x"] + 9.5 / 14 * box["width"], box["y"] + 3.5 / 14 * box["height"])
    shown.page.mouse.down()
    shown.says("Row 3, column 9: channels 1.00, 0.00, 0.00; the perceptron makes 0.50, 0.00, 0.00, 0.00 of them")
    shown.page.mouse.move(box["x"] + 10.5 / 14 * box["width"], box["y"] + 8.5 / 14 * box["height"])
    shown.page.mouse.up()
    shown.says(
        "Row 8, column 10: channels 1.00, −1.00, 0.00", ": the same. Shuffled before or after 1 × 1: the same picture"
    )
    shown.root.get_by_role("checkbox", name="shuffle the pixels").press("Space")
    shown.says(": the same. Shuffled before or after 1 × 1: the same picture")
    shown.root.get_by_role("button", name="3 × 3").press("Enter")
    shown.says("it sees the neighbours too", "3 × 3: pictures that differ by up to")


@of("stuck_or_learning")
def test_the_first_steps_are_those_that_were_recorded(shown):
    runs = json.loads((ROOT / "results" / "first_steps.json").read_text(encoding="utf-8"))["runs"]
    shown.says("xavier, lr 0.05: at step 100, loss", "stuck, and no gradient is left", "learning")
    assert shown.root.locator(".nin-word").all_inner_texts() == ["blind", "dead", "learning"]
    assert not shown.root.get_by_role("button", name="run live").is_visible()
    for run in runs[::3]:
        shown.root.get_by_role("combobox", name="start, 1").select_option(run["init"])
        shown.root.get_by_role("combobox", name="learning rate, 1").select_option(str(run["lr"]))
        last = run["states"][-1]["loss"]
        end = "the numbers are no longer finite" if last is None else f"loss {last:.{4 if last > 2.2 else 2}f}"
        shown.says(f"{run['init']}, lr {run['lr']}: at step 100, {end}")
        if last is not None and abs(last - math.log(10)) < 0.01:
            shown.says("stuck")


@of("stuck_or_learning")
def test_a_step_is_picked_in_a_drawing(shown):
    runs = json.loads((ROOT / "results" / "first_steps.json").read_text(encoding="utf-8"))["runs"]
    first = next(run["states"][0] for run in runs if (run["init"], run["lr"]) == ("xavier", 0.05))
    column = shown.root.locator(".nin-run").first
    column.locator("svg").nth(1).click(position={"x": 1, "y": 20})
    expect(shown.root.get_by_role("slider", name="step")).to_have_attribute("aria-valuetext", "0")
    shown.says(f"xavier, lr 0.05: at step 0, loss {first['loss']:.3g}", "blind in the end")
    shows = [float(text) for text in column.locator("figcaption b").all_inner_texts()[:3]]
    assert shows == pytest.approx([first[key] for key in ("loss", "live", "gradient")], rel=0.005)


# what must hold of each, on a page


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_page_of_the_site_is_live_as_a_file_and_without_network(watched, name):
    page, asked = watched(offline=True), []
    page.on("request", lambda request: request.url.startswith("http") and asked.append(request.url))
    page.goto((ROOT / "build" / "site" / "notebooks" / f"{NOTEBOOKS[name]}.html").as_uri())
    shown = Shown(page, name)
    before = shown.result.inner_text()
    for key in ("End", "Home"):
        shown.root.get_by_role("slider").first.press(key)
    expect(shown.result).not_to_have_text(before)
    assert not asked


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_an_instrument_is_readable_named_and_no_wider_than_a_phone(visit, name):
    for scheme, width in (("light", 1280), ("dark", 390)):
        page = visit(name, viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(NAMELESS) == [] and page.evaluate(POOR) == []
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)


def drag(root, page):
    """Drag what is to be dragged to and fro: each answer is there with the next frame, and nothing comes after it.

    How many milliseconds that takes is measured by tools/time_instruments.py: a frame of a busy machine is a long one.
    """
    root.scroll_into_view_if_needed()
    root.evaluate(WATCH)
    handle = root.locator("canvas, input[type=range]").first
    box = handle.bounding_box()
    for turn in range(4):
        sweep(page, box, 15, (turn + 0.5) / 14 if box["height"] > 30 else 0.5, back=turn % 2 == 1)
    events, in_time, late = page.evaluate("[events, inTime, late]")
    assert events >= 50 and in_time >= events / 2 and late == 0


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_an_answer_is_painted_with_the_next_frame(visit, name):
    page = visit(name)
    drag(Shown(page, name).root, page)


# in JupyterLab

in_each = pytest.mark.parametrize(("notebook", "name"), [(n, i) for i, n in NOTEBOOKS.items()], indirect=["notebook"])


@in_each
def test_a_notebook_hosts_the_same_instrument_and_answers_with_the_next_frame(notebook, name):
    shown = Shown(notebook.page, name)
    before = shown.result.inner_text()
    drag(shown.root, notebook.page)
    handle = shown.root.get_by_role("slider").first
    handle.press("End")
    handle.press("ArrowLeft")
    expect(shown.result).not_to_have_text(before)
    shown.root.screenshot(path=SCREENSHOTS / f"{name}-jupyterlab.png")


@in_each
def test_a_dark_jupyterlab_leaves_everything_readable(notebook, name):
    notebook.set_theme("JupyterLab Dark")
    poor = notebook.page.evaluate(POOR)
    notebook.set_theme("JupyterLab Light")
    assert not poor


@pytest.mark.parametrize("notebook", ["03_training"], indirect=True)
def test_a_live_run_goes_to_its_end(notebook):
    shown = Shown(notebook.page, "stuck_or_learning")
    shown.root.get_by_role("combobox", name="learning rate, 3").select_option("0.1")
    button = shown.root.get_by_role("button", name="run live").last
    button.press("Enter")
    expect(button).to_be_disabled()
    expect(button).to_be_enabled(timeout=180_000)
    shown.says("alive, lr 0.1: at step 100")


@pytest.mark.parametrize("notebook", ["03_training"], indirect=True)
def test_the_training_is_stopped_by_its_button(notebook):
    monitor = notebook.page.locator(".nin-training-monitor")
    expect(monitor.locator(".nin-result")).to_contain_text("done.")
    notebook.run_cell("widgets.TrainingMonitor(", wait=False)
    stop = monitor.get_by_role("button", name="stop, keep the weights")
    expect(stop).to_be_enabled(timeout=60_000)
    stop.press("Enter")
    expect(monitor.locator(".nin-result")).to_contain_text("Stopped: the network keeps what it has learned.")
    expect(stop).to_be_disabled()
    steps, points = notebook.ask("", '(history["num_steps"], [p["step"] for p in history["evaluations"]])')
    assert 0 < points[-1] < steps
    assert not [o for cell in notebook.cells() for o in cell["outputs"] if o["output_type"] == "error"]


@pytest.mark.parametrize("notebook", ["02_output_shapes"], indirect=True)
def test_a_saved_notebook_is_live_again_without_its_kernel(notebook, browser):
    """What the file has of the instruments is enough, once its reader trusts it; until then a still shows."""
    saved, server = notebook.server.folder / "notebooks" / "saved.ipynb", notebook.server
    shutil.copy(ROOT / "notebooks" / "02_output_shapes.ipynb", saved)
    subprocess.run([sys.executable, "-m", "jupyter", "trust", saved], env=server.environment(), check=True)
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.goto(f"{server.address}/lab/workspaces/saved/tree/saved.ipynb?reset&token={server.token}")
    ladder = Shown(page, "shape_ladder")
    expect(ladder.result).to_contain_text(path(224), timeout=60_000)
    ladder.type("input size", 100)
    ladder.says(path(100))
    page.close()


@pytest.mark.parametrize("notebook", ["02_output_shapes"], indirect=True)
def test_the_readme_shows_a_page_as_it_is(notebook):
    page, size, ladder = notebook.page, notebook.page.viewport_size, Shown(notebook.page, "shape_ladder")
    notebook.run_cell("instruments.ShapeLadder(")
    ladder.root.get_by_role("checkbox", name="predict first").press("Space")
    for number, guess in enumerate((54, 26, 26)):
        ladder.root.get_by_role("textbox").fill(str(guess))
        ladder.root.get_by_role("textbox").press("Enter")
        ladder.says(" → ".join(["224", "54", "26", "26"][: number + 2]) + " → ?")
    page.set_viewport_size({"width": 1280, "height": 800})
    ladder.root.evaluate("root => root.scrollIntoView({block: 'end'})")
    page.screenshot(path=SCREENSHOTS / "chapter.png")
    page.set_viewport_size(size)
    taken, there = (Image.open(path) for path in (SCREENSHOTS / "chapter.png", ROOT / "images" / "chapter.png"))
    assert taken.size == there.size, "images/chapter.png must be a copy of build/screenshots/chapter.png"
