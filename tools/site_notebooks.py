"""What a page of `make site` shows otherwise than the notebook that it is made from."""

import html
import json
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
EXERCISES = "04_exercises"
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
FOLD = '<details class="solution">'


def for_a_page(name, notebook, folder=NOTEBOOKS, words=()):
    """Return notebook `name` of a folder as a page is made from it, and the texts of its figures in their order.

    `words` is {English: translation} of what a page and its instruments say besides the notebook.
    """
    leave_out_the_set_up(notebook)
    host_instruments(notebook, words)
    say_what_is_folded(notebook, words)
    if "_solutions_" in name:
        exercises = json.loads((folder / f"{EXERCISES}.ipynb").read_text(encoding="utf-8"))
        fold_solutions(notebook, exercises, dict(words).get("Solution", "Solution"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    figures = [output["metadata"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return notebook, [figure["alt"] for figure in figures]


def leave_out_the_set_up(notebook):
    """Remove the set-up for Colab."""
    notebook["cells"] = [
        cell for cell in notebook["cells"] if not (cell["cell_type"] == "code" and "google.colab" in text(cell))
    ]


def host_instruments(notebook, words=()):
    """Put in place of each instrument its still and, beside it, the state from which instruments.js makes it live.

    Other widgets are left out: without the kernel that made them there is nothing to show.
    """
    states = notebook["metadata"].pop("widgets", {}).get(STATE, {}).get("state", {})
    for cell in notebook["cells"]:
        for output in list(cell.get("outputs", [])):
            view = output.get("data", {}).pop(WIDGET, None)
            if view and view["model_id"] in states:
                output["data"] = {"text/html": still(states[view["model_id"]], output, words)}
            elif view:
                cell["outputs"].remove(output)


def still(model, output, words=()):
    """Return an instrument's still as HTML, with its values and, of its words, those in the page's language."""
    state = {key: value for key, value in model["state"].items() if not key.startswith("_") or key == "_esm"}
    if words:
        values = json.dumps(state, ensure_ascii=False)
        state["words"] = {english: word for english, word in dict(words).items() if english in values}
    picture = html.escape("".join(output["data"].get("text/plain", "")))
    if "image/png" in output["data"]:
        source = "".join(output["data"]["image/png"]).replace("\n", "")
        picture = f'<img alt="{picture}" src="data:image/png;base64,{source}">'
    return embed(state, picture)


def embed(state, picture=""):
    """Return the element of which instruments.js makes a live instrument: its state, and what is shown until then."""
    values = json.dumps(state, ensure_ascii=False).replace("</", "<\\/")
    return f'<div class="nin-still">{picture}<script type="application/json">{values}</script></div>'


def say_what_is_folded(notebook, words=()):
    """Write on each folded cell what a click shows: a check of the text, or other code."""
    for cell in notebook["cells"]:
        if "hide-input" in cell["metadata"].get("tags", []):
            checks = re.search(r"^ *(assert|torch\.testing|np\.testing)\b", text(cell), re.MULTILINE)
            what = "check" if checks else "code"
            prompts = {"code_prompt_show": f"Show the {what}", "code_prompt_hide": f"Hide the {what}"}
            cell["metadata"]["mystnb"] = {key: dict(words).get(prompt, prompt) for key, prompt in prompts.items()}


def fold_solutions(solutions, exercises, label="Solution"):
    """Open a fold behind each exercise: its heading, and what follows that the exercises' notebook has too."""
    fold = f"{FOLD}<summary>{label}</summary>"
    shared = {paragraph for cell in prose(exercises) for paragraph in text(cell).split("\n\n")}
    for cell in prose(solutions):
        paragraphs, in_exercise = [], False
        for paragraph in text(cell).split("\n\n"):
            if in_exercise and paragraph not in shared:
                paragraphs.append(fold)
            in_exercise = paragraph in shared and (in_exercise or bool(re.match(r"## (\[English\] )?\d", paragraph)))
            paragraphs.append(paragraph)
        cell["source"] = "\n\n".join(paragraphs + [fold] * in_exercise)


def prose(notebook):
    """Return the Markdown cells of a notebook."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def text(cell):
    """Return the source of a cell, which a file may hold in one string or in lines."""
    return "".join(cell["source"])
