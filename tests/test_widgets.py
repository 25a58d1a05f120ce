"""Each instrument without a browser: its controls are set, and what it shows is compared with a reference."""

import io
import re
import threading

import pytest
import torch
from ipywidgets import ToggleButtons
from PIL import Image

from nin_helpers import widgets
from nin_helpers.architecture import HEADS, INITS
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


def test_an_instrument_shows_its_picture_once_then_updates_it(shown):
    instrument = widgets.head_calculator()
    instrument._ipython_display_()
    (first, figure, metadata), (second, box, _) = shown
    assert (first, second, box) == ("show", "show", instrument.box)
    assert metadata == {"image/png": {"alt": instrument.sentence}} and figure is instrument.picture
    set_values(instrument, input_size=100)
    kind, figure, metadata = shown[-1]
    assert kind == "update" and figure is instrument.picture and metadata["image/png"]["alt"] == instrument.sentence
    instrument.say("a < b")
    assert instrument.result.value == '<div class="nin-result" aria-live="polite">a &lt; b</div>'


def test_a_refused_value_leaves_the_picture_and_says_why():
    instrument = widgets.head_calculator()
    picture = instrument.picture
    set_values(instrument, input_size=66)
    assert instrument.picture is picture
    assert "input_size=66 is too small" in instrument.refused and "67 is the smallest that works" in instrument.refused
    assert 'role="alert"' in instrument.refusal.value
    set_values(instrument, input_size=67)
    assert instrument.refused == "" and instrument.picture is not picture


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
        widgets.shape_ladder(),
        widgets.pixel_perceptron(),
        widgets.head_calculator(),
        widgets.cost_table(),
        widgets.stuck_or_learning(recorded()),
        widgets.where_it_looks(model, images, CLASSES, config),
        widgets.shift_test({"gap": model}, images, torch.zeros(3, dtype=torch.int64), CLASSES, config),
    ):
        assert all(control.description for control in instrument.controls.values())
        assert instrument.sentence and not instrument.refused


# 1 · the shape ladder


def test_a_ladder_that_breaks_says_where_and_why():
    ladder = widgets.shape_ladder()
    set_values(ladder, input_size=66)
    assert ladder.sentence.endswith("✗ pool 3 needs a window of 3, but only 2 pixels are there.")
    assert [row[3] for row in widgets.ladder_rows(66, ladder.rungs, 7)][-3:] == ["broken", "missing", "missing"]


def test_predictions_reveal_one_size_after_the_other():
    ladder = widgets.shape_ladder()
    assert ladder.sentence.startswith("224 → 54 → 26 → 26 → 12 → 12 → 5 → 5 → 1,") and ladder.guess.disabled
    set_values(ladder, predict=True)
    assert not ladder.guess.disabled and ladder.sentence.startswith("224 → ? How many pixels are there behind block 1")
    assert not re.search(r"\b54\b", str(widgets.ladder_rows(224, ladder.rungs, 0)))
    ladder.guess.value = "2.5"
    assert "your prediction is '2.5', but must be a whole number" in ladder.refused and ladder.told == 0
    ladder.guess.value = "54"
    assert ladder.sentence.startswith(
        "Right: behind block 1 there are ⌊(224 + 2·0 − 11) / 4⌋ + 1 = 54 pixels. 224 → 54 → ?"
    )
    assert ladder.guess.value == ""
    ladder.guess.value = "27"
    assert ladder.sentence.startswith("Not 27: behind pool 1 there are ⌊(54 + 2·0 − 3) / 2⌋ + 1 = 26 pixels.")
    for size in (26, 12, 12, 5, 5):
        ladder.guess.value = str(size)
        assert ladder.sentence.startswith("Right")
    assert "5 → 5 → 1, the average" in ladder.sentence
    ladder.guess.value = "1"
    assert "nothing left to predict" in ladder.sentence or "nothing left to predict" in ladder.verdict
    set_values(ladder, stride1=2)
    assert ladder.told == 0 and ladder.sentence.startswith("224 → ?"), "a changed window starts them anew"


# 2 · a perceptron for each pixel


@pytest.mark.parametrize("row, column, shuffled", [(0, 0, False), (13, 4, True)])
def test_one_by_one_is_the_perceptron_everywhere(row, column, shuffled):
    instrument = widgets.pixel_perceptron()
    set_values(instrument, row=row, column=column, shuffled=shuffled)
    assert ": the same. Shuffled before or after 1 × 1: the same picture." in instrument.sentence


