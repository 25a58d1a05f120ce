"""The chapter's instruments: a picture that follows its controls. The only module that imports ipywidgets.

Each function below returns an `Instrument`, or, for training, a `TrainingMonitor`. The picture is an ordinary output of
the cell, so a saved notebook keeps its last state; the controls under it need a running kernel. What is shown is
computed by functions that know nothing of widgets. Nothing here needs more than ipywidgets 7.7, which Colab has.
"""

import _thread
import html
import math
import threading

import ipywidgets
import torch
from torch import nn

from nin_helpers import plots
from nin_helpers.architecture import (
    BLOCKS,
    HEADS,
    INITS,
    POOL,
    head_parameters,
    last_feature_size,
    map_fields,
    smallest_input_size,
)
from nin_helpers.diagnostics import class_maps, moved, shuffle_difference
from nin_helpers.modes import evaluating
from nin_helpers.nin import NiN, perceptron_at
from nin_helpers.preprocessing import preprocess, read_drawing, read_picture
from nin_helpers.resources import layer_costs
from nin_helpers.shapes import judge_size, ladder
from nin_helpers.training.evaluation import is_plateau
from nin_helpers.training.history import describe_progress

SHIRT = """\
..............
.###......###.
#####....#####
##############
##############
##.########.##
#..########..#
...########...
...##++++##...
...##++++##...
...########...
...########...
...########...
..............
"""


class Instrument:
    """A picture, controls under it, and a sentence that says in words and numbers what the picture shows.

    view: called with the controls' values by name; returns (picture, sentence), a figure or a string of HTML, or raises
    ValueError for a value that cannot be used: then its message is shown and the picture stays.

    Two controls that are changed at once may be answered in two threads of the kernel (ipykernel 7). `lock` lets one
    wait for the other, so that the last one draws, from all of the controls.
    """

    def __init__(self, name, controls, view, layout=None):
        self.lock = threading.RLock()
        self.controls, self.view, self.handle = controls, view, None
        self.picture, self.sentence, self.refused = None, "", ""
        self.result, self.refusal = ipywidgets.HTML(), ipywidgets.HTML()
        self.box = ipywidgets.VBox([layout or _row(*controls.values()), self.result, self.refusal])
        self.box.add_class("nin-instrument").add_class(f"nin-{name}")
        for control in controls.values():
            control.observe(self.update, "value")
        self.update()

    def update(self, _=None):
        """Compute and draw anew from the controls."""
        with self.lock:
            try:
                self.picture, sentence = self.view(**{name: control.value for name, control in self.controls.items()})
            except ValueError as error:
                self.refuse(str(error))
                return
            self.refuse("")
            self.say(sentence)
            if self.handle is not None:
                self._draw()

    def say(self, sentence):
        """Put `sentence` under the controls, where a screen reader tells it."""
        self.sentence = sentence
        self.result.value = f'<div class="nin-result" aria-live="polite">{html.escape(sentence)}</div>'

    def refuse(self, message):
        """Say what is wrong with a value, or, with "", that nothing is."""
        self.refused = message
        text = f"<b>✗ {html.escape(message)}</b>" if message else ""
        self.refusal.value = f'<div class="nin-refusal" role="alert">{text}</div>'

    def _draw(self):
        if isinstance(self.picture, str):
            from IPython.display import HTML, display

            if self.handle is None:
                self.handle = display(HTML(self.picture), display_id=True)
            else:
                self.handle.update(HTML(self.picture))
        else:
            self.handle = plots.redraw(self.picture, self.sentence, self.handle)

    def _ipython_display_(self):
        from IPython.display import display

        with self.lock:
            self.handle = None
            self._draw()
        display(self.box)


def _row(*controls):
    return ipywidgets.Box(controls, layout=ipywidgets.Layout(flex_flow="row wrap"))


def _styled(kind, label, value, **options):
    layout = ipywidgets.Layout(width="auto", min_width="280px", margin="2px 12px 2px 2px")
    return kind(value=value, description=label, layout=layout, style={"description_width": "initial"}, **options)


def _slider(label, value, lowest, highest):
    return _styled(ipywidgets.IntSlider, label, value, min=lowest, max=highest, continuous_update=False)


def _choice(label, value, options, kind=ipywidgets.Dropdown):
    return _styled(kind, label, value, options=options)


