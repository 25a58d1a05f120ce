"""Each instrument, operated with the keyboard: what is shown follows, and is what an independent calculation gives."""

import io
import json
import math
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from lab import ROOT, SCREENSHOTS

WINDOWS = ((11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 2, 0), (3, 1, 1))  # kernel, stride, padding
INSTRUMENTS = {
    "pixel-perceptron": "01_nin_block",
    "shape-ladder": "02_output_shapes",
    "head-calculator": "02_output_shapes",
    "cost-table": "02_output_shapes",
    "training-monitor": "03_training",
    "where-it-looks": "03_training",
    "stuck-or-learning": "03_training",
    "shift-test": "07_solutions_head",
}


@pytest.fixture
def instrument(request, notebook):
    """The instrument that a test names, as it is at first, with a screenshot of it before and after the test."""
    instrument = notebook.instrument(request.param)
    if request.param != "training-monitor":  # which takes long
        notebook.run_cell(f"widgets.{request.param.replace('-', '_')}(")
    instrument.screenshot(f"{request.node.originalname.removeprefix('test_')}-before")
    yield instrument
    instrument.screenshot(f"{request.node.originalname.removeprefix('test_')}-after")


def of(*names):
    """Give a test the instruments with these names, each in its notebook."""
    return pytest.mark.parametrize(("notebook", "instrument"), [(INSTRUMENTS[n], n) for n in names], indirect=True)


def says(instrument, *texts):
    """Wait until the result has each of these texts; then the picture must have it as its own, too."""
    for text in texts:
        expect(instrument.result).to_contain_text(text)
    if instrument.name != "cost-table":
        instrument.notebook.wait_for_figure(instrument.result.inner_text())


