"""Make a deck of slides of each notebook of the main line: `make slides` writes build/slides/NN_topic.html.

Nothing is run: a deck shows the committed outputs. It is one file and asks no network for anything: reveal.js, which
turns the slides, and MathJax, which sets the formulas, are fetched once, checked, kept in build/, and put into it.

What is on a slide follows from rules, below; a cell whose metadata has a `slideshow: {slide_type: …}` of its own is
shown whole, and as that says. What the rules leave out of a slide is in the speaker's notes (key S).
"""

import argparse
import base64
import hashlib
import io
import re
import struct
import sys
import tarfile
import urllib.request

import nbformat
from chapter import FIGURE, NOTEBOOKS, ROOT, leave_stills, tags
from nbconvert import SlidesExporter

MAIN_LINE = "0[1-4]_*.ipynb"
CACHE = ROOT / "build" / "slides" / ".packages"
REGISTRY = "https://registry.npmjs.org/{name}/-/{name}-{version}.tgz"
# Each package's version and its SHA-512, as npm's registry states it, and the files that a deck takes from it.
PACKAGES = {
    "reveal.js": (
        "5.2.1",
        "r7//6mIM5p34hFiDMvYfXgyjXqGRta+/psd9YtytsgRlrpRzFv4RbH76TXd2qD+7ZPZEbpBDhdRhJaFgfQ7zNQ==",
        ("dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js"),
    ),
    "mathjax": (
        "3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        ("es5/tex-svg.js",),
    ),
}
TEMPLATE = (
    """\
{%- extends 'reveal/index.html.j2' -%}
{%- block header -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ resources.deck.title | escape_html }}</title>
{{ resources.include_css("static/index.css") }}
{{ resources.include_css("static/theme-light.css") }}
<style>
{{ resources.deck.style }}
</style>
</head>
{%- endblock header -%}
{%- block footer_js -%}
{%- for script in resources.deck.scripts %}
<script src="{{ script }}"></script>
{%- endfor %}
{%- endblock footer_js -%}
"""
    + FIGURE
)
# Of longer prose only the first paragraph is shown, and what stands out: bold, a list, a table, a formula.
SHORT = 60  # words
STANDS_OUT = ("**", "- ", "1. ", "| ", "$$")
# The room on a slide of 1280 × 720 and what each thing takes of it, in pixels; slides.css sets the sizes.
ROOM, GAP, HEADING, TEXT_LINE, TEXT_WIDTH = 680, 16, 60, 34, 100  # TEXT_WIDTH in characters
CODE_LINE, PICTURE, PICTURE_WIDTH = 23, 420, 1180
TABLE_ROW, SMALL_ROW, MANY_ROWS = 26, 20, 21


def main(arguments=None):
    """Run the command line; return 0, or 1 after an error, which is printed."""
    parser = argparse.ArgumentParser(description="Make slides of the notebooks of the main line, in build/slides.")
    parser.add_argument("--only", default="", help="the notebooks whose name starts so, such as 03 (default: all)")
    only = parser.parse_args(arguments).only
    paths = [path for path in sorted(NOTEBOOKS.glob(MAIN_LINE)) if path.name.startswith(only)]
    if not paths:
        print(f"no notebook of the main line starts with {only!r}", file=sys.stderr)
        return 1
    try:
        assets = fetch_assets()
    except OSError as error:
        print(f"reveal.js and MathJax are fetched once, from npm's registry: {error}", file=sys.stderr)
        return 1
    for path in paths:
        page = CACHE.parent / f"{path.stem}.html"
        page.write_text(make_deck(leave_stills(nbformat.read(path, 4)), assets), encoding="utf-8")
        print(page)
    return 0


def fetch_assets():
    """Return the text of each file of PACKAGES, by its name; a package that is not in the cache is fetched."""
    texts = {}
    for name, (version, checksum, files) in PACKAGES.items():
        path = CACHE / f"{name}-{version}.tgz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(REGISTRY.format(name=name, version=version), timeout=60) as answer:
                path.write_bytes(verified(answer.read(), checksum, path.name))
        package = io.BytesIO(verified(path.read_bytes(), checksum, path.name))
        with tarfile.open(fileobj=package) as archive:
            texts |= {file: archive.extractfile(f"package/{file}").read().decode() for file in files}
    return texts


def verified(data, checksum, name):
    """Return `data`; raise OSError if its SHA-512, in base 64, is another."""
    found = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != checksum:
        raise OSError(f"{name} has the SHA-512 {found}, not {checksum}; remove it and try again")
    return data


def make_deck(notebook, assets):
    """Return the page with the slides of a notebook; `assets` are the texts of the files of PACKAGES."""
    notebook = nbformat.from_dict({**notebook, "cells": arrange(notebook.cells)})
    style = assets["dist/reveal.css"] + (ROOT / "tools" / "slides.css").read_text(encoding="utf-8")
    settings = (ROOT / "tools" / "slides.js").read_text(encoding="utf-8")
    scripts = [settings, assets["dist/reveal.js"], assets["plugin/notes/notes.js"], assets["es5/tex-svg.js"]]
    title = re.search(r"^# (.+)", notebook.cells[0].source).group(1)
    deck = {"title": title, "style": style, "scripts": [as_address(script) for script in scripts]}
    page, _ = SlidesExporter(raw_template=TEMPLATE).from_notebook_node(notebook, {"deck": deck})
    return page


def as_address(script):
    """Return a script as an address that holds it: so nothing in it can end the element that it stands in."""
    return "data:text/javascript;base64," + base64.b64encode(script.encode()).decode()


# the rules