def _checkbox(label):
    layout = ipywidgets.Layout(width="auto", margin="2px 12px 2px 2px")
    return ipywidgets.Checkbox(value=False, description=label, indent=False, layout=layout)


def shape_ladder():
    """Return the ladder of heights and widths that a picture goes down in NiN, for any windows.

    Predict first: the sizes are hidden until the reader has typed each.
    """
    return ShapeLadder()


class ShapeLadder(Instrument):
    """See `shape_ladder`. `told`: how many sizes the reader has predicted, in the mode that asks."""

    PARTS = (("kernel", 1, 11), ("stride", 1, 4), ("padding", 0, 5), ("channels", 1, 512))

    def __init__(self):
        self.told, self.verdict = 0, ""
        blocks = [(kernel, stride, padding, channels) for channels, kernel, stride, padding in (*BLOCKS, (10, 3, 1, 1))]
        controls = {"input_size": _slider("input size", 224, 28, 320), "predict": _checkbox("predict first")}
        tabs = ipywidgets.Tab()
        for number, block in enumerate(blocks, 1):
            own = {
                f"{part}{number}": _slider(f"{part} of block {number}", value, lowest, highest)
                for (part, lowest, highest), value in zip(self.PARTS, block)
            }
            controls |= own
            tabs.children = (*tabs.children, _row(*own.values()))
            tabs.set_title(number - 1, f"block {number}")
        self.guess = ipywidgets.Text(
            description="your prediction", placeholder="pixels, then Enter", continuous_update=False, disabled=True,
            style={"description_width": "initial"},
        )  # fmt: skip
        first = _row(controls["input_size"], controls["predict"], self.guess)
        super().__init__("shape-ladder", controls, self._view, ipywidgets.VBox([first, tabs]))
        self.guess.observe(self._judge, "value")

    def update(self, change=None):
        """Start anew: whatever has changed, what was predicted no longer holds."""
        with self.lock:
            self.told, self.verdict = 0, ""
            self.guess.disabled = not self.controls["predict"].value
            super().update()

    def _judge(self, change):
        if not change["new"].strip():
            return
        with self.lock:
            try:
                asked = next(rung for rung in self.rungs[self.told :] if rung.output is not None)
                _, self.verdict = judge_size(asked, change["new"])
            except StopIteration:
                self.verdict = "There is nothing left to predict."
            except ValueError as error:
                self.refuse(str(error))
                return
            self.told += 1
            self.guess.value = ""
            super().update()

    def _view(self, input_size, predict, **block):
        windows = []
        for number in (1, 2, 3, 4):
            kernel, stride, padding, channels = (block[f"{part}{number}"] for part, *_ in self.PARTS)
            windows.append((f"block {number}", channels, kernel, stride, padding))
            if number < 4:
                windows.append((f"pool {number}", channels, *POOL, 0))
        self.rungs = ladder(input_size, windows)
        shown = self.told if predict else len(self.rungs)
        return plots.plot_ladder(ladder_rows(input_size, self.rungs, shown)), self._sentence(input_size, shown)

    def _sentence(self, input_size, shown):
        known = [rung for rung in self.rungs[:shown] if rung.output is not None]
        path = " → ".join(map(str, [input_size, *(rung.output for rung in known)]))
        broken = next((rung.problem for rung in self.rungs if rung.problem), None)
        hidden = [rung for rung in self.rungs[shown:] if rung.output is not None]
        if hidden:
            return f"{self.verdict} {path} → ? How many pixels are there behind {hidden[0].name}?".strip()
        if broken:
            return f"{self.verdict} {path} → ✗ {broken}.".strip()
        unused = ", ".join(f"{rung.unused} before {rung.name}" for rung in known if rung.unused)
        channels = self.rungs[-1].channels
        last = f"{path} → 1, the average of each of {channels} maps; rows that no window reaches: {unused or 'none'}."
        return f"{self.verdict} {last}".strip()


