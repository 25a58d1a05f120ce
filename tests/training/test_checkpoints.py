"""Checkpoints: a run that was killed goes on to the same bits, and what is damaged or foreign is refused."""

import hashlib
import json
import os
import signal
import time
from dataclasses import replace

import pytest
import torch
from processes import finish, start
from tiny import equal_states, quiet, state_of, tiny_config, tiny_model
from torch import nn

from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.training import CheckpointError, find_checkpoints, load_checkpoint, make_config, save_checkpoint, train
from nin_helpers.training.checkpoints import FILES

RUN = {"data": "digits", "num_steps": 6}


@pytest.fixture
def small(digits):
    """The digits with 24 training images, so that an epoch of batches of 8 is three steps."""
    return replace(digits, train=digits.train[:24], validation=digits.validation[:8], test=digits.test[:8])


def run(data, folder=None, kill_at=None, **changes):
    """Train a small network for 7 steps of 8, and return its weights and the history; die at evaluation `kill_at`."""
    sizes = {"batch_size": 8, "num_steps": 7, "num_evaluations": 7}
    config = make_config("smoke", device="cpu", precision="fp32", **sizes, **changes)

    def on_evaluation(history):
        if kill_at == len(history["evaluations"]):
            raise InterruptedError

    torch.manual_seed(config.seed)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, 10))
    history = train(model, data, config, on_evaluation, checkpoints=folder)
    return state_of(model), history


def timeless(history):
    times = ("training_seconds", "images_per_second")
    evaluations = [{key: value for key, value in point.items() if key not in times} for point in history["evaluations"]]
    return {key: value for key, value in history.items() if key not in times} | {"evaluations": evaluations}


@pytest.mark.parametrize("kill_at, changes", [(4, {}), (6, {}), (5, {"size": 99, "progressive_resizing": 0.6})])
def test_a_killed_run_goes_on_to_the_same_bits(small, tmp_path, kill_at, changes):
    expected, history = run(small, **changes)
    with pytest.raises(InterruptedError):
        run(small, tmp_path, kill_at, **changes)
    assert [int(path.name) for path in find_checkpoints(tmp_path)] == [3]
    weights, resumed = run(small, tmp_path, **changes)
    assert equal_states(weights, expected)
    assert timeless(resumed) == timeless(history)


def test_a_run_that_is_done_is_not_repeated_and_two_checkpoints_stay(small, tmp_path):
    weights, history = run(small, tmp_path)
    assert [int(path.name) for path in find_checkpoints(tmp_path)] == [6, 7]
    again, same = run(small, tmp_path, kill_at=1)
    assert equal_states(again, weights)
    assert timeless(same) == timeless(history)


def test_checkpoints_come_by_the_clock_too_and_writing_them_is_no_training(small, tmp_path, monkeypatch):
    steps = []

    def save(folder, step, *_):
        steps.append(step)
        time.sleep(0.2)

    monkeypatch.setattr("nin_helpers.training.checkpoints.save_checkpoint", save)
    start, config = time.perf_counter(), tiny_config(batch_size=4, num_steps=4, num_evaluations=4)
    history = train(tiny_model(), small, config, quiet, checkpoints=tmp_path, checkpoint_minutes=0)
    assert steps == [1, 2, 3, 4]
    assert history["training_seconds"] < time.perf_counter() - start - 4 * 0.2


def test_another_recipe_is_refused_and_nothing_changes(small, tmp_path):
    run(small, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match=r"is of another run: config=\{'lr': 0\.001\}, not \{'lr': 0\.01\};"):
        run(small, tmp_path, lr=0.01)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def saved(tmp_path):
    """Two checkpoints of a linear layer."""
    torch.manual_seed(0)
    for step in (3, 6):
        save_checkpoint(tmp_path, step, torch.nn.Linear(2, 3), {"a": torch.arange(3), "b": "c"}, RUN)
    return tmp_path


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "bit", "gone"])
def test_damage_is_refused_the_model_and_the_previous_one_stay(saved, name, damage):
    earlier, newest = find_checkpoints(saved)
    content = bytearray((newest / name).read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 0x80
    (newest / name).write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    if damage == "gone":
        (newest / name).unlink()
    model = torch.nn.Linear(2, 3)
    before = model.weight.clone()
    with pytest.raises(CheckpointError, match=rf"^{newest} is damaged .*delete it to go on from {earlier}"):
        load_checkpoint(newest, model, RUN)
    assert torch.equal(model.weight, before)
    assert load_checkpoint(earlier, model, RUN)[0] == 3


@pytest.mark.parametrize("other", [torch.nn.Linear(2, 4), torch.nn.Linear(2, 3, bias=False)])
def test_another_network_is_refused_by_name(saved, other):
    with pytest.raises(CheckpointError, match=r"is of another network: .*(weight|bias)"):
        load_checkpoint(find_checkpoints(saved)[-1], other, RUN)


def test_a_state_that_could_run_code_is_refused(saved):
    path = find_checkpoints(saved)[-1]
    torch.save(print, path / "state.pt")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["sha256"]["state.pt"] = hashlib.sha256((path / "state.pt").read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"is not ours: state\.pt"):
        load_checkpoint(path, torch.nn.Linear(2, 3), RUN)


def test_what_a_kill_left_half_written_is_no_checkpoint(saved):
    (saved / "000000009.part").mkdir()
    assert [path.name for path in find_checkpoints(saved)] == ["000000003", "000000006"]
    save_checkpoint(saved, 9, torch.nn.Linear(2, 3), {}, RUN)
    assert [path.name for path in find_checkpoints(saved)] == ["000000006", "000000009"]
    assert not list(saved.glob("*.part"))


# ---- SIGKILL

KILLS = int(os.environ.get("NIN_KILLS", "2"))  # NIN_KILLS=20 for a thorough test


def train_12_steps(checkpoints, weights):
    """Train with a checkpoint after each step, then save the weights."""
    sizes = {"batch_size": 8, "num_steps": 12, "num_evaluations": 12, "test_limit": 8, "validation_limit": 8}
    config = make_config("smoke", device="cpu", precision="fp32", **sizes)
    torch.manual_seed(0)
    model = NiN(init="alive", input_size=67)
    train(model, load_data("digits"), config, quiet, checkpoints=checkpoints, checkpoint_minutes=0)
    torch.save(model.state_dict(), weights)


def step_of(folder):
    return max((int(path.name) for path in find_checkpoints(folder)), default=0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_run_killed_at_any_moment_ends_in_the_same_bits(tmp_path):
    whole, killed = ((tmp_path / name, tmp_path / f"{name}.pt") for name in ("whole", "killed"))
    finish(start(train_12_steps, *whole))
    random = torch.Generator().manual_seed(int(time.time()))
    for _ in range(KILLS):
        before, process = step_of(killed[0]), start(train_12_steps, *killed)
        while step_of(killed[0]) < min(before + 3, 12):  # get somewhere first
            time.sleep(0.01)
        time.sleep(torch.rand(1, generator=random).item() * 0.3)
        process.kill()
        process.join()
    finish(start(train_12_steps, *killed))
    assert equal_states(*(torch.load(weights, weights_only=True) for _, weights in (whole, killed)))