def path(size, windows=WINDOWS):
    """Return the heights behind each window, by the formula, with arrows between them."""
    sizes = [size]
    for kernel, stride, padding in windows:
        sizes.append((sizes[-1] + 2 * padding - kernel) // stride + 1)
    return " → ".join(map(str, sizes))


def numbers(text):
    """Return the numbers in a text."""
    return [float(number.replace(",", "")) for number in re.findall(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)]


@of("shape-ladder")
def test_the_ladder_follows_each_window(instrument):
    says(instrument, f"{path(224)} → 1", "1 before pool 1")
    instrument.set_slider("input size", 100)
    says(instrument, path(100))
    instrument.set_slider("stride of block 1", 2)
    says(instrument, path(100, ((11, 2, 0), *WINDOWS[1:])))
    instrument.show_tab("block 2")
    instrument.set_slider("padding of block 2", 0)
    instrument.set_slider("kernel of block 2", 1)
    says(instrument, path(100, ((11, 2, 0), (3, 2, 0), (1, 1, 0), *WINDOWS[3:])))
    instrument.show_tab("block 4")
    instrument.set_slider("channels of block 4", 7)
    says(instrument, "each of 7 maps")


@of("shape-ladder")
def test_the_ladder_lets_the_reader_predict(instrument):
    instrument.set_slider("input size", 224)
    instrument.tick("predict first")
    says(instrument, "224 → ? How many pixels are there behind block 1?")
    instrument.type_into("your prediction", "many")
    expect(instrument.refusal).to_contain_text("'many', but must be a whole number of pixels")
    instrument.screenshot("refused")
    instrument.type_into("your prediction", "54")
    says(instrument, "Right: behind block 1", "224 → 54 → ?")
    expect(instrument.refusal).to_be_empty()
    instrument.type_into("your prediction", "27")
    says(instrument, "Not 27: behind pool 1", "= 26 pixels", "224 → 54 → 26 → ?")
    instrument.tick("predict first")
    says(instrument, f"{path(224)} → 1")


@of("head-calculator")
def test_the_heads_cost_what_their_layers_have(instrument):
    for size, classes in ((224, 10), (320, 10), (320, 100)):
        instrument.set_slider("input size", size)
        instrument.set_slider("classes", classes)
        inputs = 384 * int(path(size).split(" → ")[-1]) ** 2
        average = 384 * 9 * classes + classes + 2 * (classes * classes + classes)
        three = (inputs + 1) * 4096 + 4097 * 4096 + 4097 * classes
        says(instrument, f"gap {average:,}, fc {(inputs + 1) * classes:,}, fc3 {three:,}", f"for {classes} classes")
    instrument.move_slider("classes", "ArrowRight")
    says(instrument, "for 101 classes")


@of("head-calculator", "cost-table")
def test_a_picture_that_is_too_small_is_refused(instrument):
    before = instrument.result.inner_text()
    instrument.move_slider("input size", "Home")
    assert instrument.value("input size") == "28"
    expect(instrument.refusal).to_contain_text("67")
    assert instrument.result.inner_text() == before
    instrument.set_slider("input size", 224)
    expect(instrument.refusal).to_be_empty()


@of("cost-table")
def test_the_table_is_sorted_by_what_the_reader_chooses(instrument):
    instrument.choose("sort by", "network")
    instrument.set_slider("input size", 224)
    says(instrument, "224 × 224 pixels, by network: block1.0 comes first", "In all 1,992,166 parameters")
    first = (
        ("parameters", "block3.0", 384 * (256 * 9 + 1)),
        ("multiply–accumulates", "block2.0", 26 * 26 * 256 * (96 * 25)),
        ("bytes of output", "block1.0", 4 * 96 * 54 * 54),
    )
    for column, (order, name, most) in enumerate(first, start=3):
        instrument.choose("sort by", order)
        says(instrument, f"by {order}: {name} comes first")
        head, *rows = (row.locator("th, td").all_inner_texts() for row in instrument.output.locator("tr").all())
        shown = [int(row[column].replace(",", "")) for row in rows]
        assert head[column] == order and rows[0][0] == name
        assert shown == sorted(shown, reverse=True) and shown[0] == most


def perceptron(row, column):
    """Return the three channels of a pixel of the shirt, and the four outputs that the weights in the chapter make."""
    from nin_helpers.widgets import SHIRT

    worth = {"#": 1, "+": 128 / 255, ".": 0}
    drawn = [[worth[character] for character in line] for line in SHIRT.splitlines()]
    value = drawn[row][column]
    right, down = drawn[row][column + 1] - value, drawn[row + 1][column] - value
    sums = (value + right + down - 0.5, -right, -down, 1 - value + (right + down) / 2)
    return (value, right, down), tuple(max(0, total) for total in sums)


@of("pixel-perceptron")
def test_the_perceptron_is_the_convolution_of_its_pixel(instrument):
    for row, column in ((8, 5), (1, 3), (9, 9)):
        instrument.set_slider("row", row)
        instrument.set_slider("column", column)
        channels, outputs = (", ".join(f"{value:.2f}" for value in values) for values in perceptron(row, column))
        says(instrument, f"Row {row}, column {column}: channels {channels}; the perceptron makes {outputs} of them")
        says(instrument, f"Conv2d {outputs}: the same.", "1 × 1: the same picture")
    instrument.move_slider("row", "ArrowRight", "ArrowRight")
    says(instrument, "Row 11, column 9")


@of("pixel-perceptron")
def test_only_the_larger_window_minds_the_shuffling(instrument):
    instrument.tick("shuffle the pixels")
    says(instrument, "1 × 1: the same picture")
    instrument.choose("window", "3 × 3")
    says(instrument, "it sees the neighbours too", "3 × 3: pictures that differ by up to")
    instrument.screenshot("shuffled")
    instrument.choose("window", "1 × 1")
    instrument.tick("shuffle the pixels")
    says(instrument, "1 × 1: the same picture")


@of("where-it-looks")
def test_the_mean_of_the_map_of_each_class_is_its_logit(instrument):
    instrument.set_slider("picture", 3)
    names, logits = instrument.notebook.ask(
        'found = predict(model, test.images[3:4], config, "fp32")[0].tolist()', "(list(data.classes), found)"
    )
    for name, logit in list(zip(names, logits))[::4]:
        instrument.choose("class", name)
        says(instrument, f"{name}: the mean", f"The answer is {names[logits.index(max(logits))]}")
        mean, shown = numbers(instrument.result.inner_text().partition(" map is ")[2])[:2]
        assert mean == pytest.approx(logit, abs=0.02) and shown == pytest.approx(logit, abs=0.02)


@of("where-it-looks")
def test_a_drawing_of_the_reader_is_looked_at(instrument):
    instrument.choose("class", instrument.notebook.ask("", "data.classes[1]"))
    instrument.choose("which", "my drawing")
    instrument.type_into("my drawing", "####\n#..#\n#..#\n")
    drawing = [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0]]
    code = f"""if True:
        small = 255 * torch.tensor({drawing}, dtype=torch.uint8)
        large = small.repeat_interleave(7, 0).repeat_interleave(7, 1)[None, None]
        found = predict(model, large.to(test.images.device), config, "fp32")[0].tolist()"""
    logit = instrument.notebook.ask(code, "found[1]")
    says(instrument, f"its logit {logit:.2f}")
    instrument.type_into("my drawing", "##\n#x")
    expect(instrument.refusal).to_contain_text("line 2 has 'x' at place 2")
    instrument.screenshot("refused")
    instrument.choose("which", "given")
    expect(instrument.refusal).to_be_empty()


