"""The curves that TensorBoard gets are those of the history, read back by TensorBoard itself."""

import sys

import pytest
from tiny import quiet, tiny_config, tiny_model

from nin_helpers.training import train


def test_the_curves_are_those_of_the_history(digits, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = train(tiny_model(), digits, tiny_config(num_steps=20, num_evaluations=2), quiet, log_dir=tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    curves = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert {tag: len(curve) for tag, curve in curves.items()} == {
        "train/loss": 20, "train/top-1 accuracy": 20, "train/top-5 accuracy": 20,
        "held-out/top-1 accuracy": 2, "held-out/top-5 accuracy": 2, "speed/images per second": 2,
    }  # fmt: skip
    assert [step for step, _ in curves["train/loss"]] == list(range(1, 21))
    losses = [value for _, value in curves["train/loss"]]
    last = history["evaluations"][-1]
    assert sum(losses[10:]) / 10 == pytest.approx(last["train_loss"], rel=1e-5)
    assert curves["held-out/top-5 accuracy"][-1] == (20, pytest.approx(last["validation_top5_accuracy"]))


def test_without_tensorboard_the_reader_is_told_how_to_get_it(digits, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'nin_helpers\[tensorboard\]'"):
        train(tiny_model(), digits, tiny_config(), quiet, log_dir=tmp_path)