def arrange(cells):
    """Return the cells of a deck: each is the beginning of a slide, a part of one, or a note of the speaker's.

    A heading begins a slide, one of the third level a slide below it; so does what has no room on the last slide, and
    whatever follows a question, for it is the answer. Such a slide repeats the heading.
    """
    arranged, used, asked, title = [], 0, False, ""
    for cell in cells:
        for part in [cell] if "slideshow" in cell.metadata else parts(cell):
            kind, height = part.metadata.get("slideshow", {}).get("slide_type"), part_height(part)
            if kind is None:
                kind = "slide" if heading(part) in ("#", "##") else "-"
                if kind == "-" and (asked or heading(part) or used + height > ROOM):
                    kind = "subslide"
                if heading(part):
                    title = part.source.partition("\n")[0].lstrip("# ")
                elif kind == "subslide":
                    arranged.append(markdown(f"#### {title}", "subslide"))
                    kind, used, asked = "-", TEXT_LINE, False
                part.metadata["slideshow"] = {"slide_type": kind}
            if kind in ("slide", "subslide", "-", "fragment"):
                used, asked = (used if kind in ("-", "fragment") else 0) + height, False
            arranged.append(part)
        asked = asked or is_question(cell)
    return arranged


def parts(cell):
    """Return what a deck has of a cell: new cells, of which notes are marked as such."""
    if is_left_out(cell):
        return []
    if cell.cell_type == "markdown":
        return [part for section in re.split(r"^(?=#{1,3} )", cell.source, flags=re.M) for part in prose(section)]
    return code(cell)


def is_left_out(cell):
    """Say whether a cell says nothing to an audience: set-up, imports, checks of the text, the list of references."""
    if cell.cell_type == "markdown":
        return cell.source.startswith("**References.**")
    is_preparation = "google.colab" in cell.source or cell.source.startswith(("import ", "from "))
    return not cell.outputs and ("hide-input" in tags(cell) or is_preparation)


def prose(section):
    """Return a section of prose, shortened, and a note with the whole of it if something was left out."""
    section = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", section.strip())  # a deck is alone: no way to others
    shown, first = [], True
    for paragraph in re.split(r"\n\n+(?!\S.*</summary>)", re.sub(r"<details>.*?</details>", "", section, flags=re.S)):
        begins = paragraph.startswith(("#", "★"))  # a heading, or how hard an exercise is
        if begins or first or len(section.split()) <= SHORT or paragraph.startswith(STANDS_OUT):
            shown.append(paragraph.strip())
        first = first and begins
    text = "\n\n".join(filter(None, shown))
    found = [nbformat.v4.new_markdown_cell(text)] if text else []
    return found + ([note(section)] if text != section else [])


def code(cell):
    """Return a cell of code, its outputs apart if both are too high; the code of a picture or an answer is a note."""
    outputs = [] if re.search(r"\bcheck(_prediction)?\(", cell.source) else cell.outputs
    source = nbformat.v4.new_code_cell(cell.source)
    if is_question(cell) or "hide-input" in tags(cell) or any("image/png" in o.get("data", {}) for o in outputs):
        source = note(f"```python\n{cell.source}\n```")
    whole = nbformat.v4.new_code_cell(cell.source, outputs=outputs)
    shown = nbformat.v4.new_code_cell(outputs=outputs, metadata={"transient": {"remove_source": True}})
    if source.cell_type == "markdown":
        return [shown, source] if outputs else [source]
    return [whole] if part_height(whole) <= ROOM - HEADING else [source, shown]


def note(text):
    """Return a cell for the speaker's eyes."""
    return markdown(text, "notes")


def markdown(text, slide_type):
    """Return a cell of prose that is shown as `slide_type` says."""
    return nbformat.v4.new_markdown_cell(text, metadata={"slideshow": {"slide_type": slide_type}})


def is_question(cell):
    """Say whether a cell waits for the reader's prediction."""
    return cell.cell_type == "code" and "my_prediction = None" in cell.source


def heading(cell):
    """Return the mark of the heading that a cell begins with: one "#" or more, or none."""
    return re.match(r"#*", cell.source).group() if cell.cell_type == "markdown" else ""


def part_height(cell):
    """Return how high a cell is on a slide, in pixels, roughly."""
    if cell.cell_type == "markdown":
        paragraphs = re.sub(r"(?<=\S)\n(?=\w)", " ", cell.source).split("\n")
        lines = sum(max(0.4, -(-len(paragraph) // TEXT_WIDTH)) for paragraph in paragraphs)
        return TEXT_LINE * lines + GAP + (HEADING - TEXT_LINE if heading(cell) else 0)
    source = CODE_LINE * len(cell.source.split("\n")) + GAP if cell.source else 0
    return source + sum(map(output_height, cell.outputs))


def output_height(output):
    """Return how high an output is on a slide, in pixels, roughly."""
    data = output.get("data", {})
    if "image/png" in data:
        return min(PICTURE, picture_height(data["image/png"])) + GAP
    if "text/html" in data:
        rows = data["text/html"].count("<tr")
        return (TABLE_ROW if rows < MANY_ROWS else SMALL_ROW) * rows + GAP
    return CODE_LINE * len((output.get("text") or data.get("text/plain", "")).splitlines()) + GAP


def picture_height(png):
    """Return how high a PNG in base 64 is where it may be PICTURE_WIDTH wide; a larger one is made smaller."""
    width, height = struct.unpack(">II", base64.b64decode(png[:32])[16:24])
    return height * min(1, PICTURE_WIDTH / width)


if __name__ == "__main__":
    sys.exit(main())
