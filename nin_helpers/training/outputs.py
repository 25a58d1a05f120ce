"""What `python -m nin_helpers train` writes: history, weights, and checkpoints while a run is not finished."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from nin_helpers.files import as_json, check_writable, write_json
from nin_helpers.prediction import save_pretrained
from nin_helpers.training.checkpoints import describe_difference, find_checkpoints
from nin_helpers.training.config import TrainConfig


class RunFiles:
    """The files of a run: history.json and weights.safetensors in a folder `out`, or `out` itself, if it ends in .json.

    What a run that was stopped has learned goes beside them, into history.stopped.json and its like, so that an earlier
    finished run stays.
    """

    def __init__(self, out):
        out = Path(out)
        self.history = out if out.suffix == ".json" else out / "history.json"
        self.weights = self._beside("weights.safetensors", ".safetensors")
        self.checkpoints = self._beside("checkpoints", ".checkpoints")

    def _beside(self, name, suffix):
        return self.history.with_name(name if self.history.name == "history.json" else f"{self.history.stem}{suffix}")

    def is_finished(self, config, resume):
        """Return whether there is nothing to resume, because the run of `config` is finished.

        ValueError: a run that was stopped is there, but is not to be resumed; or the finished one is another.
        """
        found = find_checkpoints(self.checkpoints)
        if found and not resume:
            step = int(found[-1].name)
            raise ValueError(
                f"{self.checkpoints} holds a run that was stopped after step {step}: add --resume, or delete it"
            )
        if found or not resume or not self.history.is_file():
            return False
        earlier = json.loads(self.history.read_text(encoding="utf-8")).get("config")
        wanted = as_json(asdict(config))
        if earlier != wanted:
            difference = describe_difference("config", earlier, wanted)
            raise ValueError(f"{self.history} is of another run, which is finished: {difference}; name another --out")
        return True

    def check(self):
        """Raise OSError unless the files can be written; to be asked before hours of training."""
        check_writable(self.history)

    def write(self, model, history, data):
        """Write history and weights, and return a sentence that says where they are; `prediction` reads the weights."""
        stopped = [path.with_suffix(f".stopped{path.suffix}") for path in (self.history, self.weights)]
        paths = stopped if history["interrupted"] else (self.history, self.weights)
        write_json(paths[0], history)
        save_pretrained(model, TrainConfig(**history["config"]), data, paths[1], dtype=None)
        told = f"{paths[0]} and {paths[1].name} written"
        if history["interrupted"]:
            return f"{told}: stopped before its end; --resume goes on"
        shutil.rmtree(self.checkpoints, ignore_errors=True)  # what they were for is done
        for path in stopped:
            path.unlink(missing_ok=True)
        return told
