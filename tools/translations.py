"""Keep five translations of the chapter with their English source: `make translations`, and what a translator needs.

    python tools/translations.py                    bring up to date: the catalogues, notebooks/LANG, README.LANG.md
    python tools/translations.py todo fr [NAME]     print as JSON what is missing or fuzzy, of one catalogue or of all
    python tools/translations.py fill fr FILE.json  take translations into the catalogues, those that break no rule

English is what the committed notebooks have. Each Markdown block is one message of locale/LANG/NN_topic.po, and so is
each figure's text, in the context "alt". A message that is missing or fuzzy (its English has changed) shows as English.
"""

import argparse
import difflib
import hashlib
import json
import re
import sys
from pathlib import Path

import polib
from translation_rules import check

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = {"tr": "Türkçe", "ja": "日本語", "id": "Bahasa Indonesia", "fr": "Français", "zh_CN": "简体中文"}
ENGLISH_ONLY = "11_speed"
README, INDEX = "readme", "index"
ALT = "alt"
MARK = "[English] "
# what stands between messages: code and formulas, lines of markup alone, blank lines
BETWEEN = re.compile(
    r"(^```(?!\{only\}).*?^```$|^```\{only\}[^\n]*$|^```$|^</\w+>$|^\$\$.*?\$\$$|\n(?:[ \t]*\n)+)",
    re.MULTILINE | re.DOTALL,
)
# a line's end that means nothing: what follows is no item, row, heading, quotation or fold
WRAP = re.compile(r"\n(?![ \t]*(?:[-*+] |\d+\. |\||>|#|</?(?:details|summary)\b))[ \t]*")
NO_PROSE = re.compile(r"`[^`]*`|\$[^$]*\$|<[^>]*>|\]\([^)]*\)")
MARKUP = re.compile(r"^(?:#+ |<[^>]+>)*")


# what there is to translate


