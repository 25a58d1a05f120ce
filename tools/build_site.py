"""Build the pages of every language: `make site`. English lies in build/site, each other language in a folder there.

Sphinx runs once for each, on a copy of the sources in which the files lie to each other as in the repository; that of a
translation has the English outputs, and in English what is not translated. SITE_JOBS of them run at once.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polib
from catalogues import LANGUAGES, ROOT, index, notebook_names, read_notebook
from translated import THEME_LABELS, in_language, memory_of, translate, words_of

BUILD = ROOT / "build"
SOURCES = BUILD / "site-source"
INCLUDE = re.compile(r'^```\{include\} (\S+)\n:start-after: "(.*)"\n:end-before: "(.*)"\n```$', re.MULTILINE)
ICON_SCRIPT = re.compile(r'<script [^>]*src="[^"]*scripts/fontawesome\.js[^"]*"[^>]*></script>\n?')
ICON_RULE = re.compile(r'(?:\.fa-[\w-]+,?)+\{--fa:"[^"]*"\}')
ICON = re.compile(r"(?<![\w-])fa-[\w-]+")


def main():
    """Write the sources, build the pages, and return 0, or 1 if Sphinx found anything wrong."""
    for folder in (BUILD / "site", SOURCES):
        shutil.rmtree(folder, ignore_errors=True)
    with ThreadPoolExecutor(int(os.environ.get("SITE_JOBS") or os.cpu_count() or 1)) as pool:
        statuses = list(pool.map(build, ["", *LANGUAGES]))
    drop_icons(BUILD / "site")
    return 1 if any(statuses) else 0


def build(language):
    """Build the pages of a language, "" for English; return Sphinx's exit status."""
    source = SOURCES / (language or "en")
    write_sources(source, language)
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    command += ["--conf-dir", ROOT / "site", "--doctree-dir", SOURCES / "doctrees" / (language or "en")]
    environment = {**os.environ, "NIN_LANGUAGE": language, "PYTHONPATH": str(ROOT / "tools")}
    status = subprocess.run([*map(str, command), source, BUILD / "site" / language], env=environment).returncode
    label_in(BUILD / "site" / language, words_of(language))
    return status


def write_sources(folder, language):
    """Write what Sphinx reads for a language into the folder."""
    shutil.copytree(ROOT / "images", folder / "images")
    for pattern in ("site/teachers.md", "notebooks/[0-9]*.ipynb", "notebooks/frameworks/*.ipynb"):
        for path in sorted(ROOT.glob(pattern)):
            (folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / path.relative_to(ROOT))
    first = INCLUDE.sub(included, index())
    if language:
        memory, words = memory_of(language), words_of(language)
        first = re.sub(r"(?m)(?<=^:caption: ).*", lambda match: words.get(match[0], match[0]), translate(first, memory))
        translate_notebooks(folder, language, memory)
        write_theme(folder / "locale" / language / "LC_MESSAGES" / "sphinx.mo", words)
    (folder / "index.md").write_text(first, encoding="utf-8")


def translate_notebooks(folder, language, memory):
    """Write the notebooks that are translated, with their English outputs."""
    for name in notebook_names():
        text = json.dumps(in_language(read_notebook(name), language, memory), ensure_ascii=False)
        (folder / "notebooks" / f"{name}.ipynb").write_text(text, encoding="utf-8")


def write_theme(path, words):
    """Write the words of the theme as Sphinx looks for them; it has others of its own."""
    theme = polib.POFile()
    theme.metadata = {"Content-Type": "text/plain; charset=UTF-8"}
    theme.extend(polib.POEntry(msgid=english, msgstr=word) for english, word in words.items())
    path.parent.mkdir(parents=True)
    theme.save_as_mofile(str(path))


def label_in(folder, words):
    """Translate what the theme calls its parts, where it does not ask for a translation."""
    labels = [f'="{label}"' for label in THEME_LABELS if label in words]
    for path in folder.glob("**/*.html") if labels else []:
        text = path.read_text(encoding="utf-8")
        for label in labels:
            text = text.replace(label, f'="{words[label[2:-1]]}"')
        path.write_text(text, encoding="utf-8")


def drop_icons(folder):
    """Take the theme's script of icons, 1.6 MB, from the pages, on which its web font shows them; and unused icons."""
    pages = list(folder.glob("**/*.html"))
    texts = [ICON_SCRIPT.sub("", path.read_text(encoding="utf-8")) for path in pages]
    for path, text in zip(pages, texts):
        path.write_text(text, encoding="utf-8")
    for path in folder.glob("**/_static/scripts/fontawesome.js*"):
        path.unlink()
    scripts = [path.read_text(encoding="utf-8") for path in folder.glob("_static/scripts/*.js")]
    shown = {name for text in texts + scripts for name in ICON.findall(text)}
    for path in folder.glob("**/_static/styles/pydata-sphinx-theme.css"):
        style = path.read_text(encoding="utf-8")
        style = ICON_RULE.sub(lambda rule: rule[0] if shown & set(ICON.findall(rule[0])) else "", style)
        path.write_text(style, encoding="utf-8")


def included(directive):
    """Return the text that an include directive of the first page stands for."""
    text = (ROOT / Path(directive[1]).name).read_text(encoding="utf-8")
    return text.partition(directive[2])[2].partition(directive[3])[0].strip("\n")


if __name__ == "__main__":
    sys.exit(main())