def test_the_perceptrons_sum_subtracts_where_a_number_is_negative():
    assert widgets.weighted_sum([-1, 0.5, -2], [2, -3, 1], -0.5) == "-1.0 ·  2.00 + 0.5 · -3.00 - 2.0 ·  1.00 - 0.5"
    *_, lines = widgets.pixel_perceptron().picture.texts
    assert "− 0.5 = −0.50" in lines.get_text() and "+ −" not in lines.get_text() and "-" not in lines.get_text()


def test_three_by_three_sees_neighbours_and_minds_the_shuffle():
    instrument = widgets.pixel_perceptron()
    set_values(instrument, window=3)
    assert "not the same, it sees the neighbours too" in instrument.sentence
    assert re.search(r"after 3 × 3: pictures that differ by up to [1-9]", instrument.sentence)


# 3 · stuck or learning


def state(step, loss, spread=0.1):
    return {"step": step, "loss": loss, "live": 0.5, "gradient": 0.25, "spread": {"block1.1": 1.0, "block4.5": spread}}


def recorded():
    """A result of the experiment "first_steps", made up."""
    ends = {"xavier": 2.3026, "alive": 1.2, "default": None, "kaiming": 3.0}
    runs = [
        {"init": init, "lr": lr, "seed": 0, "states": [state(0, 2.4), state(100, ends[init])]}
        for init in INITS
        for lr in (0.05, 0.1)
    ]
    return {"data": "fashion_mnist", "runs": runs}


@pytest.mark.parametrize(
    "init, end",
    [
        ("xavier", "loss 2.3026, ln 10 = 2.3026: stuck."),
        ("alive", "loss 1.20, below ln 10 = 2.30: learning."),
        ("default", "no longer finite: diverged."),
        ("kaiming", "loss 3.00, above ln 10 = 2.30: worse than guessing."),
    ],
)
def test_the_first_steps_are_told_with_their_end(init, end):
    instrument = widgets.stuck_or_learning(recorded())
    set_values(instrument, init=init, lr=0.05, step=0)
    assert instrument.sentence.startswith(
        f"{init}, lr 0.05, step 0: loss 2.4, 50% of the channels live, gradient 0.25, the last ReLU's maps, before "
        "their average, differ across images by 0.1. At step 100:"
    )
    assert instrument.sentence.endswith(end) and instrument.button.disabled


def test_the_button_runs_the_chosen_case_and_shows_it_as_it_goes(shown):
    asked, seen = [], []

    def live(init, lr):
        asked.append((init, lr))
        for step, loss in ((0, 2.35), (100, 1.5)):
            yield state(step, loss)
            seen.append(instrument.sentence)

    instrument = widgets.stuck_or_learning(recorded(), live)
    set_values(instrument, init="alive", lr=0.1)
    instrument._ipython_display_()
    instrument.button.click()
    assert asked == [("alive", 0.1)] and not instrument.button.disabled
    assert [sentence.partition(".")[0] for sentence in seen] == ["Live, step 0: loss 2", "Live, step 100: loss 1"]
    assert [kind for kind, *_ in shown].count("update") == 2


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


# 5 · the head calculator


def test_heads_have_the_parameters_of_the_real_ones():
    instrument = widgets.head_calculator()
    set_values(instrument, input_size=99, num_classes=100)
    for head in HEADS:
        with torch.device("meta"):
            model = NiN(head=head, input_size=99, num_classes=100)
        own = [part for name, part in model.named_children() if name.startswith(("block4", "fc"))]
        assert f"{head} {sum(p.numel() for part in own for p in part.parameters()):,}" in instrument.sentence


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


# 8 · the cost table


def test_the_table_is_sorted_and_its_bars_compare_with_the_largest():
    table = widgets.cost_table()
    assert "1,992,166 parameters, 762,297,352 multiply–accumulates" in table.sentence
    set_values(table, order="multiply–accumulates")
    names = re.findall(r"<tr><td[^>]*>(\S+?)</td>", table.picture)
    assert names[0] == "block2.0" and len(names) == 30
    first = table.picture[table.picture.index("<tbody>") :].partition("</tr>")[0]
    assert "100.0%" in first and f"{26 * 26 * 256 * 96 * 5 * 5:,}" in first
    set_values(table, order="bytes of output")
    assert f"{4 * 96 * 54 * 54:,}" in table.picture[table.picture.index("<tbody>") :].partition("</tr>")[0]
