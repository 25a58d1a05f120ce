"""What all instruments share: an ES module of this folder that anywidget hosts, its state, and a still of it."""

import base64
import hashlib
import json
import re
from pathlib import Path

import anywidget
import traitlets
from PIL import Image

FOLDER = Path(__file__).parent
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


def source(name):
    """Return the text of module `name`, with the modules that it imports in front of it, each once.

    anywidget, and the pages, import an instrument from its text alone, which has no neighbours to import from.
    """
    return "".join(_parts(name, set()))


def _parts(name, seen):
    text = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
    parts = []
    for other in IMPORT.findall(text):
        if other not in seen:
            seen.add(other)
            parts += [re.sub(r"^export ", "", part, flags=re.MULTILINE) for part in _parts(other, seen)]
    return [*parts, IMPORT.sub("", text)]


class Instrument(anywidget.AnyWidget):
    """An instrument; a subclass names its module, and has its state as traits. The module reckons and draws.

    What a front end without widgets shows of a cell, as GitHub does, is a still: a picture of the instrument as it is
    at first, which `make stills` has taken in a browser, and as its text the sentence under it.
    """

    _css = (FOLDER / "style.css").read_text(encoding="utf-8")
    module = ""
    words = traitlets.Dict().tag(sync=True)  # {English: the reader's language}
    _ipython_display_ = None  # that of ipywidgets 7, as on Colab, would show no still

    def __init_subclass__(cls, **options):
        if "module" in vars(cls):  # not in the class that traitlets makes to add a trait
            cls._esm = source(cls.module)
        super().__init_subclass__(**options)

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        still = FOLDER / "stills" / f"{self.module}.png"
        alt = Image.open(still).text["alt"]
        picture = base64.b64encode(still.read_bytes()).decode()
        return data | {"text/plain": alt, "image/png": picture}, metadata | {"image/png": {"alt": alt}}


def own_state(instrument):
    """Return what an instrument shows, {trait: value}, without what all widgets have."""
    common = anywidget.AnyWidget.class_trait_names()
    names = [name for name in instrument.trait_names(sync=True) if name not in common and not name.startswith("_")]
    return {name: getattr(instrument, name) for name in sorted(names)}


def fingerprint(instrument):
    """Return what a still is a picture of: a hash of the module, the style and the state of an instrument.

    What was `measured`, a network's answer, is left out: its last digits differ from machine to machine.
    """
    state = {
        name: value for name, value in own_state(instrument).items() if name not in instrument.traits(measured=True)
    }
    text = instrument._esm + instrument._css + json.dumps(state, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
