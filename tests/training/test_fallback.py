"""Memory that runs out, what cannot be compiled, and the scale of a loss in 16 bits."""

import functools
import json
import math
import re
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processes import finish, start
from tiny import NeedsMemory, Records, equal_states, quiet, state_of, tiny_config, tiny_model

from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.training import TrainStep, compiled, make_config, train
from nin_helpers.training.fallback import FallbackStep


def test_a_batch_too_large_goes_through_in_pieces_and_the_reader_is_told(digits):
    config = tiny_config(num_steps=10)
    plain, small = tiny_model(), NeedsMemory(fits=math.ceil(config.batch_size / 4))
    train(plain, digits, config, quiet)
    with pytest.warns(UserWarning, match="memory ran out") as caught:
        history = train(small, digits, config, quiet)
    told = [str(warning.message).partition(":")[0] for warning in caught]
    assert told == [f"memory ran out with {config.batch_size} images of 8 pixels"] * 2  # into 2 parts, then 4
    assert history["accumulation_steps"] == 4 and "4 parts" in str(caught[-1].message)
    assert caught[-1].filename == __file__  # it points at the reader's line
    for one, other in zip(plain.parameters(), small.inner.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_one_image_too_many_is_an_error(digits):
    with pytest.warns(UserWarning), pytest.raises(torch.OutOfMemoryError, match="allocate 1 GiB"):
        train(NeedsMemory(fits=0), digits, tiny_config(), quiet)


def train_in_little_memory(path):
    """Train one step of 8 images, then two of 512 with 150 MiB more, and write what was done and told."""
    data, model = load_data("digits"), NiN(init="alive", input_size=67)
    options = {"num_evaluations": 1, "precision": "fp32", "device": "cpu", "test_limit": 50}
    train(model, data, make_config("smoke", batch_size=8, num_steps=1, **options), quiet)  # everything is loaded
    import resource  # there is none on Windows

    used = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)
    with warnings.catch_warnings(record=True) as caught:
        history = train(model, data, make_config("smoke", batch_size=512, num_steps=2, **options), quiet)
    told = [str(warning.message) for warning in caught]
    path.write_text(json.dumps([history["accumulation_steps"], history["evaluations"][-1]["train_loss"], told]))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process as Linux does")
def test_memory_that_really_runs_out(tmp_path):
    finish(start(train_in_little_memory, tmp_path / "found.json"))
    pieces, loss, told = json.loads((tmp_path / "found.json").read_text())
    assert pieces >= 2 and "memory ran out with 512 images of 67 pixels" in told[0] and math.isfinite(loss)


def test_what_cannot_be_compiled_goes_on_without_and_says_why(digits, monkeypatch):
    def fail(*_):
        raise RuntimeError("No working C++ compiler found\nand more")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    plain, model = tiny_model(), tiny_model()
    train(plain, digits, tiny_config(), quiet)
    with pytest.warns(UserWarning, match=r"compile failed \(RuntimeError: No working C\+\+ compiler found\): going on"):
        train(model, digits, tiny_config(compile=True), quiet)
    assert equal_states(state_of(plain), state_of(model))


def test_only_whole_batches_are_compiled(digits, monkeypatch):
    plain, other = Records(), Records()
    monkeypatch.setattr("nin_helpers.training.fallback.compiled", lambda model: other)
    data = replace(digits, train=digits.train[:40])
    train(plain, data, tiny_config(compile=True, batch_size=16, num_steps=6), quiet)
    counts = [[shape[0] for shape, trains in zip(it.shapes, it.modes) if trains] for it in (other, plain)]
    assert counts == [[16] * 4, [8] * 2]


def test_batches_in_pieces_are_not_compiled(digits, monkeypatch):
    """CUDA graphs would write each piece's gradient over that of the one before; not even in a run that is resumed."""
    resets = []
    monkeypatch.setattr("nin_helpers.training.fallback.compiled", lambda model: NeedsMemory(fits=8, inner=model))
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(0))
    train_step = TrainStep(tiny_model(), tiny_config(compile=True), 10)
    assert FallbackStep(train_step, {"accumulation_steps": 2}).compiled is None
    take_step = FallbackStep(train_step, {"accumulation_steps": 1})
    take_step(digits.train[:8], 8, 1.0, whole=True)
    assert take_step.compiled is not None and not resets
    with pytest.warns(UserWarning, match="memory ran out with 16 images"):
        take_step(digits.train[:16], 8, 1.0, whole=True)
    assert take_step.compiled is None and take_step.history["accumulation_steps"] == 2 and len(resets) == 1


def test_each_shape_is_compiled_for_itself(monkeypatch):
    shapes = []

    def record(graph, inputs):
        shapes.append([side for tensor in inputs for side in tensor.shape])
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=record))
    model = compiled(tiny_model())
    for count in (64, 40, 64, 24):
        model(torch.zeros(count, 1, 8, 8))
    assert len(shapes) == 3 and all(type(side) is int for shape in shapes for side in shape)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler on a CPU")
@pytest.mark.filterwarnings("error:torch.compile failed")
def test_compiled_or_not_a_run_ends_the_same(digits):
    models = tiny_model(), tiny_model()
    for model, choice in zip(models, (False, True)):
        train(model, digits, tiny_config(compile=choice, num_steps=5), quiet)
    for one, other in zip(*(model.parameters() for model in models)):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_fp16_scales_the_loss_and_learns(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("nin_helpers.training.step.pick_precision", lambda *_: "fp16")  # refused on a CPU: it is slow
    model = tiny_model()
    history = train(model, digits, tiny_config(num_steps=100), quiet, checkpoints=tmp_path)
    assert history["precision"] == "fp16" and history["evaluations"][-1]["train_loss"] < 2
    state = torch.load(sorted(tmp_path.iterdir())[-1] / "state.pt", weights_only=True)
    assert state["scaler"]["scale"] > 1
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
