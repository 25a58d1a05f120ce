"""Each instrument without a browser: its controls are set, and what it shows is compared with a reference."""

import io
import re
import threading

import pytest
import torch
from ipywidgets import ToggleButtons
from PIL import Image

from nin_helpers import widgets
from nin_helpers.diagnostics import moved
from nin_helpers.nin import NiN
from nin_helpers.preprocessing import preprocess
from nin_helpers.training import make_config

CLASSES = [f"class {number}" for number in range(10)]


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


def set_values(instrument, **values):
    for name, value in values.items():
        instrument.controls[name].value = value


# what all have in common


def test_of_two_controls_changed_at_once_the_last_answer_shows_both(shown):
    """The first answer is held up while a second thread changes the other control."""
    entered, released = threading.Event(), threading.Event()

    def view(row, column):
        if (row, column) == (1, 0):
            entered.set()
            released.wait(60)
        return "picture", f"row {row}, column {column}"

    controls = {name: ToggleButtons(options=[0, 1], value=0, description=name) for name in ("row", "column")}
    instrument = widgets.Instrument("both", controls, view)
    instrument._ipython_display_()
    threads = [threading.Thread(target=set_values, args=(instrument,), kwargs={name: 1}) for name in controls]
    threads[0].start()
    assert entered.wait(60)
    threads[1].start()
    threads[1].join(0.5)  # without the lock it is done by now, and the first one draws over it
    released.set()
    for thread in threads:
        thread.join(60)
    assert instrument.sentence == "row 1, column 1" and len(shown) == 4


def test_every_control_has_a_label():
    model = NiN(init="alive", input_size=67)
    config = make_config("smoke")
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    for instrument in (
        widgets.where_it_looks(model, images, CLASSES, config),
        widgets.shift_test({"gap": model}, images, torch.zeros(3, dtype=torch.int64), CLASSES, config),
    ):
        assert all(control.description for control in instrument.controls.values())
        assert instrument.sentence and not instrument.refused


# 4 · where it looks


@pytest.fixture
def looks():
    model = NiN(init="alive", input_size=99)
    images = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    return model, images, widgets.where_it_looks(model, images, CLASSES, make_config("smoke", size=99))


def numbers(instrument):
    found = re.search(r"map is (\S+), its logit (\S+)\. The answer is (class \d)", instrument.sentence)
    return float(found[1]), float(found[2]), found[3]


@pytest.mark.parametrize("number, chosen", [(0, 0), (2, 7)])
def test_the_mean_of_a_map_is_the_logit_of_the_model(looks, number, chosen):
    model, images, instrument = looks
    assert isinstance(instrument.controls["chosen"], ToggleButtons), "classes are clicked"
    set_values(instrument, number=number, chosen=CLASSES[chosen])
    logits = model.eval()(preprocess(images[number : number + 1], 99, 0.286, 0.353))[0]
    mean, logit, answer = numbers(instrument)
    assert mean == logit == pytest.approx(logits[chosen].item(), abs=0.006)
    assert answer == CLASSES[logits.argmax()]
    assert instrument.sentence.endswith(
        "At 99 pixels each place of a map sees all that the network reads of the picture."
    )
    # at 99 pixels two places look at pixels 33 and 65: of a picture of 28, a little above 9 and 18
    assert sorted({x for x, _ in instrument.picture.axes[0].collections[0].get_offsets()}) == pytest.approx(
        [8.98, 18.03], abs=0.01
    )


def test_a_drawing_is_looked_at_and_a_bad_one_or_no_file_refused(looks):
    _, _, instrument = looks
    before = instrument.sentence
    set_values(instrument, source="my drawing")
    assert instrument.sentence != before
    set_values(instrument, drawing="##\n#x")
    assert "line 2 has 'x' at place 2" in instrument.refused
    set_values(instrument, drawing="##\n##")
    assert instrument.refused == ""
    set_values(instrument, source="my file")
    assert "no file has been chosen yet" in instrument.refused


@pytest.mark.parametrize("form", ["7", "8"])
def test_a_file_is_read_in_the_form_of_either_ipywidgets(form):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(buffer, "PNG")
    content = buffer.getvalue()
    value = {"a.png": {"content": content}} if form == "7" else ({"name": "a.png", "content": memoryview(content)},)
    assert widgets._uploaded(value) == content


# 6 · the shift test


def test_a_moved_picture_gets_each_networks_own_answer():
    config = make_config("smoke")
    models = {head: NiN(head=head, init="kaiming", input_size=config.size) for head in ("gap", "fc")}
    images, labels = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8), torch.tensor([3, 4])
    instrument = widgets.shift_test(models, images, labels, CLASSES, config)
    set_values(instrument, number=1, right=-20, down=9)
    x = moved(preprocess(images[1:], config.size, config.mean, config.std), 9, -20, -config.mean / config.std)
    for head, model in models.items():
        assert f"{head} says {CLASSES[model.eval()(x)[0].argmax()]}" in instrument.sentence
    assert instrument.sentence.startswith("class 4, moved -20 to the right, 9 down:")


# 7 · the training monitor


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
