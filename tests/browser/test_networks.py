"""The instruments that ask a network, on pages without a kernel and in JupyterLab: both answer as PyTorch does."""

import io
import statistics

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from hosting import NAMELESS, POOR, answers, served, write_pages
from lab import SCREENSHOTS, Notebook
from nin_helpers.diagnostics import block_maps, moved
from nin_helpers.instruments import WhereItLooks
from nin_helpers.instruments.networks import given_pictures
from nin_helpers.nin import load_pretrained, load_pretrained_fc
from nin_helpers.preprocessing import preprocess, read_picture

NAMES = ("where_it_looks", "shift_test", "journey")
LOADED = 1000 * 60  # milliseconds for the networks to come and be ready
ASK = """question => new Promise(done => ninKernel(
    {kind: "run", ...question}, [Uint8Array.from(question.picture)],
    (message, views) => message.kind === "progress" || done([message, views.map(view => [
        ...new Float32Array(view.buffer)])])))"""


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def result(page):
    return page.locator(".nin-result")


# the networks


@pytest.mark.parametrize(("size", "way"), [(195, (0, 0)), (195, (31, -50)), (112, (0, 0)), (224, (0, 0))])
def test_a_page_answers_as_pytorch_does(visit, size, way):
    page, (pictures, _) = visit("where_it_looks"), given_pictures()
    models = {"gap": load_pretrained()} | ({"fc": load_pretrained_fc()} if size == 195 else {})
    x = moved(preprocess(pictures, size, 0.286, 0.353), *way, -0.286 / 0.353)
    with torch.no_grad():
        expected = {name: model(x) for name, model in models.items()}
    for number, picture in enumerate(pictures):
        question = {"id": number, "networks": list(models), "want": ["logits", "maps"], "size": size, "moved": way}
        message, (maps,) = page.evaluate(ASK, {**question, "picture": picture.flatten().tolist()})
        for name, logits in message["logits"].items():
            found, wanted = torch.tensor(logits), expected[name][number]
            assert (found - wanted).abs().max() <= 1e-3 * wanted.abs().max(), (name, number)
        means = torch.tensor(maps).view(message["shapes"]["block4.after"]).mean(dim=(1, 2))
        torch.testing.assert_close(means, torch.tensor(message["logits"]["gap"]))


def test_the_maps_of_all_blocks_are_pytorchs(visit):
    page, (pictures, _) = visit("journey"), given_pictures()
    question = {"id": 1, "networks": ["gap"], "want": ["blocks"], "size": 195, "moved": [0, 0]}
    message, buffers = page.evaluate(ASK, {**question, "picture": pictures[3].flatten().tolist()})
    pairs = block_maps(load_pretrained(), preprocess(pictures[3:4], 195, 0.286, 0.353))
    wanted = {
        f"{block}.{half}": one[0] for block, pair in pairs.items() for half, one in zip(("before", "after"), pair)
    }
    assert list(message["shapes"]) == list(wanted)
    for maps, values in zip(wanted.values(), buffers):
        torch.testing.assert_close(torch.tensor(values).view_as(maps), maps, rtol=1e-3, atol=1e-3 * maps.max().item())


def test_a_size_that_does_not_work_is_refused_and_the_next_question_answered(visit):
    page, picture = visit("where_it_looks"), given_pictures()[0][0].flatten().tolist()
    question = {"id": 1, "networks": ["gap", "fc"], "want": ["logits"], "moved": [0, 0], "picture": picture}
    message, _ = page.evaluate(ASK, {**question, "size": 224})
    assert message == {"kind": "error", "id": 1, "message": "size=224: the fully connected head takes 195 pixels only"}
    message, _ = page.evaluate(ASK, {**question, "size": 195})
    assert message["kind"] == "answer"


# what the reader does


