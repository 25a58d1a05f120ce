"""The messages of the chapter, and their catalogues: which Markdown blocks there are, and each in a language."""

import difflib
import hashlib
import json
import re
from pathlib import Path

import polib

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = {"tr": "Türkçe", "ja": "日本語", "id": "Bahasa Indonesia", "fr": "Français", "zh_CN": "简体中文"}
ENGLISH_ONLY = ("11_speed",)
README, INDEX = "readme", "index"
ALT = "alt"
# what stands between messages: code and formulas, lines of markup alone, blank lines
BETWEEN = re.compile(
    r"(^```(?!\{only\})\S.*?^```$|(?<=\n\n) {4}[^\n]*(?:\n {4}[^\n]*)*|"
    r"^```\{only\}[^\n]*$|^```$|^</\w+>$|^\$\$.*?\$\$$|\n(?:[ \t]*\n)+)",
    re.MULTILINE | re.DOTALL,
)
# a line's end that means nothing: what follows is no item, row, heading, quotation or fold
WRAP = re.compile(r"\n(?![ \t]*(?:[-*+] |\d+\. |\||>|#|</?(?:details|summary)\b))[ \t]*")
NO_PROSE = re.compile(r"`[^`]*`|\$[^$]*\$|<[^>]*>|\]\([^)]*\)")
# what tools/stamp.py and tools/translations.py write into a README
WRITTEN = re.compile(r"(<!-- (badges|languages) -->\n)(.*?)(?=<!-- /\2 -->)", re.DOTALL)


# what there is to translate


def notebook_names():
    """Return the names of the notebooks that are translated, in reading order."""
    return [path.stem for path in sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb")) if path.stem not in ENGLISH_ONLY]


def names():
    """Return the names of the catalogues of a language."""
    return [README, INDEX, *notebook_names()]


def read_notebook(name):
    """Return an English notebook, with its outputs."""
    return json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))


def read_english(name):
    """Return the messages of a catalogue as [(context, English)], each once, in the order of the text."""
    if name in (README, INDEX):
        found = [(None, text) for text in messages(readme() if name == README else index())]
    else:
        found = [message for cell in read_notebook(name)["cells"] for message in cell_messages(cell)]
    return list(dict.fromkeys(found))


def readme():
    """Return the first screen of the README, which is translated: up to the table of the notebooks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where the rest is")[0]
    return WRITTEN.sub(r"\1", text)


def index():
    """Return the text of the pages' first page."""
    return (ROOT / "site" / "index.md").read_text(encoding="utf-8")


def cell_messages(cell):
    """Return the messages of a notebook's cell: its blocks, or the texts of its figures."""
    if cell["cell_type"] == "markdown":
        return [(None, text) for text in messages("".join(cell["source"]))]
    return [(ALT, figure["alt"]) for figure in figures(cell)]


def figures(cell):
    """Return what the outputs of a cell say of its figures, each as the dictionary that has the text as `alt`."""
    outputs = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    return [output["metadata"]["image/png"] for output in outputs if "image/png" in output["metadata"]]


def messages(text):
    """Return the messages of a Markdown text, in their order."""
    return [unwrap(block) for block in BETWEEN.split(text)[::2] if has_prose(block)]


def unwrap(block):
    """Return a block with each of its paragraphs, items and rows on one line: how it is wrapped says nothing."""
    return WRAP.sub(" ", block.strip())


def has_prose(block):
    """Say whether there is a word to translate in the block."""
    return bool(re.search(r"[^\W\d_]{2}", NO_PROSE.sub(" ", block)))


# catalogues


def path_of(language, name):
    """Return the path of a catalogue."""
    return ROOT / "locale" / language / f"{name}.po"


def read_catalogue(language, name):
    """Return a catalogue, an empty one if there is none yet."""
    path = path_of(language, name)
    return polib.pofile(str(path), wrapwidth=120) if path.exists() else polib.POFile(wrapwidth=120)


def write_catalogue(catalogue, language, name):
    """Write a catalogue, if that changes anything, and say whether it does."""
    catalogue.metadata = {
        "Project-Id-Version": "Network in Network: an interactive chapter",
        "Language": language,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
    }
    catalogue.header = "Written by `make translations`: see CONTRIBUTING.md, Translate."
    return write(path_of(language, name), f"{catalogue}".rstrip("\n") + "\n")


def write(path, text):
    """Write a text, unless the file has it already; say whether it was written."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return True


def done(entry):
    """Say whether a message has a translation of the English of today."""
    return bool(entry.msgstr) and not entry.fuzzy and not entry.obsolete


def key_of(context, english):
    """Return a short name for a message."""
    return hashlib.sha256(f"{context or ''}\0{english}".encode()).hexdigest()[:8]


def merge(old, english, memory=None):
    """Return the catalogue `old` brought up to date with the messages `english`, as msgmerge does.

    What is new has the translation that `memory`, {(context, English): translation}, has for it. A changed message is
    fuzzy, and keeps its translation and the English of that. What is gone, and like nothing new, is obsolete.
    """
    kept = {(entry.msgctxt, entry.msgid): entry for entry in old}
    gone = {id: entry for id, entry in kept.items() if id not in set(english) and entry.msgstr}
    back = {(entry.msgctxt, entry.previous_msgid): entry for entry in gone.values() if entry.fuzzy}
    new = polib.POFile(wrapwidth=120)
    for id in english:
        entry = polib.POEntry(msgctxt=id[0], msgid=id[1])
        if id in kept and not kept[id].obsolete:
            entry = kept[id]
        elif id in kept or id in back:  # as it was before
            entry.msgstr = (kept.get(id) or back[id]).msgstr
        elif memory and id in memory:
            entry.msgstr = memory[id]
        if not done(entry) and memory and id in memory:
            entry = polib.POEntry(msgctxt=id[0], msgid=id[1], msgstr=memory[id])
        new.append(entry)
    for entry in new:
        if not entry.msgstr:
            take_over(entry, gone)
    for entry in gone.values():
        if not any(id in back and back[id] is entry for id in english):
            new.append(obsolete(entry))
    return new


def take_over(entry, gone):
    """Give a new message the translation of the one in `gone` that was most like it, if any was, and mark it fuzzy."""
    candidates = {id[1]: id for id in gone if id[0] == entry.msgctxt}
    for found in difflib.get_close_matches(entry.msgid, candidates, n=1, cutoff=0.6):
        before = gone.pop(candidates[found])
        entry.msgstr, entry.fuzzy = before.msgstr, True
        entry.previous_msgid = before.previous_msgid or before.msgid
        entry.previous_msgctxt = before.msgctxt


def obsolete(entry):
    """Return a message as one that is no longer in the text."""
    return polib.POEntry(msgctxt=entry.msgctxt, msgid=entry.msgid, msgstr=entry.msgstr, obsolete=True)
