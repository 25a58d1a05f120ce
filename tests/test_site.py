"""The pages of `make site`: what they show otherwise than the notebooks, the check of their links, the pins.

Building them needs Sphinx, which the tests do without: .ci/run and the workflow build them.
"""

import json
import re

import check_site
import exercises
import pytest
import site_notebooks as tool
import yaml
from packaging.requirements import Requirement
from repository import read


def markdown(*sources):
    return {"cells": [{"cell_type": "markdown", "source": source.splitlines(True)} for source in sources]}


# what is shown


@pytest.mark.parametrize(
    ("words", "said"), [({}, {}), ({"size": "boyut", "not said": "yok"}, {"words": {"size": "boyut"}})]
)
def test_an_instrument_is_its_still_its_state_and_its_words_and_the_set_up_goes(words, said):
    picture = {"output_type": "display_data", "data": {"image/png": "aGk="}, "metadata": {"image/png": {"alt": "a"}}}
    data = {tool.WIDGET: {"model_id": "1"}, "text/plain": "a <b>", "image/png": "aGk="}
    instrument = {"output_type": "display_data", "data": data, "metadata": {"image/png": {"alt": "a <b>"}}}
    printed = {"output_type": "stream", "name": "stdout", "text": "1"}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "on google.colab too"},
        {"cell_type": "code", "source": ["import sys\n", 'if "google.colab" in sys.modules: pass'], "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": "show()", "outputs": [picture, instrument, printed]},
    ]
    model = {"state": {"size": 3, "_esm": "code </script>", "_model_name": "AnyModel"}}
    metadata = {"widgets": {tool.STATE: {"state": {"1": model}}}, "kernelspec": {}}
    notebook, texts = tool.for_a_page("09_new", {"metadata": metadata, "cells": cells}, words=words)
    assert notebook["metadata"] == {"kernelspec": {}} and texts == ["a"]
    assert notebook["cells"][0] == cells[0]
    first, still, last = notebook["cells"][1]["outputs"]
    assert (first, last) == (picture, printed) and set(still["data"]) == {"text/html"}
    html = still["data"]["text/html"]
    assert '<img alt="a &lt;b&gt;" src="data:image/png;base64,aGk=">' in html and html.count("</script>") == 1
    state = re.search(r'<script type="application/json">(.*)</script>', html)[1]
    assert json.loads(state) == {"size": 3, "_esm": "code </script>", **said}


@pytest.mark.parametrize(("source", "what"), [("x = 1\nassert x", "check"), ("assertion = 1", "code")])
def test_a_folded_cell_says_what_it_hides(source, what):
    cell = {"cell_type": "code", "metadata": {"tags": ["hide-input"]}, "source": source, "outputs": []}
    for shown in (f"Show the {what}", "Göster"):
        tool.for_a_page("09_new", {"metadata": {}, "cells": [cell]}, words={f"Show the {what}": shown})
        assert cell["metadata"]["mystnb"] == {"code_prompt_show": shown, "code_prompt_hide": f"Hide the {what}"}


def test_a_fold_opens_where_the_solution_begins():
    tasks = markdown("# 4\n\nFirst.", "Help.\n\n## 1 · One\n\nDo this.\n\nAnd that.", "## 2 · Two\n\nDo it.")
    solutions = markdown("# 5\n\nFirst.", "Intro.\n\n## 1 · One\n\nDo this.\n\nAnd that.\n\nDone.\n\nAnd that.",
                         "So it is.\n\n## 2 · Two\n\nDo it.", "## The end\n\nWell.")  # fmt: skip
    tool.fold_solutions(solutions, tasks, "Çözüm")
    fold = '<details class="solution"><summary>Çözüm</summary>'
    assert [tool.text(cell) for cell in solutions["cells"]] == [
        "# 5\n\nFirst.",
        f"Intro.\n\n## 1 · One\n\nDo this.\n\nAnd that.\n\n{fold}\n\nDone.\n\nAnd that.",
        f"So it is.\n\n## 2 · Two\n\nDo it.\n\n{fold}",
        "## The end\n\nWell.",
    ]