def test_evidence_is_shown_for_any_class_and_any_size(visit):
    page = visit("where_it_looks")
    before = result(page).inner_text()
    page.get_by_role("button", name="shirt").first.focus()
    page.locator(".nin-class", has_text="trouser").press("Enter")
    expect(result(page)).to_contain_text("trouser: the mean of its 5 × 5 map")
    press(page, "picture 4")  # trousers
    expect(result(page)).to_contain_text("The answer is trouser", timeout=LOADED)
    assert "On this page the network that comes with the package answers" in page.locator(".nin-note").inner_text()
    assert page.locator(".nin-class[aria-pressed=true]").inner_text().startswith("trouser")
    page.get_by_role("slider").fill("112")
    expect(page.locator(".nin-note")).to_contain_text(
        "At 112 pixels each place of a map sees all that the network reads"
    )
    assert page.locator(".nin-stage svg g rect").count() == 4 and before != result(page).inner_text()
    page.get_by_role("spinbutton").fill("66")
    expect(page.locator(".nin-number .nin-refusal")).to_contain_text("a whole number from 67 to 224")


def test_the_reader_draws_with_mouse_and_keyboard(visit):
    page = visit("where_it_looks")
    press(page, "draw on it")
    press(page, "clear")
    expect(page.locator(".nin-pad canvas")).to_be_visible()
    box = page.locator(".nin-pad canvas").bounding_box()
    for left in (0.35, 0.65):  # two legs
        page.mouse.move(box["x"] + left * box["width"], box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + left * box["width"], box["y"] + box["height"] - 10, steps=5)
        page.mouse.up()
    page.wait_for_function("document.querySelector('.nin-note').innerText.includes('On this page')", timeout=LOADED)
    page.wait_for_timeout(500)
    drawn = result(page).inner_text()
    pad = page.get_by_role("img", name="drawing: arrow keys move, the space bar paints")
    for key in ("ArrowUp", "ArrowUp", " ", "ArrowUp", " "):
        pad.press(key)
    page.wait_for_function("text => document.querySelector('.nin-result').innerText !== text", arg=drawn)
    page.screenshot(path=SCREENSHOTS / "where_it_looks-drawn.png")


