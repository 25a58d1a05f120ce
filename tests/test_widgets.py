"""The training's instrument without a browser."""

import pytest

from nin_helpers import widgets


@pytest.fixture
def shown(monkeypatch):
    """What an instrument gives IPython to show: [("show" or "update", what, metadata), …]."""
    import IPython.display

    calls = []

    class Handle:
        def update(self, what, metadata=None):
            calls.append(("update", what, metadata))

    def display(what, display_id=None, metadata=None):
        calls.append(("show", what, metadata))
        return Handle() if display_id else None

    monkeypatch.setattr(IPython.display, "display", display)
    return calls


def history(step, num_steps=100):
    point = {"step": step, "train_loss": 1.25, "train_accuracy": 0.5, "validation_accuracy": 0.625}
    config = {"batch_size": 32}
    return {"num_steps": num_steps, "config": config, "evaluations": [point | {"images_per_second": 64.0}]}


def test_the_monitor_tells_the_numbers_and_the_time_left(shown):
    monitor = widgets.TrainingMonitor("title")
    monitor(history(40))
    assert (
        "Step 40 of 100: loss 1.250, accuracy 0.500, on held-out images 0.625; 64 images/s, about 30 s left."
        in monitor.result.value
    )
    assert not monitor.button.disabled
    monitor(history(100))
    assert "done." in monitor.result.value and monitor.button.disabled
    assert [kind for kind, *_ in shown] == ["show", "show", "update"], "one figure, redrawn in its place"
    assert shown[-1][2] == {"image/png": {"alt": "Loss and accuracy over the first 100 steps."}}


def test_the_stop_button_interrupts_a_training_and_nothing_else(shown, monkeypatch):
    interrupts = []
    monkeypatch.setattr(widgets._thread, "interrupt_main", lambda: interrupts.append(1))
    monitor = widgets.TrainingMonitor("title")
    monitor.stop()
    assert not interrupts
    monitor(history(40))
    monitor.button.click()
    assert interrupts == [1] and monitor.button.disabled and "Stopped" in monitor.result.value
    monitor.stop()
    assert interrupts == [1]