def ladder_rows(input_size, rungs, shown):
    """Return the rows of `plots.plot_ladder` for rungs of which the first `shown` are told."""
    rows = [("input", input_size, "", "known")]
    hides = any(rung.output is not None for rung in rungs[shown:])
    for number, rung in enumerate(rungs):
        text = f"{rung.channels} channels, {rung.formula}"
        if rung.problem and not hides:
            rows.append((rung.name, None, rung.problem, "broken"))
        elif rung.output is None:
            rows.append((rung.name, None, "", "hidden" if hides else "missing"))
        elif number < shown:
            unused = f", {rung.unused} unused" if rung.unused else ""
            rows.append((rung.name, rung.output, f"{text} = {rung.output}{unused}", "known"))
        else:
            rows.append((rung.name, None, text.replace(str(rung.size), "?", 1) if number > shown else text, "hidden"))
    if hides or rungs[-1].output is None:
        return [*rows, ("average", None, "", "hidden" if hides else "missing")]
    return [*rows, ("average", 1, f"{rungs[-1].channels} numbers, one for each class", "known")]


def pixel_perceptron():
    """Return the instrument that shows a 1 × 1 convolution to be a perceptron for each pixel, and a 3 × 3 one not.

    The picture has three channels: brightness, and how it changes to the right and downwards.
    """
    bright = read_drawing(SHIRT, 14)[0] / 255  # (14, 14)
    right, down = moved(bright, 0, -1) - bright, moved(bright, -1, 0) - bright
    x = torch.stack([bright, right, down])  # (3, 14, 14)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(14 * 14, generator=generator)
    controls = {
        "row": _slider("row", 8, 0, 13),
        "column": _slider("column", 10, 0, 13),
        "window": _choice("window", 1, [("1 × 1", 1), ("3 × 3", 3)], ipywidgets.ToggleButtons),
        "shuffled": _checkbox("shuffle the pixels"),
    }
    layers = {1: _pixel_layer(1, generator), 3: _pixel_layer(3, generator)}

    def view(row, column, window, shuffled):
        return _pixel_view(layers[window], x.flatten(1)[:, order].view_as(x) if shuffled else x, row, column, order)

    return Instrument("pixel-perceptron", controls, view)