def picture(grey):
    """Return the bytes of a PNG of one grey."""
    with io.BytesIO() as file:
        Image.new("L", (40, 30), grey).save(file, "png")
        return file.getvalue()


@of("where-it-looks")
def test_a_file_of_the_reader_is_looked_at(instrument):
    instrument.choose("class", instrument.notebook.ask("", "data.classes[1]"))
    instrument.choose("which", "my file")
    expect(instrument.refusal).to_contain_text("no file has been chosen yet")
    instrument.choose_file(name="no.png", mimeType="image/png", buffer=b"no picture")
    expect(instrument.refusal).to_contain_text("cannot be read as a picture")
    instrument.choose_file(name="grey.png", mimeType="image/png", buffer=picture(200))
    expect(instrument.refusal).to_be_empty()
    code = """if True:
        grey = torch.full((1, 1, 28, 28), 200, dtype=torch.uint8, device=test.images.device)
        found = predict(model, grey, config, "fp32")[0].tolist()"""
    says(instrument, f"its logit {instrument.notebook.ask(code, 'found[1]'):.2f}")
    instrument.choose("which", "given")


@of("stuck-or-learning")
def test_the_first_steps_are_those_that_were_recorded(instrument):
    runs = json.loads((ROOT / "results" / "first_steps.json").read_text(encoding="utf-8"))["runs"]
    for run in runs[::5]:
        instrument.choose("initialisation", run["init"])
        instrument.choose("learning rate (SGD)", str(run["lr"]))
        state, last = run["states"][-1], run["states"][-1]["loss"]
        end = "diverged" if last is None else "stuck" if abs(last - math.log(10)) < 0.01 else None
        says(instrument, f"{run['init']}, lr {run['lr']}, step {state['step']}: loss", end or ": ")
    instrument.move_slider("step", "Home")
    says(instrument, "step 0: loss")
    instrument.move_slider("step", "ArrowRight", "ArrowRight", "ArrowRight")
    says(instrument, f"step {runs[0]['states'][3]['step']}: loss")


@of("stuck-or-learning")
def test_a_live_run_goes_to_its_end(instrument):
    instrument.choose("initialisation", "alive")
    instrument.choose("learning rate (SGD)", "0.1")
    instrument.press("run this one live")
    button = instrument.root.get_by_role("button", name="run this one live")
    expect(button).to_be_disabled()
    expect(instrument.result).to_contain_text("Live, step 100", timeout=180_000)
    expect(button).to_be_enabled()


