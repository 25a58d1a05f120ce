"""The instruments that ask a trained network: the kernel's in a notebook, the package's own on a page.

The module in JavaScript sends {"kind": "run", "id", "networks", "want", "size", "moved"} with a picture in bytes, and
gets {"kind": "answer", "id", "size", "logits", "shapes"} with the maps as float32, or {"kind": "error", "id",
"message"}. On a page site/network-worker.js answers likewise.
"""

import base64

import numpy as np
import torch
import traitlets
from PIL import Image

from nin_helpers.architecture import POOL
from nin_helpers.diagnostics import block_maps, class_maps, moved
from nin_helpers.instruments.arithmetic import WINDOWS
from nin_helpers.instruments.base import FOLDER, Instrument
from nin_helpers.modes import evaluating
from nin_helpers.nin import load_pretrained_fc
from nin_helpers.prediction import load_classifier
from nin_helpers.preprocessing import preprocess

GIVEN = 20  # pictures to choose from


class NetworkInstrument(Instrument):
    """What these instruments share: networks {name: module}, pictures to choose from, and the answers to both.

    images: uint8 (count, 1, side, side), of which the first twenty are offered; None: twenty test pictures of
    Fashion-MNIST, which come with the package. classes: their names. config: the `TrainConfig` of the networks'
    training, for size, mean and standard deviation. Left out, all are those of the network that comes with the package.
    """

    pictures = traitlets.Unicode().tag(sync=True)  # base64, a byte a pixel
    side = traitlets.Int(28).tag(sync=True)
    number = traitlets.Int(0).tag(sync=True)  # of the picture that is shown; -1: the reader's own
    own = traitlets.Unicode("").tag(sync=True)  # as `pictures`
    invert = traitlets.Bool(False).tag(sync=True)
    classes = traitlets.List().tag(sync=True)
    networks = traitlets.List().tag(sync=True)
    size = traitlets.Int(195).tag(sync=True)
    page_size = traitlets.Int(195).tag(sync=True)  # that of the package's networks
    blocks = traitlets.List(WINDOWS).tag(sync=True)
    pool = traitlets.List(list(POOL)).tag(sync=True)
    first = traitlets.Dict().tag(sync=True, measured=True)  # an answer, to be seen before one is asked for

    want = ("logits",)

    def __init__(self, models, images, classes, config, **state):
        self.models, self.config = models, config
        given = (given_pictures()[0] if images is None else images)[:GIVEN].cpu()
        super().__init__(
            pictures=_text(given.numpy()), side=given.shape[-1], classes=list(classes), networks=list(models),
            size=config.size, **state,
        )  # fmt: skip
        self.first = self._first(*self.answer(given[0].numpy().tobytes(), self.want, config.size, self._moved()))
        self.on_msg(self._reply)

    def answer(self, picture, want, size, way=(0, 0)):
        """Return ({network: logits}, {name: maps}) of a picture's bytes at `size` pixels, moved (down, right)."""
        side, (mean, std) = round(len(picture) ** 0.5), (self.config.mean, self.config.std)
        image = torch.frombuffer(bytearray(picture), dtype=torch.uint8).view(1, 1, side, side)
        first = next(iter(self.models.values()))
        x = moved(preprocess(image.to(next(first.parameters()).device), size, mean, std), *way, -mean / std)
        with torch.no_grad():
            logits = {name: _logits(model, x) for name, model in self.models.items()}
        maps = {}
        if "maps" in want:
            maps["block4.after"] = class_maps(first, x)[0]
        if "blocks" in want:
            for block, pair in block_maps(first, x).items():
                maps |= {f"{block}.{half}": one for half, one in zip(("before", "after"), pair)}
        return logits, {name: one[0].float().cpu().numpy() for name, one in maps.items()}

    def _moved(self):
        return 0, 0

    def _first(self, logits, maps):
        parts = {name: {"shape": one.shape, "data": _digits(one.flatten())} for name, one in maps.items()}
        return {"size": self.size, "logits": {name: _digits(one) for name, one in logits.items()}, "maps": parts}

    def _reply(self, _, content, buffers):
        if content.get("kind") != "run":
            return
        number, size = content["id"], content["size"]
        try:
            logits, maps = self.answer(bytes(buffers[0]), content["want"], size, content["moved"])
        except ValueError as error:  # such as a size that the network does not take
            self.send({"kind": "error", "id": number, "message": str(error)})
            return
        shapes = {name: one.shape for name, one in maps.items()}
        message = {"kind": "answer", "id": number, "size": size, "logits": logits, "shapes": shapes}
        self.send(message, [np.ascontiguousarray(one).tobytes() for one in maps.values()])


