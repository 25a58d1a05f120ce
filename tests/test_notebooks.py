"""The notebooks' own rules; `pytest --nbval` then runs them and compares their outputs."""

import ast
import base64
import importlib.util
import io
import json
import re
import sys
from types import SimpleNamespace

import exercises
import jupytext
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image
from repository import ROOT

from nin_helpers.exercises import CHECKS

NOTEBOOKS = ROOT / "notebooks"
CHAPTER = sorted({path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.*")})
APPENDIX = sorted({f"frameworks/{path.stem}" for path in NOTEBOOKS.glob("frameworks/[a-z]*.[im]*")})  # .ipynb, .md
NAMES = CHAPTER + APPENDIX
TAGS = {"nbval-ignore-output", "nbval-skip", "skip-execution", "hide-input"}
EXERCISES, *SOLUTIONS = exercises.NAMES
MAIN_LINE = [name for name in CHAPTER if name <= EXERCISES]
MACHINE_PATH = re.compile(r"(?<![\w./~])/(?:work|root|home|tmp|content|Users)\b|\b[A-Z]:\\")
CODE_LINES, CLASS_LINES, PROSE_WORDS = 15, 40, 120


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    """The name of a notebook, without its suffix."""
    return request.param


@pytest.fixture(scope="module")
def source(name):
    """The notebook that people edit, from its .md."""
    return jupytext.read(NOTEBOOKS / f"{name}.md")


@pytest.fixture(scope="module")
def notebook(name):
    """The executed notebook, from its .ipynb."""
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def first_line(cell):
    return cell.source.strip().partition("\n")[0]


def cells(notebook, kind="code"):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def text(notebook, kind="markdown"):
    return "\n\n".join(cell.source for cell in cells(notebook, kind))


def count_words(text):
    """Return how many words are read, those in the addresses of links not among them."""
    return len(re.findall(r"\S*\w\S*", re.sub(r"\]\([^)]*\)", "]", text)))


def output_text(cell):
    """Return what the cell put out, but for its pictures, whose encoding can spell anything."""
    return re.sub(r'"image/png": "[^"]*"', "", json.dumps(cell.get("outputs", []), ensure_ascii=False))


def prose(text):
    """Return the parts of a cell's text that are read in one go, without tables: its body, and each folded answer."""
    text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    folded = re.findall(r"<details>.*?</details>", text, re.DOTALL)
    return [re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL), *folded]


def test_there_are_notebooks():
    assert CHAPTER and len(APPENDIX) == 5


def test_pair_has_the_same_cells(source, notebook):
    md, ipynb = (
        [(cell.cell_type, cell.source, sorted(tags(cell))) for cell in pair.cells] for pair in (source, notebook)
    )
    assert ipynb == md, "run make notebooks"


def test_pair_is_declared_and_names_no_machine(name, source, notebook):
    framework = re.search("nin_in_(.*)|$", name)[1]
    kernel = (f"nin-{framework}", f"NiN in {framework}") if framework else ("python3", "Python 3")
    for pair in (source, notebook):
        assert pair.metadata.jupytext.formats == "ipynb,md:myst"
        assert (pair.metadata.kernelspec.name, pair.metadata.kernelspec.display_name) == kernel
    assert notebook.metadata.language_info == {"name": "python", "pygments_lexer": "ipython3"}
    assert all("execution" not in cell.metadata for cell in notebook.cells), "times change with every run"


def test_code_was_executed_in_order(notebook):
    counts = [cell.execution_count for cell in cells(notebook) if "skip-execution" not in tags(cell)]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize(
    "unwanted", ['"output_type": "error"', '"name": "stderr"', r"STAND-IN|DIGITS \(stand-in", "image/svg|<svg"]
)
def test_no_output_is_an_error_a_warning_of_the_stand_in_or_svg(notebook, unwanted):
    assert not [first_line(cell) for cell in cells(notebook) if re.search(unwanted, output_text(cell))]


def test_nothing_names_a_path_of_a_machine(notebook):
    found = [MACHINE_PATH.search(cell.source + output_text(cell)) for cell in notebook.cells]
    assert not [match.group() for match in found if match]


def test_cells_are_short(source):
    for cell in source.cells:
        if cell.cell_type == "markdown":
            assert max(map(count_words, prose(cell.source))) <= PROSE_WORDS, first_line(cell)
        else:
            limit = CLASS_LINES if re.search(r"^class ", cell.source, re.MULTILINE) else CODE_LINES
            # the formatter sets the empty ones
            assert len(re.findall(r"^.*\S", cell.source, re.MULTILINE)) <= limit, first_line(cell)


def test_lines_of_code_fit_beside_the_file_browser(name, source):
    """At 1280 pixels, JupyterLab as it opens shows 105 characters of a line; the appendix wants a larger screen."""
    assert max(map(len, text(source, "code").splitlines())) <= (105 if name in CHAPTER else 120)


def test_opens_with_its_purpose_and_the_set_up(name, source):
    title = source.cells[0]
    assert title.cell_type == "markdown"
    heading = f"# {int(name[:2])} · " if name in CHAPTER else "# "
    phrases = [heading, "**You will do**", "**You will learn**", "**Time**"]
    places = [title.source.find(phrase) for phrase in phrases]
    assert places[0] == 0 and places == sorted(places), f"the first cell has {', '.join(phrases)}, in this order"
    if name in CHAPTER:  # the appendix's have environments of their own, and are not for Colab
        assert set_up_cell(source) == set_up_cell(jupytext.read(NOTEBOOKS / f"{CHAPTER[0]}.md"))


def set_up_cell(notebook):
    """Return the source of a notebook's set-up cell, without the repository's address."""
    return re.sub(r'REPOSITORY = "[^"]*"', 'REPOSITORY = ""', notebook.cells[1].source)


def run_set_up(repository):
    """Run the set-up cell, and return what it gives to %pip."""
    source, asked = set_up_cell(jupytext.read(NOTEBOOKS / f"{CHAPTER[0]}.md")), []
    code = TransformerManager().transform_cell(source.replace('REPOSITORY = ""', f'REPOSITORY = "{repository}"'))
    shell = SimpleNamespace(run_line_magic=lambda *magic: asked.append(magic))
    exec(code, {"get_ipython": lambda: shell})
    return asked


def test_the_set_up_does_nothing_elsewhere():
    assert run_set_up("") == run_set_up("someone/nin") == []


@pytest.mark.parametrize("place", ["colab", "kaggle"])
def test_the_set_up_installs_where_it_must(monkeypatch, place):
    if place == "colab":
        monkeypatch.setitem(sys.modules, "google.colab", None)
    else:
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    wanted = "install --quiet git+https://github.com/{REPOSITORY} torch=={version}"
    assert run_set_up("someone/nin") == [("pip", wanted)]
    with pytest.raises(AssertionError, match="no public address"):
        run_set_up("")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssertionError, match="Turn on internet"):
        run_set_up("someone/nin")


