"""The chapter's instruments: a picture that follows its controls. The only module that imports ipywidgets.

Each function below returns an `Instrument`, or, for training, a `TrainingMonitor`. The picture is an ordinary output of
the cell, so a saved notebook keeps its last state; the controls under it need a running kernel. What is shown is
computed by functions that know nothing of widgets. Nothing here needs more than ipywidgets 7.7, which Colab has.
"""

import _thread
import html
import threading

import ipywidgets
import torch

from nin_helpers import plots
from nin_helpers.architecture import (
    map_fields,
)
from nin_helpers.diagnostics import class_maps, moved
from nin_helpers.modes import evaluating
from nin_helpers.preprocessing import preprocess, read_drawing, read_picture
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
