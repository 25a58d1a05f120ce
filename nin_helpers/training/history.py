"""The history of a run: what ran on what, and every so many steps an evaluation."""

import math
import time
import warnings
from dataclasses import asdict

import torch

from nin_helpers.diagnostics import diagnose
from nin_helpers.files import as_json
from nin_helpers.preprocessing import preprocess
from nin_helpers.provenance import environment
from nin_helpers.training.evaluation import accuracy, is_among, is_plateau, predict

PATIENCE = 50  # steps on the plateau before it is worth a warning


class StuckWarning(UserWarning):
    """The loss stays at ln(classes): the network answers the same whatever the image."""


def new_history(data, train_step, num_steps, processes):
    """Return the history before the first step of a `TrainStep`: what ran on what, and an empty list of evaluations."""
    return {
        "data": data.name,
        "stand_in": data.is_stand_in,
        "train_images": len(data.train),
        "config": as_json(asdict(train_step.config)),
        "precision": train_step.precision,
        "num_steps": num_steps,
        "processes": processes,
        "accumulation_steps": 1,
        "interrupted": False,
        "stuck_since_step": None,
        "training_seconds": 0.0,
        "evaluations": [],
        **environment(train_step.device),
    }


def describe_progress(history):
    """Return the history's last evaluation as a sentence, with the time that is left at its speed."""
    last, config = history["evaluations"][-1], history["config"]
    seconds = (history["num_steps"] - last["step"]) * config["batch_size"] / last["images_per_second"]
    left = f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"
    return (
        f"Step {last['step']:,} of {history['num_steps']:,}: loss {last['train_loss']:.3f}, accuracy "
        f"{last['train_accuracy']:.3f}, on held-out images {last['validation_accuracy']:.3f}; "
        f"{last['images_per_second']:,.0f} images/s, {left if seconds else 'done'}."
    )


class Meter:
    """Keeps what the steps put out, on the device, and turns it into evaluations: one synchronisation each.

    model, train_step, data: of the run. history: grows by an evaluation with each `record`. group: the `ProcessGroup`.
    """

    KEPT = ("stuck_since_step", "training_seconds", "evaluations", "accumulation_steps")  # of it, by a checkpoint

    def __init__(self, model, train_step, data, history, group):
        self.model, self.history, self.group = model, history, group
        self.config, self.precision = train_step.config, train_step.precision
        self.held_out = data.validation[: self.config.validation_limit]
        self.num_classes = len(data.classes)
        self.free_since, self.steps = 0, []
        self.restart()

    def add(self, logits, loss, labels):
        """Keep of a step: its loss, how many images were right, and among the five largest, and how many there were."""
        right = [is_among(logits, labels, k).sum() for k in (1, 5)]
        count = torch.full_like(loss, len(labels))
        self.steps.append(torch.stack([loss * count, *right, count]))  # (4,)

    def record(self, step):
        """Append an evaluation and return the steps since the last one, (steps, 4), on the CPU, of all processes.

        An evaluation has the means since the last one, accuracies on held-out images, images per second of training.
        """
        steps = self.group.sum(torch.stack(self.steps)).double().cpu()
        loss, right, right5, count = steps.sum(dim=0).tolist()
        seconds = time.perf_counter() - self.start
        logits = self.predict(self.held_out.images)
        self.history["evaluations"].append({
            "step": step,
            "train_loss": loss / count,
            "train_accuracy": right / count,
            "train_top5_accuracy": right5 / count,
            "validation_accuracy": accuracy(logits, self.held_out.labels),
            "validation_top5_accuracy": accuracy(logits, self.held_out.labels, k=5),
            "images_per_second": count / seconds,
        })  # fmt: skip
        self.history["training_seconds"] += seconds
        self._look_for_plateau(step, loss / count)
        self.steps = []
        self.restart()
        return steps

    def predict(self, images, alone=False):
        """Return the logits (count, classes) of uint8 images; each process answers for a share, unless `alone`."""

        def answer(images):
            return predict(self.model, images, self.config, self.precision)

        return answer(images) if alone else self.group.predict(answer, self.model, images)

    def restart(self):
        """Count the time until the next evaluation from now on."""
        self.start = time.perf_counter()

    def state_dict(self):
        """Return what a checkpoint needs of it, and of the history."""
        history = {key: self.history[key] for key in self.KEPT}
        elapsed = time.perf_counter() - self.start
        steps = torch.stack(self.steps).cpu() if self.steps else torch.zeros(0, 4)
        return {"steps": steps, "free_since": self.free_since, "elapsed": elapsed, "history": history}

    def load_state_dict(self, state):
        """Go on from a checkpoint; the history goes on too, but names the device and versions of now."""
        self.steps = list(state["steps"].to(self.held_out.images.device))
        self.free_since = state["free_since"]
        self.start = time.perf_counter() - state["elapsed"]
        self.history.update(state["history"])

    def _look_for_plateau(self, step, loss):
        if not is_plateau(loss, self.num_classes):
            self.free_since = step
        elif step - self.free_since >= PATIENCE and self.history["stuck_since_step"] is None:
            self.history["stuck_since_step"] = self.free_since
            split, why = self.held_out[:64], 'Start again with recipe="adamw_alive".'
            if len(split) > 1:  # a single image does not show whether the logits depend on it
                x = preprocess(split.images, self.config.size, self.config.mean, self.config.std)
                why = diagnose(self.model, (x, split.labels)).sentence
            warnings.warn(
                f"the loss has stayed within 1 % of ln({self.num_classes}) = {math.log(self.num_classes):.4f} since "
                f"step {self.free_since}. {why}",
                StuckWarning,
                stacklevel=4,
            )