@of("training-monitor")
def test_the_training_is_stopped_by_its_button(instrument):
    expect(instrument.result).to_contain_text("done.")
    instrument.notebook.run_cell("widgets.TrainingMonitor(", wait=False)
    stop = instrument.root.get_by_role("button", name="stop, keep the weights")
    expect(stop).to_be_enabled(timeout=60_000)
    stop.press("Enter")
    expect(instrument.result).to_contain_text("Stopped: the network keeps what it has learned.")
    expect(stop).to_be_disabled()
    steps, points = instrument.notebook.ask("", '(history["num_steps"], [p["step"] for p in history["evaluations"]])')
    assert 0 < points[-1] < steps
    assert not [o for cell in instrument.notebook.cells() for o in cell["outputs"] if o["output_type"] == "error"]


@of("shift-test")
def test_a_moved_picture_gets_the_answers_of_both_networks(instrument):
    instrument.set_slider("picture", 2)
    for right, down in ((0, 0), (9, 0), (-6, 4)):
        instrument.set_slider("moved right", right)
        instrument.set_slider("moved down", down)
        code = f"""if True:
            x = preprocess(data.test.images[2:3], config.size, config.mean, config.std)
            rows, columns = torch.arange(config.size)[:, None] - {down}, torch.arange(config.size) - {right}
            inside = (rows >= 0) & (rows < config.size) & (columns >= 0) & (columns < config.size)
            x = torch.where(inside, x.roll(({down}, {right}), (2, 3)), -config.mean / config.std)
            found = {{name: data.classes[model(x).argmax()] for name, model in models.items()}}"""
        said = ", ".join(f"{name} says {answer}" for name, answer in instrument.notebook.ask(code, "found").items())
        says(instrument, f"moved {right} to the right, {down} down: {said}.")


in_each = pytest.mark.parametrize(("notebook", "name"), [(n, i) for i, n in INSTRUMENTS.items()], indirect=["notebook"])


@in_each
def test_a_dark_page_leaves_everything_readable(notebook, name):
    instrument = notebook.instrument(name)
    notebook.set_theme("JupyterLab Dark")
    instrument.screenshot("dark")
    poor = instrument.poor_contrasts()
    notebook.set_theme("JupyterLab Light")
    assert not poor


@in_each
def test_a_narrow_column_holds_the_instrument(notebook, name):
    instrument, size = notebook.instrument(name), notebook.page.viewport_size
    notebook.page.set_viewport_size({**size, "width": 840})
    expect(instrument.output).to_have_css("width", re.compile(r"7\d\d"))
    instrument.screenshot("narrow")
    wide = instrument.too_wide()
    notebook.page.set_viewport_size(size)
    assert not wide


@pytest.mark.parametrize("notebook", ["02_output_shapes"], indirect=True)
def test_the_readme_shows_a_page_as_it_is(notebook):
    page, size, ladder = notebook.page, notebook.page.viewport_size, notebook.instrument("shape-ladder")
    notebook.run_cell("widgets.shape_ladder(")
    ladder.tick("predict first")
    for number, guess in enumerate((54, 26, 26)):
        ladder.type_into("your prediction", str(guess))
        says(ladder, " → ".join(["224", "54", "26", "26"][: number + 2]) + " → ?")
    page.set_viewport_size({"width": 1280, "height": 800})
    ladder.output.evaluate("cell => cell.scrollIntoView({block: 'end'})")
    page.screenshot(path=SCREENSHOTS / "chapter.png")
    page.set_viewport_size(size)
    taken, shown = (Image.open(path) for path in (SCREENSHOTS / "chapter.png", ROOT / "images" / "chapter.png"))
    assert taken.size == shown.size, "images/chapter.png must be a copy of build/screenshots/chapter.png"
