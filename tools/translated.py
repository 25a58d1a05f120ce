"""The chapter in another language: its English with each message replaced, and the code as it is, byte for byte."""

import copy
import json
import re

from catalogues import (
    ALT,
    BETWEEN,
    LANGUAGES,
    ROOT,
    WRITTEN,
    done,
    figures,
    has_prose,
    names,
    notebook_names,
    read_catalogue,
    readme,
    unwrap,
)

MARK = "[English] "
MARKUP = re.compile(r"^(?:#+ |<[^>]+>)*")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)[^)\s]+(?=\))")
WORDS = ROOT / "locale" / "words.json"
THEME_LABELS = (
    "Main",
    "Page",
    "Toggle primary sidebar",
    "Toggle secondary sidebar",
)  # the theme has them in English alone


def memory_of(language):
    """Return {(context, English): translation} of all that is translated into the language."""
    entries = [entry for name in names() for entry in read_catalogue(language, name)]
    return {(entry.msgctxt, entry.msgid): entry.msgstr for entry in entries if done(entry)}


def words_of(language):
    """Return {English: translation} of the words of pages and instruments that are translated."""
    words = json.loads(WORDS.read_text(encoding="utf-8")) if WORDS.exists() else {}
    return {english: translation for english, translation in words.get(language, {}).items() if translation}


def tag(language):
    """Return the tag of a language as HTML has it: zh-CN."""
    return language.replace("_", "-")


def translate(text, memory):
    """Return a Markdown text with each block as `memory` has it; one that it lacks stays English, marked."""
    parts = BETWEEN.split(text)
    for i in range(0, len(parts), 2):
        if has_prose(parts[i]):
            block = parts[i].strip()
            parts[i] = parts[i].replace(block, memory.get((None, unwrap(block))) or mark(block), 1)
    return "".join(parts)


def mark(block):
    """Return an English block with the mark that says so."""
    own_line = MARK.strip() + "\n\n" if re.match(r"[-*+|>] |\d+\. ", block) else MARK  # before a list or a table
    start = MARKUP.match(block).end()
    return block[:start] + own_line + block[start:]


def in_language(notebook, language, memory):
    """Return an English notebook in the language: its Markdown cells, and the texts of its figures."""
    notebook = copy.deepcopy(notebook)
    notebook["metadata"]["language"] = tag(language)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = translate("".join(cell["source"]), memory).splitlines(keepends=True)
        for output in cell.get("outputs", []):
            describe(output, memory)
    return notebook


def describe(output, memory):
    """Translate what an output says of its figure; an instrument says it in its text, too."""
    for figure in figures({"outputs": [output]}):
        english = figure["alt"]
        figure["alt"] = memory.get((ALT, english)) or MARK + english
        if "".join(output["data"].get("text/plain", "")) == english:
            output["data"]["text/plain"] = figure["alt"]


def to_run(notebook):
    """Return a notebook of notebooks/ as it lies in a folder of that, to be run by whoever opens it: without outputs.

    It is no pair of jupytext's, for it is not to be edited; links among the translated notebooks stay in the folder.
    """
    notebook = copy.deepcopy(notebook)
    notebook["metadata"] = {**notebook["metadata"], "jupytext": {"formats": "ipynb"}}
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
        else:
            cell["source"] = [LINK.sub(lambda link: from_below(link[0]), line) for line in cell["source"]]
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def from_below(link):
    """Return a link of a file in notebooks/ as one of a file in a folder of that."""
    name = link.partition("#")[0]
    translated = [f"{name}.ipynb" for name in notebook_names()]
    return f"../{link}" if name not in translated and (ROOT / "notebooks" / name).exists() else link


def readme_in(language, memory):
    """Return the text of README.LANG.md; its badges are those of README.md."""
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    written = {match[2]: match[3] for match in WRITTEN.finditer(english)}
    badges = to_folder(written["badges"], language).replace("lab/tree/notebooks", f"lab/tree/notebooks/{language}")
    badges = re.sub(r"(?<=\()https://[\w.-]+\.github\.io/[^)]*", rf"\g<0>{language}/", badges)
    for word, translation in words_of(language).items():
        badges = badges.replace(word, translation)
    text = to_folder(translate(readme(), memory), language).rstrip("\n") + "\n"
    return with_languages(WRITTEN.sub(lambda match: match[1] + badges * (match[2] == "badges"), text), language)


def to_folder(text, language):
    """Return the text with its links to a translated notebook leading to the one in the language."""
    return re.sub(rf"(?<=notebooks/)(?=(?:{'|'.join(notebook_names())})\.ipynb)", f"{language}/", text)


def with_languages(text, language):
    """Return a README with its line of links to the others; `language` is its own, "" for English."""
    readmes = {"": ("English", "README.md")} | {code: (name, f"README.{code}.md") for code, name in LANGUAGES.items()}
    links = [name if code == language else f"[{name}]({path})" for code, (name, path) in readmes.items()]
    line = " · ".join(links)
    return WRITTEN.sub(lambda match: match[1] + (f"{line}\n" if match[2] == "languages" else match[3]), text)