def test_every_picture_has_a_text_and_links_to_files_lead_somewhere(name, source):
    assert not re.findall(r"!\[\s*\]|<img(?![^>]*\balt=\"[^\"]+\")", text(source))
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text(source))
    assert not [link for link in links if not (NOTEBOOKS / name).parent.joinpath(link).exists()]


def test_every_figure_has_a_text_and_a_sentence_after_it(notebook):
    for number, cell in enumerate(notebook.cells):
        # a cell that asserts a bound on what the figure shows may come first
        seen = (after for after in notebook.cells[number + 1 :] if after.cell_type == "markdown" or after.outputs)
        following = next(seen, None)
        figures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        for figure in figures:
            assert figure.metadata.get("image/png", {}).get("alt"), f"plots.show(figure, alt): {first_line(cell)}"
            picture = Image.open(io.BytesIO(base64.b64decode(figure.data["image/png"])))
            assert picture.mode == "P", "its colours are those of `chapter.lighten`"
        if figures:
            assert following and following.cell_type == "markdown", f"say what to see: {first_line(cell)}"


def test_tags_are_known_and_complete_and_what_is_folded_is_so_in_jupyterlab_and_on_the_pages(source):
    for cell in source.cells:
        assert set(tags(cell)) <= TAGS, first_line(cell)
        assert ("skip-execution" in tags(cell)) == ("nbval-skip" in tags(cell)), first_line(cell)
        assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == ("hide-input" in tags(cell))
        # as the .ipynb orders them; else the two differ for jupytext, and JupyterLab refuses to open the newer .ipynb
        assert list(cell.metadata) == sorted(cell.metadata), f":jupyter: before :tags: {first_line(cell)}"


@pytest.mark.parametrize("lesson", CHAPTER)
def test_a_lesson_teaches_where_it_is_open_and_proves_where_it_is_folded(lesson):
    code = cells(jupytext.read(NOTEBOOKS / f"{lesson}.md"))
    shown = [cell.source for cell in code if "hide-input" not in tags(cell)]
    asserting = [source for source in shown if re.search(r"^ *assert |^ *torch\.testing\.", source, re.MULTILINE)]
    assert len(shown) <= 35 and len(asserting) < len(shown) / 4
    assert not [source for source in asserting if "%" not in source and all(map(asserts, ast.parse(source).body))]


