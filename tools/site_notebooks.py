"""What a page of `make site` shows otherwise than the notebook that it is made from."""

import json
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
EXERCISES = "04_exercises"
WIDGET = "application/vnd.jupyter.widget-view+json"
FOLD = '<details class="solution"><summary>Solution</summary>'


def for_a_page(name, notebook, folder=NOTEBOOKS, words=()):
    """Return notebook `name` of a folder as a page is made from it, and the texts of its figures in their order.

    `words` is {English: translation} of what the page says besides the notebook.
    """
    leave_out_what_needs_a_kernel(notebook)
    say_what_is_folded(notebook, words)
    if "_solutions_" in name:
        fold_solutions(notebook, json.loads((folder / f"{EXERCISES}.ipynb").read_text(encoding="utf-8")))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    figures = [output["metadata"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return notebook, [figure["alt"] for figure in figures]


def leave_out_what_needs_a_kernel(notebook):
    """Remove the set-up for Colab, and the controls of widgets: the picture beside them stays."""
    notebook["metadata"].pop("widgets", None)
    notebook["cells"] = [
        cell for cell in notebook["cells"] if not (cell["cell_type"] == "code" and "google.colab" in text(cell))
    ]
    for cell in notebook["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if WIDGET not in output.get("data", {})]


def say_what_is_folded(notebook, words=()):
    """Write on each folded cell what a click shows: a check of the text, or other code."""
    for cell in notebook["cells"]:
        if "hide-input" in cell["metadata"].get("tags", []):
            checks = re.search(r"^ *(assert|torch\.testing|np\.testing)\b", text(cell), re.MULTILINE)
            what = "check" if checks else "code"
            prompts = {"code_prompt_show": f"Show the {what}", "code_prompt_hide": f"Hide the {what}"}
            cell["metadata"]["mystnb"] = {key: dict(words).get(text, text) for key, text in prompts.items()}


def fold_solutions(solutions, exercises):
    """Open a fold behind each exercise: its heading, and what follows that the exercises' notebook has too."""
    shared = {paragraph for cell in prose(exercises) for paragraph in text(cell).split("\n\n")}
    for cell in prose(solutions):
        paragraphs, in_exercise = [], False
        for paragraph in text(cell).split("\n\n"):
            if in_exercise and paragraph not in shared:
                paragraphs.append(FOLD)
            in_exercise = paragraph in shared and (in_exercise or bool(re.match(r"## \d", paragraph)))
            paragraphs.append(paragraph)
        cell["source"] = "\n\n".join(paragraphs + [FOLD] * in_exercise)


def prose(notebook):
    """Return the Markdown cells of a notebook."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def text(cell):
    """Return the source of a cell, which a file may hold in one string or in lines."""
    return "".join(cell["source"])