@torch.no_grad()
def _pixel_layer(window, generator):
    """Return a convolution from 3 to 4 channels; around its centre, if it has more, random weights."""
    layer = nn.Conv2d(3, 4, window, padding=window // 2)
    layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / 2)
    centre = torch.tensor([[1.0, 1, 1], [0, -1, 0], [0, 0, -1], [-1, 0.5, 0.5]])
    layer.weight[:, :, window // 2, window // 2] = centre
    layer.bias.copy_(torch.tensor([-0.5, 0, 0, 1]))
    return layer


@torch.no_grad()
def _pixel_view(layer, x, row, column, order):
    middle, window = layer.kernel_size[0] // 2, layer.kernel_size[0]
    weight = layer.weight[:, :, middle : middle + 1, middle : middle + 1]
    vector, sums, output = perceptron_at(x, weight, layer.bias, row, column)
    maps = layer(x[None])[0].relu()
    found, difference = maps[:, row, column], shuffle_difference(layer, x[None], order)
    lines = []
    for number in range(len(sums)):
        total = weighted_sum(weight[number, :, 0, 0].tolist(), vector.tolist(), layer.bias[number].item())
        behind = f"ReLU: {output[number]:.2f}    Conv2d and ReLU: {found[number]:.2f}"
        lines.append(f"output {number + 1} = {total} = {sums[number]:5.2f}    {behind}".replace("-", "−"))
    inputs = dict(zip(("brightness", "change →", "change ↓"), x.numpy()))
    outputs = {f"output {number + 1}": values for number, values in enumerate(maps.numpy())}
    numbers = [", ".join(f"{value:.2f}" for value in values) for values in (vector, output, found)]
    same, commutes = torch.allclose(output, found, atol=1e-5), difference < 1e-5
    sentence = (
        f"Row {row}, column {column}: channels {numbers[0]}; the perceptron makes {numbers[1]} of them, Conv2d "
        f"{numbers[2]}: {'the same' if same else 'not the same, it sees the neighbours too'}. Shuffled before or after "
        f"{window} × {window}: {'the same picture' if commutes else f'pictures that differ by up to {difference:.1f}'}."
    )
    return plots.plot_pixel(inputs, outputs, row, column, lines), sentence


def weighted_sum(weights, values, bias):
    """Return how weights · values + bias is reckoned, in columns: a term that is taken away has a minus, not "+ -"."""
    first, *others = ((weight, f" · {value:5.2f}") for weight, value in zip(weights, values))
    terms = (f" {'-' if number < 0 else '+'} {abs(number):.1f}{factor}" for number, factor in (*others, (bias, "")))
    return f"{first[0]:4.1f}{first[1]}{''.join(terms)}"


def stuck_or_learning(result, live=None):
    """Return the instrument that compares the first steps of training by initialisation and learning rate.

    result: of the experiment "first_steps". live: a function of init and lr that yields such states, for
    the button that runs one; None: no button.
    """
    recorded = {(run["init"], run["lr"]): run["states"] for run in result["runs"]}
    rates = sorted({lr for _, lr in recorded})
    steps = [state["step"] for state in next(iter(recorded.values()))]
    controls = {
        "init": _choice("initialisation", "xavier", INITS),
        "lr": _choice("learning rate (SGD)", 0.05, rates),  # at first the textbook's
        "step": _choice("step", steps[-1], steps, ipywidgets.SelectionSlider),
    }
    runs = {}

    def view(init, lr, step):
        chosen = {"recorded": recorded[init, lr]} | ({"run live": runs[init, lr]} if (init, lr) in runs else {})
        title = f"{init}, SGD with lr {lr}, Fashion-MNIST"
        return plots.plot_first_steps(chosen, step, title), first_steps_sentence(init, lr, recorded[init, lr], step)

    button = ipywidgets.Button(description="run this one live", disabled=live is None)
    instrument = Instrument(
        "stuck-or-learning", controls, view, ipywidgets.VBox([_row(*controls.values()), _row(button)])
    )

    def run(_):
        button.disabled = True
        chosen, runs[chosen] = (controls["init"].value, controls["lr"].value), []
        try:
            for state in live(*chosen):
                runs[chosen].append(state)
                with instrument.lock:
                    instrument.update()
                    instrument.say(f"Live, step {state['step']}: loss {_number(state['loss'])}. {instrument.sentence}")
        finally:
            button.disabled = False

    button.on_click(run)
    instrument.button = button
    return instrument


def first_steps_sentence(init, lr, states, step):
    """Return what the states of a run tell at `step`, and how it ends: stuck, dead, learning or diverged."""
    state, last = next(state for state in states if state["step"] == step), states[-1]
    last_maps = list(state["spread"].values())[-1]  # not the logits: their means
    if last["loss"] is None:
        end = "the numbers are no longer finite: diverged"
    elif is_plateau(last["loss"], 10):
        why = ", and dead: no gradient is left" if last["gradient"] == 0 else ""
        end = f"loss {last['loss']:.4f}, ln 10 = {math.log(10):.4f}: stuck{why}"
    else:
        end = f"loss {last['loss']:.2f}, below ln 10 = {math.log(10):.2f}: learning"
        if last["loss"] > math.log(10):
            end = f"loss {last['loss']:.2f}, above ln 10 = {math.log(10):.2f}: worse than guessing"
    now = f"{init}, lr {lr}, step {step}: loss {_number(state['loss'])}"
    if state["loss"] is not None:
        now += (
            f", {state['live']:.0%} of the channels live, gradient {_number(state['gradient'])}, "
            f"the last ReLU's maps, before their average, differ across images by {_number(last_maps)}"
        )
    return f"{now}. At step {last['step']}: {end}."


def _number(value):
    return "not finite" if value is None else f"{value:.3g}"


def where_it_looks(model, images, classes, config, title=""):
    """Return the instrument that shows the map of any class beside a picture: one given, drawn with characters, a file.

    model: a NiN with the head "gap". images: uint8 (count, 1, height, width). config: the `TrainConfig` of its run.
    """
    sources, device = ("given", "my drawing", "my file"), next(model.parameters()).device

    def look(picture):
        x = preprocess(picture[None].to(device), config.size, config.mean, config.std)
        return [found[0].float().cpu() for found in class_maps(model, x)]

    answer, fields = classes[look(images[0])[1].argmax()], map_fields(config.size)
    whole = all(first <= 0 and last >= config.size - 1 for first, last in fields)
    part = "all that the network reads of the picture" if whole else "a part of the picture"
    seen = f"At {config.size} pixels each place of a map sees {part}."
    controls = {
        "chosen": _choice("class", answer, classes, ipywidgets.ToggleButtons),
        "number": _slider("picture", 0, 0, len(images) - 1),
        "source": _choice("which", sources[0], sources, ipywidgets.ToggleButtons),
        "drawing": _styled(ipywidgets.Textarea, "my drawing", SHIRT, rows=14, continuous_update=False),
        "file": ipywidgets.FileUpload(accept="image/*", description="my file"),
        "invert": _checkbox("my file is dark on light"),
    }
    controls["drawing"].add_class("nin-drawing")

    def view(chosen, number, source, drawing, file, invert):
        if source == "given":
            picture = images[number]
        else:
            picture = read_drawing(drawing) if source == "my drawing" else read_picture(_uploaded(file), invert)
        maps, logits = look(picture)
        index, answer = classes.index(chosen), classes[logits.argmax()]
        share, size = logits.softmax(dim=0).max(), " × ".join(map(str, maps.shape[1:]))
        sentence = (
            f"{chosen}: the mean of its {size} map is {maps[index].mean():.2f}, its logit {logits[index]:.2f}. "
            f"The answer is {answer}, with {share:.0%}. {seen}"
        )
        numbers, shown = dict(zip(classes, logits.tolist())), picture[0].cpu().numpy()
        # the middle of each field, from the network's pixels to those of the picture as it is shown
        centres = [((first + last + 1) / 2 / config.size) * len(shown) - 0.5 for first, last in fields]
        return plots.plot_class_map(shown, maps[index].numpy(), numbers, chosen, title, centres), sentence

    own = _row(controls["drawing"], ipywidgets.VBox([controls["file"], controls["invert"]]))
    first = _row(controls["number"], controls["source"])
    style = ipywidgets.HTML("<style>.nin-drawing textarea {font-family: monospace; line-height: 1.1}</style>")
    return Instrument("where-it-looks", controls, view, ipywidgets.VBox([controls["chosen"], first, own, style]))


def _uploaded(value):
    """Return the bytes of the last file of an upload: a dictionary in ipywidgets 7, a tuple in 8."""
    files = list(value.values() if isinstance(value, dict) else value)
    if not files:
        raise ValueError("no file has been chosen yet: press the button “my file”")
    return bytes(files[-1]["content"])


def head_calculator():
    """Return the instrument that weighs NiN's average against fully connected heads, for any input and classes."""
    controls = {
        "input_size": _slider("input size", 224, 28, 320),
        "num_classes": _slider("classes", 10, 2, 1000),
    }

    def view(input_size, num_classes):
        side = last_feature_size(input_size)
        counts = {head: head_parameters(head, input_size, num_classes) for head in HEADS}
        takes = {"gap": f"any size from {smallest_input_size()}"}
        bars = {
            f"{head}: {4 * count / 2**20:,.1f} MiB, takes {takes.get(head, f'{input_size} only')}": count / 1e6
            for head, count in counts.items()
        }
        numbers = ", ".join(f"{head} {count:,}" for head, count in counts.items())
        sentence = (
            f"On a last map of 384 × {side} × {side}, for {num_classes} classes: parameters {numbers}. Training with "
            f"Adam holds four times the MiB of the weights."
        )
        title = f"Heads of NiN at {input_size} × {input_size} pixels"
        return plots.plot_bars(bars, "parameters in millions, logarithmic", title, "{:,.3f}", log=True), sentence

    return Instrument("head-calculator", controls, view)


def shift_test(models, images, labels, classes, config, title=""):
    """Return the instrument that moves a picture, and shows the logits that each of {name: network} gives for it.

    images: uint8 (count, 1, height, width), labels (count,). config: the `TrainConfig` of the networks' training.
    """
    most = config.size // 2
    controls = {
        "number": _slider("picture", 0, 0, len(images) - 1),
        "right": _slider("moved right", most // 2, -most, most),
        "down": _slider("moved down", 0, -most, most),
    }
    fill = (0 - config.mean) / config.std

    @torch.no_grad()
    def answer(model, x):
        with evaluating(model):
            return model(x.to(next(model.parameters()).device))[0].cpu()

    def view(number, right, down):
        x = moved(preprocess(images[number : number + 1], config.size, config.mean, config.std), down, right, fill)
        logits = {name: answer(model, x) for name, model in models.items()}
        answers = ", ".join(f"{name} says {classes[found.argmax()]}" for name, found in logits.items())
        sentence = f"{classes[labels[number]]}, moved {right} to the right, {down} down: {answers}."
        numbers = {name: dict(zip(classes, found.tolist())) for name, found in logits.items()}
        return plots.plot_answers(x[0, 0].cpu().numpy(), numbers, "logit", title), sentence

    return Instrument("shift-test", controls, view)


def cost_table(model=None):
    """Return a table of what each layer of `model` (None: NiN) costs, to be sorted, for any input size."""
    model = model or NiN()
    orders = ["network", "parameters", "multiply–accumulates", "bytes of output"]
    controls = {
        "input_size": _slider("input size", 224, 28, 320),
        "order": _choice("sort by", orders[0], orders),
    }

    def view(input_size, order):
        last_feature_size(input_size)  # says it in the network's words if it is too small
        rows = layer_costs(model, (1, 1, input_size, input_size))
        keys = dict(zip(orders[1:], ("parameters", "macs", "bytes")))
        if order in keys:
            rows = sorted(rows, key=lambda row: -getattr(row, keys[order]))
        totals = [sum(getattr(row, key) for row in rows) for key in keys.values()]
        numbers = ", ".join(f"{total:,} {name}" for name, total in zip(keys, totals))
        sentence = f"{input_size} × {input_size} pixels, by {order}: {rows[0].name} comes first. In all {numbers}."
        return cost_html(rows), sentence

    return Instrument("cost-table", controls, view)


def cost_html(rows):
    """Return a table of `LayerCost`s as HTML, with a bar in each cell of numbers: its share of the largest."""
    keys = {"parameters": "parameters", "multiply–accumulates": "macs", "bytes of output": "bytes"}
    largest = {key: max(1, *(getattr(row, key) for row in rows)) for key in keys.values()}
    names = "layer", "type", "output", *keys
    head = "".join(f'<th scope="col" style="text-align:left;white-space:normal">{name}</th>' for name in names)
    body = []
    for row in rows:
        shape = " × ".join(map(str, row.output_shape[1:]))
        style = "text-align:left;white-space:nowrap;padding:2px 6px"
        cells = "".join(f'<td style="{style}">{text}</td>' for text in (row.name, row.type, shape))
        for key, most in largest.items():
            share = 100 * getattr(row, key) / most
            bar = f"linear-gradient(to right, rgba(0,114,178,.35) {share:.1f}%, transparent {share:.1f}%)"
            style = f"min-width:80px;padding:2px 6px;background:{bar};text-align:right"
            cells += f'<td style="{style}">{getattr(row, key):,}</td>'
        body.append(f"<tr>{cells}</tr>")
    head = f"<thead><tr>{head}</tr></thead>"
    return f'<table class="nin-costs" style="font-size:90%">{head}<tbody>{"".join(body)}</tbody></table>'


class TrainingMonitor(plots.LivePlot):
    """The live plot of a training, with its numbers, the time left, and a button that stops it and keeps the weights.

    Give it to `train` as `on_evaluation`. The button works while the cell runs where the kernel can listen meanwhile
    (ipykernel 7 with JupyterLab 4.4 or later); elsewhere, interrupt the kernel (■), which does the same.
    """

    def __init__(self, title, num_classes=10):
        super().__init__(title, num_classes)
        self.running = False
        layout = ipywidgets.Layout(width="auto")
        self.button = ipywidgets.Button(description="stop, keep the weights", disabled=True, layout=layout)
        self.button.on_click(self.stop)
        # ipykernel 7.4 hands what a control says to the shell that made it, which is busy training. JupyterLab has
        # named one that is free: let that stand. (Others never ask for this attribute.)
        if self.button.comm is not None:
            self.button.comm._reply_subshell_for = lambda data, subshell: subshell
        self.result = ipywidgets.HTML("<div class='nin-result' aria-live='polite'>Training begins.</div>")
        self.box = ipywidgets.VBox([_row(self.button), self.result])
        self.box.add_class("nin-instrument").add_class("nin-training-monitor")

    def __call__(self, history):
        """Show the history's evaluations so far; the last call's figure and numbers stay in the notebook."""
        first = self.handle is None
        super().__call__(history)
        if first:
            from IPython.display import display

            display(self.box)
        self.running = history["evaluations"][-1]["step"] < history["num_steps"]
        self.button.disabled = not self.running
        self._say(describe_progress(history))

    def stop(self, _=None):
        """End the training as an interrupt of the kernel would."""
        if self.running:
            self.running, self.button.disabled = False, True
            self._say("Stopped: the network keeps what it has learned.")
            _thread.interrupt_main()

    def _say(self, sentence):
        self.result.value = f"<div class='nin-result' aria-live='polite'>{html.escape(sentence)}</div>"