def bytes_of(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_files_are_read_as_in_python(visit):
    """Upright as its EXIF says, on white where it is transparent, and 16 bits by their own scale."""
    levels = np.clip(np.add.outer(np.arange(60) * 3, np.arange(90)), 0, 255).astype(np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = Image.merge(
        "RGBA", [Image.fromarray(levels // 2)] * 3 + [Image.fromarray((levels > 90).astype(np.uint8) * 255)]
    )
    files = {
        "turned.jpg": bytes_of(Image.fromarray(levels), "JPEG", quality=95, exif=turned),
        "clear.png": bytes_of(clear, "PNG"),
        "deep.png": bytes_of(Image.fromarray(levels.astype(np.uint16) * 257), "PNG"),
    }
    page = visit("where_it_looks")
    press(page, "draw on it")
    pixels = """() => { const canvas = document.querySelector('.nin-pad canvas');
        return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0); }"""
    for name, content in files.items():
        before = page.evaluate(pixels)
        page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
        page.wait_for_function(f"before => String(({pixels})()) !== String(before)", arg=before)
        wanted = read_picture(content).flatten().numpy().astype(int)
        assert np.abs(np.array(page.evaluate(pixels)) - wanted).max() <= 4, name
    page.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(page.locator(".nin-chooser .nin-refusal")).to_have_text(
        "✗ a.png cannot be read as a picture; a PNG or JPEG can"
    )


def test_a_dragged_picture_moves_and_both_heads_answer(visit):
    page = visit("shift_test")
    stage = page.get_by_role("application")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 100 - box["width"] / 5, box["y"] + 100, steps=4)
    page.mouse.up()
    expect(result(page)).to_contain_text("moved 0 to the right, 0 down", timeout=LOADED)
    stage.press("Shift+ArrowDown")
    stage.press("ArrowLeft")
    x = moved(preprocess(given_pictures()[0][:1], 195, 0.286, 0.353), 8, -1, -0.286 / 0.353)
    names, classes = {"average": load_pretrained(), "fully connected": load_pretrained_fc()}, WhereItLooks().classes
    answers = ", ".join(f"{name} says {classes[model(x).argmax()]}" for name, model in names.items())
    expect(result(page)).to_have_text(f"t-shirt, moved −1 to the right, 8 down: {answers}.")
    press(page, "move it in all four directions")
    page.wait_for_function("document.querySelectorAll('.nin-curve-over circle').length > 50", timeout=LOADED)
    assert page.locator(".nin-curve-over circle").count() == page.locator(".nin-curve-over g rect").count()
    page.screenshot(path=SCREENSHOTS / "shift_test-swept.png")


def test_a_pixels_channels_are_those_of_the_network(visit):
    page = visit("journey")
    grid = page.get_by_role("application", name="block 3, after the 1 × 1 layers: the arrow keys choose a pixel")
    grid.press("ArrowLeft")
    pairs = block_maps(load_pretrained(), preprocess(given_pictures()[0][:1], 195, 0.286, 0.353))
    before, after = ((one[0, :, 5, 4] > 0).sum().item() for one in pairs["block3"])
    text = f"Block 3: of 384 channels at this pixel {before} are above 0 before its 1 × 1 layers, and {after} of 384"
    expect(result(page)).to_contain_text(text, timeout=LOADED)
    grid.locator("canvas").first.click(position={"x": 1, "y": 1})
    expect(page.locator(".nin-pixel h4")).to_contain_text("block 3, row 0, column 0")
    press(page, "picture 17")
    expect(result(page)).to_contain_text("In the end the answer is bag")


# what must hold of each


@pytest.mark.parametrize("name", NAMES)
def test_a_phone_scrolls_it_downwards_only_and_every_control_has_a_name(visit, name):
    for scheme, width in (("light", 1280), ("dark", 390)):
        page = visit(name, viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(POOR) == []
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_fetched_before_the_reader_touches_it_and_its_weight_is_told(visit, name, site):
    page = visit(name)
    fetched = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert sorted(url.rpartition("/")[2] for url in fetched if url.startswith("http")) == [
        "instruments.js",
        "network.js",
    ]
    page.locator(".nin-thumbnails button").nth(5).click()
    expect(page.locator(".nin-note", has_text="On this page")).to_be_visible(timeout=LOADED)
    about = page.evaluate("fetch('network/networks.json').then(answer => answer.json())")
    assert 17.5e6 < sum(about["files"].values()) < 18.5e6, "the note says 18 MB"


@pytest.mark.parametrize(("network", "says"), [(False, "made without the network"), (True, "opened as a file")])
def test_where_no_network_can_run_the_page_says_why_and_keeps_the_answer(browser, tmp_path, network, says):
    write_pages(tmp_path, [WhereItLooks()], network)
    with served(tmp_path) as address:
        page = browser.new_page()
        page.goto(f"{tmp_path.as_uri() if network else address}/where_it_looks.html")
        before = result(page).inner_text()
        press(page, "picture 17")
        expect(page.locator(".nin-refusal", has_text=says)).to_be_visible()
        assert result(page).inner_text() == before
        page.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_runs_the_network_and_the_page_goes_on_painting(visit, name):
    page = visit(name)
    assert not page.workers
    frames = [answer["frames"] for answer in answers(page.locator(".nin-instrument"), name, 20)]
    assert len(page.workers) == 1
    assert statistics.median(frames) >= 2  # the frame of the event, others while the worker reckons, and the answer's


# in a notebook


CELLS = (
    "from nin_helpers import instruments",
    "instruments.WhereItLooks()",
    "instruments.ShiftTest()",
    "instruments.Journey()",
)


@pytest.fixture(scope="module")
def lab(server, browser):
    """A notebook in JupyterLab with the three instruments, each run."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, server.folder / "notebooks" / "networks.ipynb")
    opened = Notebook(browser.new_page(viewport={"width": 1280, "height": 1400}), server, "networks")
    opened.open()
    opened.choose("Run", "Run All Cells")
    for name in NAMES:
        opened.page.locator(f".nin-{name.replace('_', '-')}").wait_for(timeout=LOADED)
    yield opened
    opened.page.close()
    server.shut_kernels_down()


@pytest.mark.parametrize("name", NAMES)
def test_in_a_notebook_the_kernels_network_answers(lab, name):
    root = lab.page.locator(f".nin-{name.replace('_', '-')}")
    root.get_by_role("button", name="picture 18", exact=True).click()
    expect(root.locator(".nin-result")).to_contain_text("bag", timeout=LOADED)
    assert "On this page" not in root.inner_text() and not lab.kernel_errors() and not lab.errors
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        lab.set_theme(theme)
        assert lab.page.evaluate(POOR) == []
        root.screenshot(path=SCREENSHOTS / f"{name}-{theme.split()[1].lower()}.png")
