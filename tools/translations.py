"""Keep five translations of the chapter with their English source: `make translations`, and what a translator needs.

    python tools/translations.py                    bring up to date: the catalogues, notebooks/LANG, README.LANG.md
    python tools/translations.py todo fr [NAME]     print as JSON what is missing or fuzzy, of one catalogue or of all
    python tools/translations.py fill fr FILE.json  take translations into the catalogues, those that break no rule

English is what the committed notebooks have. Each Markdown block is one message of locale/LANG/NN_topic.po, and so is
each figure's text, in the context "alt". A message that is missing or fuzzy (its English has changed) shows as English.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from catalogues import (
    LANGUAGES,
    ROOT,
    done,
    key_of,
    merge,
    names,
    notebook_names,
    read_catalogue,
    read_english,
    read_notebook,
    unwrap,
    write,
    write_catalogue,
)
from polib import POEntry
from stamp import NOT_YET
from translated import THEME_LABELS, WORDS, in_language, memory_of, readme_in, to_run, with_languages
from translation_rules import check

STRING = r'"((?:[^"\\\n]|\\.)*)"'  # as Biome lays them out
WORD = "words"  # the context of those below, and the name that they have among the catalogues
# what pages and the README's badges say that stands in no Markdown block
PAGE_WORDS = (
    NOT_YET,
    "Read the chapter as pages",
    "without installing anything",
    "Solution",
    "Show the check",
    "Hide the check",
    "Show the code",
    "Hide the code",
    "The chapter",
    "Teaching",
    "Other frameworks",
    "Language",
    "This page is in English only.",
    # the theme's, for languages that it does not speak, or not throughout
    "Search...",
    "Back to top",
    "Skip to main content",
    "Color mode",
    "Light",
    "Dark",
    "System Settings",
    "previous page",
    "next page",
    "Version warning",
    "Please activate JavaScript to enable the search functionality.",
    "Link to this heading",
    *THEME_LABELS,
)


# what `make translations` does


def update(language):
    """Bring the catalogues of a language up to date with the English; return those that have changed."""
    memory = memory_of(language)
    merged = {name: merge(read_catalogue(language, name), read_english(name), memory) for name in names()}
    return [name for name, catalogue in merged.items() if write_catalogue(catalogue, language, name)]


def generated(language):
    """Return {path: text} of what the catalogues of a language make."""
    memory = memory_of(language)
    notebooks = {name: to_run(in_language(read_notebook(name), language, memory)) for name in notebook_names()}
    files = {ROOT / "notebooks" / language / f"{name}.ipynb": text for name, text in notebooks.items()}
    return files | {ROOT / f"README.{language}.md": readme_in(language, memory)}


def all_words():
    """Return the words of the pages, and those of the instruments."""
    found = list(PAGE_WORDS)
    for path in sorted((ROOT / "nin_helpers" / "instruments").glob("*.js")):
        found += spoken(path.read_text(encoding="utf-8"))
    for name in notebook_names():
        for states in read_notebook(name)["metadata"].get("widgets", {}).values():
            classes = [model["state"].get("classes") for model in states["state"].values()]
            found += [label for labels in classes if isinstance(labels, list) for label in labels]
    return list(dict.fromkeys(found))


def spoken(module):
    """Return what an instrument's module says: what it gives to t() or marks by word(), and templates."""
    found = re.findall(rf"\b(?:t|word)\(\s*{STRING}", module)
    found += [text for text in re.findall(STRING, module) if re.search(r"\{\w+\}", text)]
    return list(dict.fromkeys(json.loads(f'"{text}"') for text in found))


def read_words():
    """Return the table of words, {language: {English: translation}}."""
    return json.loads(WORDS.read_text(encoding="utf-8")) if WORDS.exists() else {}


def update_words():
    """Bring the table of words up to date: each language has each word, "" where the translation is missing."""
    old, wanted = read_words(), all_words()
    return write_words({code: {word: old.get(code, {}).get(word, "") for word in wanted} for code in LANGUAGES})


def write_words(words):
    """Write the table of words, if that changes anything, and say whether it does."""
    return write(WORDS, json.dumps(words, ensure_ascii=False, indent=1) + "\n")


# a translator's commands


def todo(language, only=""):
    """Return what the catalogues of a language that start with `only` lack, each message once; then words."""
    items = {}
    for name in names():
        for entry in read_catalogue(language, name):
            if name.startswith(only) and not entry.obsolete and not done(entry):
                items.setdefault((entry.msgctxt, entry.msgid), item(name, entry))
    words = [word for word, translation in read_words()[language].items() if not translation and WORD.startswith(only)]
    return list(items.values()) + [item(WORD, POEntry(msgctxt=WORD, msgid=word)) for word in words]


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
    catalogues, words = {name: read_catalogue(language, name) for name in names()}, read_words()
    entries = [entry for catalogue in catalogues.values() for entry in catalogue if not entry.obsolete]
    table = [POEntry(msgctxt=WORD, msgid=word, msgstr=old) for word, old in words[language].items()]
    lines, taken = [], 0
    for given in items:
        meant = [entry for entry in entries + table if is_meant(entry, given)]
        wrong, terms = judge(language, meant, given)
        label = given.get("key") or repr(given.get("english", "")[:60])
        lines += [f"REFUSED {label}: {problem}" for problem in wrong] or [
            f"taken {label}, but {term}" for term in terms
        ]
        taken += not wrong
        for entry in meant if not wrong else []:
            entry.msgstr = given["translation"].strip()
            entry.fuzzy, entry.previous_msgid, entry.previous_msgctxt = False, None, None
    for name, catalogue in catalogues.items():
        write_catalogue(catalogue, language, name)
    write_words({**words, language: {entry.msgid: entry.msgstr for entry in table}})
    return taken, lines


def is_meant(entry, given):
    """Say whether the item `given` is about this message."""
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
    translated = list(map(bool, read_words()[language].values()))
    lines.append(f"{language:6}{WORD:24}{sum(translated):4} done{0:4} fuzzy{translated.count(False):4} missing")
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
    written = [update(language) for language in LANGUAGES] + [["words"] * update_words()]
    files = {ROOT / "README.md": with_languages((ROOT / "README.md").read_text(encoding="utf-8"), "")}
    for language in LANGUAGES:
        files |= generated(language)
        print("\n".join(report(language)))
    written = sum(map(len, written)) + sum(write(path, text) for path, text in files.items())
    print(f"{written} files written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
