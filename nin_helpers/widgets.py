"""The training's instrument: a live plot with a button that stops it. The only module that imports ipywidgets.

It needs no more than ipywidgets 7.7, which Colab has. The others are in `nin_helpers.instruments`.
"""

import _thread
import html

import ipywidgets

from nin_helpers import plots
from nin_helpers.training.history import describe_progress


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
        self.box = ipywidgets.VBox([self.button, self.result])
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
