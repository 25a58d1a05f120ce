"""The instruments without a browser: what JavaScript reckons against what the package does, their state and stills."""

import base64
import json
import random
import shutil
import subprocess

import anywidget
import pytest
import torch
from PIL import Image
from repository import load
from torch import nn

from nin_helpers import instruments
from nin_helpers.architecture import (
    BLOCKS,
    CLASS_WINDOW,
    HEADS,
    POOL,
    head_parameters,
    map_fields,
    smallest_input_size,
)
from nin_helpers.experiments import load_result
from nin_helpers.instruments.base import FOLDER, fingerprint, source
from nin_helpers.nin import NiN
from nin_helpers.resources import layer_costs
from nin_helpers.shapes import conv_output_size, fields

stills = load("stills")
EXAMPLES = stills.examples()
WINDOWS = [{"k": k, "s": s, "p": p} for _, *block in BLOCKS for k, s, p in (block, (*POOL, 0))]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed; the browser tests ask it")


def reckon(function, cases):
    """Return what a function of arithmetic.js says of each case, a list of arguments."""
    module = base64.b64encode((FOLDER / "arithmetic.js").read_bytes()).decode()
    script = f"""
        const module = await import("data:text/javascript;base64,{module}");
        let text = ""; for await (const part of process.stdin) text += part;
        const results = JSON.parse(text).map((values) => module.{function}(...values));
        console.log(JSON.stringify(results, (_, value) => ArrayBuffer.isView(value) ? [...value] : value));"""
    command = ["node", "--input-type=module", "--eval", script]
    answer = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def size_of(*arguments):
    try:
        return conv_output_size(*arguments)
    except ValueError:
        return None


@needs_node
def test_windows_have_the_packages_sizes():
    draw = random.Random(0).randint
    cases = [[draw(1, 60), draw(1, 11), draw(1, 4), draw(0, 5)] for _ in range(4000)]
    found = reckon("outputSize", cases)
    assert found == [size_of(*case) for case in cases] and None in found


@needs_node
def test_a_ladder_is_a_real_forward_pass_with_rows_that_no_window_reaches():
    draw = random.Random(1).randint
    cases = [[draw(1, 60), [{"k": draw(1, 7), "s": draw(1, 4), "p": draw(0, 3)} for _ in range(4)]] for _ in range(500)]
    for (size, windows), steps in zip(cases, reckon("ladder", cases)):
        for window, step in zip(windows, steps):
            assert step["size"] == size
            output = None if size is None else size_of(size, window["k"], window["s"], window["p"])
            assert step["output"] == output
            if output is not None and size - step["unused"] > 1:
                sizes = [size - step["unused"], size - step["unused"] - 1]  # what is reached, and a row less
                same = [size_of(n, window["k"], window["s"], window["p"]) == output for n in sizes]
                assert same == [True, False]
            size = output


@needs_node
def test_each_place_sees_the_packages_pixels():
    draw = random.Random(3).randint
    cases = [
        [draw(250, 400), [{"k": draw(1, 9), "s": draw(1, 4), "p": draw(0, 4)} for _ in range(3)]] for _ in range(500)
    ]
    for (size, windows), found in zip(cases, reckon("fields", cases)):
        expected = fields(size, [(window["k"], window["s"], window["p"]) for window in windows])
        assert [tuple(place) for place in found] == expected


@needs_node
def test_heads_and_layers_cost_what_the_package_counts():
    draw = random.Random(2).randint
    sizes = [(draw(67, 320), draw(2, 1000)) for _ in range(300)]
    sides = reckon("lastSize", [[size, WINDOWS] for size, _ in sizes])
    found = reckon("headParameters", [[side, classes, 384] for side, (_, classes) in zip(sides, sizes)])
    for (size, classes), counts in zip(sizes, found):
        assert counts == {head: head_parameters(head, size, classes) for head in HEADS}
    assert reckon("smallestSize", [[WINDOWS]]) == [smallest_input_size()]
    blocks = [[*block, width] for width, *block in BLOCKS] + [[*CLASS_WINDOW, 10]]
    (windows,) = reckon("networkWindows", [[blocks, POOL]])
    assert [tuple(place) for place in reckon("fields", [[99, windows]])[0]] == map_fields(99)
    table, some = instruments.CostTable(), [67, 99, 224, 301]
    for size, rows in zip(some, reckon("layerCosts", [[table.layers, table.channels, size] for size in some])):
        expected = layer_costs(NiN(input_size=size), (1, 1, size, size))
        assert [(row["name"], row["parameters"], row["macs"], row["bytes"]) for row in rows] == [
            (cost.name, cost.parameters, cost.macs, cost.bytes) for cost in expected
        ]
        assert [row["shape"] for row in rows] == [list(cost.output_shape[1:]) for cost in expected]


