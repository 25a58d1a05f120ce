"""The instruments that ask a network, without a browser: what a kernel answers, and how a file becomes a picture."""

import base64
import io
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from nin_helpers.diagnostics import block_maps, class_maps, moved
from nin_helpers.instruments import Journey, ShiftTest, WhereItLooks
from nin_helpers.instruments.base import FOLDER
from nin_helpers.instruments.networks import given_pictures
from nin_helpers.nin import NiN, load_pretrained, load_pretrained_fc
from nin_helpers.preprocessing import preprocess, read_picture
from nin_helpers.training import make_config

CLASSES = [f"class {number}" for number in range(10)]
CONFIG = make_config("smoke", size=99)


@pytest.fixture
def images():
    return torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def ask(instrument, picture, **changes):
    """Return (message, {name: maps}) as the instrument answers a module's question."""
    sent = []
    instrument.send = lambda message, buffers=(): sent.append((json.loads(json.dumps(message)), buffers))
    question = {"kind": "run", "id": 7, "want": ["logits"], "size": 99, "moved": [0, 0], **changes}
    instrument._reply(instrument, question, [memoryview(picture.numpy().tobytes())])
    ((message, buffers),) = sent
    shapes = message.get("shapes", {})
    arrays = [torch.from_numpy(np.frombuffer(buffer, np.float32).copy()) for buffer in buffers]
    return message, {name: one.view(shape) for one, (name, shape) in zip(arrays, shapes.items())}


# what a kernel answers


def test_each_network_answers_the_moved_picture(images):
    models = {head: NiN(head=head, init="kaiming", input_size=99) for head in ("gap", "fc")}
    instrument = ShiftTest(models, images, torch.tensor([3, 4, 5]), CLASSES, CONFIG)
    message, _ = ask(instrument, images[1], moved=[9, -20])
    x = moved(preprocess(images[1:2], 99, CONFIG.mean, CONFIG.std), 9, -20, -CONFIG.mean / CONFIG.std)
    assert (message["kind"], message["id"], message["size"], list(message["logits"])) == (
        "answer",
        7,
        99,
        ["gap", "fc"],
    )
    for head, model in models.items():
        torch.testing.assert_close(torch.tensor(message["logits"][head]), model.eval()(x)[0])
    assert (instrument.labels, instrument.right) == ([3, 4, 5], 19)


def test_the_mean_of_a_map_is_the_logit_at_any_size_that_works(images):
    model = NiN(init="alive", input_size=99)
    instrument = WhereItLooks(model, images, CLASSES, CONFIG)
    message, maps = ask(instrument, images[2], want=["logits", "maps"], size=131)
    expected, logits = class_maps(model, preprocess(images[2:], 131, CONFIG.mean, CONFIG.std))
    torch.testing.assert_close(maps["block4.after"], expected[0])
    torch.testing.assert_close(maps["block4.after"].mean(dim=(1, 2)), logits[0])
    assert message["logits"]["gap"] == logits[0].tolist()
    message, _ = ask(instrument, images[0], size=40)
    assert message["kind"] == "error" and "67 is the smallest that works" in message["message"]


def test_a_journey_passes_all_blocks_and_its_first_answer_is_the_same_in_short(images):
    model = NiN(init="alive", input_size=99)
    instrument = Journey(model, images, CLASSES, CONFIG)
    _, maps = ask(instrument, images[0], want=["logits", "blocks"])
    pairs = block_maps(model, preprocess(images[:1], 99, CONFIG.mean, CONFIG.std))
    assert len(maps) == 8
    for block, pair in pairs.items():
        for half, expected in zip(("before", "after"), pair):
            assert torch.equal(maps[f"{block}.{half}"], expected[0])
            first = instrument.first["halves"][f"{block}.{half}"]
            assert list(first["shape"]) == list(expected.shape[1:])
            spread = expected[0].var(dim=(1, 2))
            assert first["channels"][0] == spread.argmax() and len(first["channels"]) == 8
            strongest = expected[0, first["channels"][0]]
            levels = np.frombuffer(base64.b64decode(first["bytes"]), np.uint8)[: strongest.numel()]
            assert np.abs(levels / 255 - (strongest / strongest.max()).flatten().numpy()).max() <= 0.5 / 255 + 1e-6
    row, column = (min(place, maps["block2.after"].shape[1] - 1) for place in (instrument.row, instrument.column))
    expected = maps["block2.after"][:, row, column]
    torch.testing.assert_close(
        torch.tensor(instrument.first["halves"]["block2.after"]["column"]), expected, rtol=1e-3, atol=1e-6
    )


def test_left_to_themselves_they_show_the_packages_networks_and_pictures():
    images, labels = given_pictures()
    x = preprocess(images, 195, 0.286, 0.353)
    answers = load_pretrained()(x).argmax(dim=1)
    assert (answers == torch.tensor(labels)).sum() >= 16  # of twenty, each class twice
    for instrument in (WhereItLooks(), ShiftTest(), Journey()):
        assert base64.b64decode(instrument.pictures) == images.numpy().tobytes()
        assert (instrument.size, instrument.side, instrument.classes[9]) == (195, 28, "ankle boot")
        assert instrument.get_state()["first"]["size"] == 195
    first = instrument.first["logits"]["gap"]
    assert first == pytest.approx(load_pretrained()(x[:1])[0].tolist(), rel=1e-3)
    shifted = ShiftTest().first["logits"]["fc"]
    x = moved(x[:1], 0, 39, -0.286 / 0.353)
    assert shifted == pytest.approx(load_pretrained_fc()(x)[0].tolist(), rel=1e-3)


# how a file becomes a picture

needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed; the browser tests read one"
)


def seen_by_javascript(picture, invert):
    """Return what reading.js makes of an RGBA array (height, width, 4)."""
    module = base64.b64encode((FOLDER / "reading.js").read_bytes()).decode()
    script = f"""
        const {{ seenGrey }} = await import("data:text/javascript;base64,{module}");
        let text = ""; for await (const part of process.stdin) text += part;
        const [pixels, height, width, invert] = JSON.parse(text);
        console.log(JSON.stringify([...seenGrey(Uint8ClampedArray.from(pixels), width, height, 28, invert)]));"""
    content = json.dumps([picture.flatten().tolist(), *picture.shape[:2], invert])
    command = ["node", "--input-type=module", "--eval", script]
    answer = subprocess.run(command, input=content, capture_output=True, text=True, check=True)
    return np.array(json.loads(answer.stdout))


@needs_node
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("kind", ["opaque", "on white", "light, on black"])
@pytest.mark.parametrize("size", [(90, 60), (40, 71), (28, 28), (20, 12)])
def test_a_file_is_read_in_a_browser_as_in_python(size, kind, invert):
    """To the level or its neighbour: Pillow is free in which direction it resizes first, and rounds in between."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 4), dtype=np.uint8)
    noise[..., :3] = noise[..., :3] // 2 + (128 if kind == "light, on black" else 0)
    noise[..., 3] = 255 if kind == "opaque" else np.where(noise[..., 3] > 90, 255, 0)
    picture = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    expected = read_picture(buffer.getvalue(), invert).numpy().astype(int).flatten()
    found = seen_by_javascript(np.asarray(picture), invert)
    assert np.abs(found - expected).max() <= 1 and found.std() > 1