@pytest.mark.parametrize("name", exercises.SOLUTIONS)
def test_each_exercise_of_the_chapter_gets_one_fold(name):
    notebook = json.loads(read("notebooks", f"{name}.ipynb"))
    text = "\n\n".join(tool.text(cell) for cell in tool.prose(tool.for_a_page(name, notebook)[0]))
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [section.count(tool.FOLD) for section in sections] == [section[0].isdigit() for section in sections]
    # the task can be read, and whatever was measured is folded
    assert all(len(section.partition(tool.FOLD)[0]) < 700 for section in sections if section[0].isdigit())


# links


@pytest.fixture
def site(tmp_path):
    """A site of three pages without a mistake."""
    links = ["b.html#äh", "#top", "#", "sub/", "https://example.org/gone"]
    body = "".join(f'<a href="{link}">there</a>' for link in links)
    (tmp_path / "a.html").write_text(f'<h1 id="top">A</h1>{body}<img src="a.png" alt="a">', "utf-8")
    (tmp_path / "b.html").write_text('<p id="äh"><a href="a%2ehtml?highlight=x">a</a>', "utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text('<a href="../a.html">a</a>', "utf-8")
    (tmp_path / "a.png").touch()
    return tmp_path


def test_a_site_whose_links_hold_passes_and_one_without_pages_does_not(site, capsys):
    assert check_site.main([str(site)]) == 0 and capsys.readouterr().out == "3 pages checked, 0 mistakes\n"
    assert check_site.main([str(site / "no pages")]) == 1


@pytest.mark.parametrize(
    ("tag", "mistake"),
    [
        ('<a href="c.html">', "a link to no file: c.html"),
        ('<script src="c.js"></script>', "a link to no file: c.js"),
        ('<a href="../../outside.html">', "a link to no file: ../../outside.html"),
        ('<a href="../b.html#no">', "a link to no anchor: ../b.html#no"),
        ('<img src="../a.png">', "a picture without a text: ../a.png"),
        ('<img src="../a.png" alt="">', "a picture without a text: ../a.png"),
    ],
)
def test_a_mistake_is_named_with_its_page(site, capsys, tag, mistake):
    (site / "sub" / "index.html").write_text(tag, "utf-8")
    assert check_site.main([str(site)]) == 1
    assert capsys.readouterr().out == f"sub/index.html: {mistake}\n3 pages checked, 1 mistakes\n"


# the build


def pinned(*path):
    """Return {name: its specifiers} of a file of requirements."""
    lines = [line for line in read(*path).splitlines() if not line.startswith("#")]
    found = {}
    for pin in map(Requirement, lines):
        found.setdefault(pin.name.lower(), set()).add(str(pin.specifier))
    return found


def test_pins_are_exact_and_those_of_the_chapter_hold_here_too():
    chapter, pins = pinned("requirements.txt"), pinned("site", "requirements.txt")
    assert {"sphinx", "myst-nb", "sphinx-book-theme"} <= set(pins)
    assert all(re.fullmatch(r"==[^*,]+", version) for versions in pins.values() for version in versions)
    assert all(pins[name] <= chapter[name] for name in set(pins) & set(chapter))


def test_workflow_builds_with_make_and_may_no_more_than_publish():
    workflow = yaml.safe_load(read(".github", "workflows", "site.yml"))
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    runs = [step["run"] for step in build["steps"] if "run" in step]
    assert runs == ["python tools/stamp.py", "make site"] and build["steps"][-1]["with"] == {"path": "build/site"}
    assert workflow["permissions"] == {"contents": "read"} and "permissions" not in build
    assert publish["permissions"] == {"pages": "write", "id-token": "write"} and publish["needs"] == "build"