@needs_node
@pytest.mark.parametrize("side", [1, 3])
def test_the_perceptron_and_the_convolution_are_pytorchs(side):
    one = EXAMPLES["pixel_perceptron"]
    weights = torch.tensor(one.weights)
    if side == 1:
        weights = weights[:, :, 1:2, 1:2]
    x, biases = torch.tensor(one.maps).unflatten(1, (14, 14)), torch.tensor(one.biases)
    expected = nn.functional.conv2d(x, weights, biases, padding=side // 2)
    (found,) = reckon("convolution", [[one.maps, 14, weights.tolist(), one.biases]])
    torch.testing.assert_close(torch.tensor(found), expected.relu().flatten(1))
    if side == 1:
        pixels = x.flatten(1).T.tolist()
        sums = reckon("perceptron", [[weights[:, :, 0, 0].tolist(), pixel, one.biases] for pixel in pixels])
        torch.testing.assert_close(torch.tensor(sums).T, expected.flatten(1))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_module_is_one_text_that_imports_nothing(name):
    text = source(name)
    assert "import " not in text and text.count("export ") == text.count("export default {") == 1
    assert text.count("function element(") == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_still_shows_the_instrument_of_today(name):
    still = Image.open(FOLDER / "stills" / f"{name}.png")
    assert still.text["fingerprint"] == fingerprint(EXAMPLES[name]), "run make stills"
    data, metadata = EXAMPLES[name]._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == still.text["alt"] != ""
    assert base64.b64decode(data["image/png"])[:4] == b"\x89PNG"
    assert "application/vnd.jupyter.widget-view+json" in data and isinstance(EXAMPLES[name], anywidget.AnyWidget)


def test_a_still_is_stale_when_module_or_state_have_changed():
    before = fingerprint(instruments.ShapeLadder())
    assert fingerprint(instruments.ShapeLadder(input_size=225)) != before
    other = instruments.ShapeLadder()
    other._esm += " "
    assert fingerprint(other) != before == fingerprint(instruments.ShapeLadder())


def test_a_cost_table_takes_the_layers_that_it_can_reckon():
    table = instruments.CostTable(NiN(in_channels=3, input_size=99), input_size=99)
    assert table.channels == 3 and table.layers[0] == {
        "name": "block1.0",
        "type": "Conv2d",
        "k": 11,
        "s": 4,
        "p": 0,
        "out": 96,
    }
    with pytest.raises(ValueError, match="layer '1' of the model is a Sigmoid, but must be one of Conv2d, ReLU, "):
        instruments.CostTable(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sigmoid()))


def test_the_button_asks_the_kernel_and_gets_each_state(monkeypatch):
    state = {"step": 5, "loss": 2.30258, "live": 0.5, "gradient": None, "spread": {"block1.1": 0.123456}}
    sent, recorded = [], {"runs": [{"init": "xavier", "lr": 0.05, "states": [state]}]}
    monkeypatch.setattr(instruments.StuckOrLearning, "send", lambda self, content: sent.append(content))
    one = instruments.StuckOrLearning(recorded, live=lambda init, lr: iter([state]))
    assert one.can_run and not instruments.StuckOrLearning(recorded).can_run
    one._handle_custom_msg({"kind": "live", "init": "alive", "lr": 0.1}, [])
    short = {"step": 5.0, "loss": 2.3026, "live": 0.5, "gradient": None, "spread": [0.12346]}
    assert sent == [
        {"kind": "state", "init": "alive", "lr": 0.1, "state": short},
        {"kind": "done", "init": "alive", "lr": 0.1},
    ]


def test_the_recorded_times_are_those_of_a_frame_and_of_a_tenth_of_a_second():
    runs = load_result("instruments")["runs"]
    now = {(run["place"], run["case"]): run["median_ms"] for run in runs if run["place"] in ("JupyterLab", "page")}
    networks = {name.replace("_", "-") for name, example in EXAMPLES.items() if hasattr(example, "networks")}
    assert len(now) == 2 * len(EXAMPLES) and len(networks) == 3
    for (place, name), milliseconds in now.items():
        if name not in networks:
            assert milliseconds <= 16
        elif place == "page":
            assert milliseconds <= 100