class WhereItLooks(NetworkInstrument):
    """A class's map over a picture: where a NiN with the head "gap" finds evidence. model: None, the package's."""

    module = "where_it_looks"
    chosen = traitlets.Int(-1).tag(sync=True)  # a class; -1: that of the answer

    want = ("logits", "maps")

    def __init__(self, model=None, images=None, classes=None, config=None):
        known = load_classifier()
        super().__init__({"gap": model or known.model}, images, classes or known.classes, config or known.config)


class ShiftTest(NetworkInstrument):
    """A picture that the reader drags, and what each of {name: network} says to it; None: the package's two heads.

    labels: what the `images` show, as indexes of `classes`.
    """

    module = "shift_test"
    labels = traitlets.List().tag(sync=True)
    down = traitlets.Int(0).tag(sync=True)
    right = traitlets.Int(0).tag(sync=True)

    def __init__(self, models=None, images=None, labels=None, classes=None, config=None):
        known = load_classifier()
        models = models or {"gap": known.model, "fc": load_pretrained_fc()}
        labels = given_pictures()[1] if labels is None else labels[:GIVEN].tolist()
        config = config or known.config
        super().__init__(models, images, classes or known.classes, config, labels=labels, right=config.size // 5)

    def _moved(self):
        return self.down, self.right


class Journey(NetworkInstrument):
    """A garment's way through a NiN: each block's maps before and after its 1 × 1 layers, and one pixel's channels."""

    module = "journey"
    block = traitlets.Int(1).tag(sync=True)
    row = traitlets.Int(6).tag(sync=True)
    column = traitlets.Int(18).tag(sync=True)

    want = ("logits", "blocks")
    shown = 8  # maps of each half of a block

    def __init__(self, model=None, images=None, classes=None, config=None):
        known = load_classifier()
        super().__init__({"gap": model or known.model}, images, classes or known.classes, config or known.config)

    def _first(self, logits, maps):
        """Return an answer that is light enough for a notebook: of the maps the strongest, in bytes, and one pixel."""
        halves = {name: self._half(name, one) for name, one in maps.items()}
        return {**super()._first(logits, {}), "halves": halves}

    def _half(self, name, maps):
        strongest = maps.var(axis=(1, 2)).argsort(kind="stable")[::-1][: self.shown]
        found = maps[strongest].clip(0)
        scale = 255 / found.max(axis=(1, 2), keepdims=True).clip(1e-9)
        row, column = (min(place, length - 1) for place, length in zip((self.row, self.column), maps.shape[1:]))
        pixel = _digits(maps[:, row, column]) if name.startswith(f"block{self.block + 1}.") else []
        channels = [int(channel) for channel in strongest]
        return {"shape": maps.shape, "channels": channels, "bytes": _text((found * scale).round()), "column": pixel}


def given_pictures():
    """Return (images, labels): two of Fashion-MNIST's test pictures a class, uint8 (20, 1, 28, 28), and a list."""
    strip = np.asarray(Image.open(FOLDER / "pictures.png"))  # (28, 20 · 28)
    images = np.stack(np.split(strip, strip.shape[1] // strip.shape[0], axis=1))[:, None]
    return torch.from_numpy(images.copy()), [label for label in range(10) for _ in range(2)]


def _logits(model, x):
    with evaluating(model):
        return model(x.to(next(model.parameters()).device))[0].float().tolist()


def _digits(numbers):
    return [float(f"{number:.4g}") for number in numbers]


def _text(array):
    return base64.b64encode(array.astype(np.uint8).tobytes()).decode()