def notebook_names():
    """Return the names of the notebooks that are translated, in reading order."""
    return [path.stem for path in sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb")) if path.stem != ENGLISH_ONLY]


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
    """Return the first screen of the README, which is translated: up to the table of the notebooks, without badges."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where the rest is")[0]
    return re.sub(r"(<!-- badges -->\n).*(<!-- /badges -->)", r"\1\2", text, flags=re.DOTALL)


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
    return [output["metadata"]["image/png"] for output in outputs]


def messages(text):
    """Return the messages of a Markdown text, in their order."""
    return [unwrap(block) for block in BETWEEN.split(text)[::2] if has_prose(block)]


def unwrap(block):
    """Return a block with each of its paragraphs, items and rows on one line: how it is wrapped says nothing."""
    return WRAP.sub(" ", block.strip())


def has_prose(block):
    """Say whether there is a word to translate in the block."""
    return bool(re.search(r"[^\W\d_]{2}", NO_PROSE.sub(" ", block)))


# translating a text


def translate(text, lookup):
    """Return a Markdown text with each block replaced by lookup(context, English); None leaves the English, marked."""
    parts = BETWEEN.split(text)
    for i in range(0, len(parts), 2):
        if has_prose(parts[i]):
            block = parts[i].strip()
            parts[i] = parts[i].replace(block, lookup(None, unwrap(block)) or mark(block), 1)
    return "".join(parts)


def mark(block):
    """Return an English block with the mark that says so."""
    own_line = MARK.strip() + "\n\n" if re.match(r"[-*+|>] |\|", block) else MARK  # before a list or a table
    start = MARKUP.match(block).end()
    return block[:start] + own_line + block[start:]


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


def memory_of(language):
    """Return {(context, English): translation} of all that is translated into the language."""
    entries = [entry for name in names() for entry in read_catalogue(language, name)]
    return {(entry.msgctxt, entry.msgid): entry.msgstr for entry in entries if done(entry)}


def update(language):
    """Bring the catalogues of a language up to date; return those that have changed."""
    memory = memory_of(language)
    merged = {name: merge(read_catalogue(language, name), read_english(name), memory) for name in names()}
    return [name for name, catalogue in merged.items() if write_catalogue(catalogue, language, name)]


# a translator's commands


def todo(language, only=""):
    """Return what the catalogues of a language that start with `only` lack, each message once."""
    items = {}
    for name in names():
        for entry in read_catalogue(language, name):
            if name.startswith(only) and not entry.obsolete and not done(entry):
                items.setdefault((entry.msgctxt, entry.msgid), item(name, entry))
    return list(items.values())


def item(name, entry):
    """Return a message as a translator gets it; `old` and `old_english` are what it was before its English changed."""
    found = {"file": name, "key": key_of(entry.msgctxt, entry.msgid), "english": entry.msgid}
    found |= {"context": entry.msgctxt} if entry.msgctxt else {}
    return found | ({"old": entry.msgstr, "old_english": entry.previous_msgid} if entry.fuzzy else {})


def fill(language, items):
    """Take translations into every catalogue of the language that has the message; return how many, and what to say.

    Each item has "translation" and, to say of which message, "key" or "english" (and "context"). What breaks a rule is
    refused; a term of the glossary that seems to be missing is only named.
    """
    catalogues = {name: read_catalogue(language, name) for name in names()}
    lines, taken = [], 0
    for given in items:
        entries = [entry for catalogue in catalogues.values() for entry in catalogue if is_meant(entry, given)]
        label = given.get("key") or repr(given.get("english", "")[:60])
        wrong, terms = judge(language, entries, given)
        lines += [f"REFUSED {label}: {problem}" for problem in wrong] or [
            f"taken {label}, but {term}" for term in terms
        ]
        taken += not wrong
        for entry in entries if not wrong else []:
            entry.msgstr = given["translation"].strip()
            entry.fuzzy, entry.previous_msgid, entry.previous_msgctxt = False, None, None
    for name, catalogue in catalogues.items():
        write_catalogue(catalogue, language, name)
    return taken, lines


def is_meant(entry, given):
    """Say whether the item `given` is about this message."""
    if entry.obsolete:
        return False
    if given.get("key"):
        return given["key"] == key_of(entry.msgctxt, entry.msgid)
    return (given.get("context"), unwrap(given.get("english", ""))) == (entry.msgctxt, entry.msgid)


def judge(language, entries, given):
    """Return what forbids taking an item in, and what the glossary says of it."""
    if not entries:
        return ["no message has this key or English; run `todo` again"], []
    if not isinstance(given.get("translation"), str) or not given["translation"].strip():
        return ["its translation is empty"], []
    context, english = entries[0].msgctxt, entries[0].msgid
    return check(language, key_of(context, english), context, english, given["translation"].strip())


def report(language):
    """Return a line for each catalogue: how many of its messages are done, fuzzy, missing."""
    lines = []
    for name in names():
        entries = [entry for entry in read_catalogue(language, name) if not entry.obsolete]
        complete, fuzzy = sum(map(done, entries)), sum(entry.fuzzy for entry in entries)
        missing = len(entries) - complete - fuzzy
        lines.append(f"{language:6}{name:24}{complete:4} done{fuzzy:4} fuzzy{missing:4} missing")
    return lines


def main(arguments=None):
    """Run the command line; return 0, or 1 if a translation was refused."""
    parser = argparse.ArgumentParser(description="Bring the translations up to date, or show and fill what they lack.")
    commands = parser.add_subparsers(dest="command")
    for command, help in (("todo", "print what is missing or fuzzy, as JSON"), ("fill", "take translations in")):
        commands.add_parser(command, help=help).add_argument("language", choices=list(LANGUAGES))
    commands.choices["todo"].add_argument("only", nargs="?", default="", metavar="NAME", help="a catalogue, such as 03")
    commands.choices["fill"].add_argument("file", type=Path, help='[{"key": or "english":, "translation":}, …]')
    options = parser.parse_args(arguments)
    if options.command == "todo":
        print(json.dumps(todo(options.language, options.only), ensure_ascii=False, indent=1))
        return 0
    if options.command == "fill":
        items = json.loads(options.file.read_text(encoding="utf-8"))
        taken, lines = fill(options.language, items)
        print("\n".join([*lines, f"{taken} of {len(items)} messages taken"]))
        return 0 if taken == len(items) else 1
    for language in LANGUAGES:
        update(language)
        print("\n".join(report(language)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