def asserts(statement):
    """Return whether a statement does nothing but assert, be it in a loop."""
    if isinstance(statement, (ast.For, ast.With, ast.If)):
        return all(map(asserts, statement.body))
    return isinstance(statement, ast.Assert) or ast.unparse(statement).startswith("torch.testing.")


def test_no_cell_looks_for_the_package(source):
    assert not re.findall(r"sys\.path|os\.chdir|^%cd", text(source, "code"), re.MULTILINE)


# exercises and solutions


def test_exercises_and_solutions_come_from_one_source():
    source = exercises.SOURCE.read_text(encoding="utf-8")
    for number, target in exercises.NOTEBOOKS.items():
        assert target.read_text(encoding="utf-8") == exercises.variant(source, number), "run make notebooks"


def sections(name):
    """Return {number of an exercise: the prose behind its heading, up to the next heading of this level}."""
    parts = re.split(r"^## ", text(jupytext.read(NOTEBOOKS / f"{name}.md")), flags=re.MULTILINE)[1:]
    return {part[0]: part.partition("\n")[2] for part in parts if part[0].isdigit()}


def test_each_exercise_says_how_hard_it_is_and_how_long_it_takes():
    found = sections(EXERCISES)
    assert list(found) == list("12345678")
    line = r"\n★{1,3} (easy|medium|hard) · \d+ minutes[^·\n]* · \[solution\]\(\w+\.ipynb\)\n"
    assert all(re.match(line, section) for section in found.values())


@pytest.mark.parametrize("name", SOLUTIONS)
def test_each_solution_has_its_task_its_answer_in_one_sentence_and_references(name):
    tasks = sections(EXERCISES)
    for number, section in sections(name).items():
        task, _, answer = section.partition("**In short:** ")
        assert task.strip() in tasks[number] and "(" + name in tasks[number]
        assert re.fullmatch(r"(?!.*[.?!] [A-Z]).*\w\.", answer.partition("\n\n")[0], re.DOTALL)
    assert "\n## References\n" in (NOTEBOOKS / f"{name}.md").read_text(encoding="utf-8")


def test_the_main_line_has_at_most_5500_words():
    """Without its code and its references."""
    prose = [cell for name in MAIN_LINE for cell in cells(jupytext.read(NOTEBOOKS / f"{name}.md"), "markdown")]
    texts = [cell.source for cell in prose if not re.match(r"(\*\*|## )References", cell.source)]
    assert 4000 < sum(map(count_words, texts)) <= 5500


@pytest.mark.parametrize("name", [EXERCISES, *SOLUTIONS])
def test_exercises_and_solutions_are_read_in_twenty_minutes(name):
    """A page of 2,000 words, with the code that is open but without the set-up."""
    source = jupytext.read(NOTEBOOKS / f"{name}.md")
    shown = [
        cell.source for cell in source.cells if "hide-input" not in tags(cell) and "google.colab" not in cell.source
    ]
    assert sum(map(count_words, shown)) <= 2000


def compared_text(name):
    """Return what the cells of a notebook print whose outputs nbval compares."""
    code = cells(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
    compared = [cell for cell in code if "nbval-ignore-output" not in tags(cell)]
    return "".join(output.get("text", "") for cell in compared for output in cell.outputs)


def checks(name):
    """Return the lines that the checks of a notebook print."""
    return re.findall(r"^\d\.\w+: .*", compared_text(name), re.MULTILINE)


def test_an_untouched_stub_is_not_attempted_and_a_solution_right():
    """nbval runs them again and compares."""
    values = ("1.recipe", "7.family", "8.network")  # the answers that are no function
    reasons = {check: "it is None" if check in values else "the function returns None" for check in CHECKS}
    assert checks(EXERCISES) == [f"{check}: not attempted yet ({reason})" for check, reason in reasons.items()]
    assert sorted(line for name in SOLUTIONS for line in checks(name)) == sorted(f"{check}: right" for check in CHECKS)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_measured_numbers_in_the_text_of_a_solution_are_those_of_the_files(name):
    """A number with a decimal point is a measured one: some cell that nbval compares prints it, from results/."""
    told = re.sub(r"\]\([^)]*\)|section \S+", "]", text(jupytext.read(NOTEBOOKS / f"{name}.md")))
    numbers = re.findall(r"(?<![\w./])\d+\.\d+(?![\w.])", told)
    assert set(numbers) <= set(re.findall(r"\d+\.\d+", compared_text(name)))
