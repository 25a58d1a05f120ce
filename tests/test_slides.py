"""The slides: what is on them by rule, and that a deck asks nobody for anything. tests/browser looks at them."""

import re
from html.parser import HTMLParser

import pytest
import slides
from nbformat import v4

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAA+gAAAH0CAYAAAA="  # of 1000 × 500 pixels, says its header


def printed(text):
    return v4.new_output("stream", text=text)


def arranged(*cells):
    """Return type and text of each part of a deck; an output stands for its cell."""
    found = slides.arrange([v4.new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return [(cell.metadata.slideshow.slide_type, cell.source or "output") for cell in found]


def test_headings_begin_slides_and_long_prose_is_shortened():
    long = "## A\n\nFirst.\n\n" + "word " * 60 + "\n\n**Bold** stays."
    assert arranged("So.\n\n### B\n\n[Here](02.ipynb), [there](https://d2l.ai).", long) == [
        ("-", "So."),
        ("subslide", "### B\n\nHere, [there](https://d2l.ai)."),
        ("slide", "## A\n\nFirst.\n\n**Bold** stays."),
        ("notes", long),
    ]


def test_an_exercise_shows_its_stars_and_its_task():
    task = "## 7 · A family\n\n★★ medium · 40 minutes\n\nDesign three networks. " + "word " * 70
    assert arranged(f"{task}\n\nMore.") == [("slide", task.strip()), ("notes", f"{task}\n\nMore.")]


@pytest.mark.parametrize(
    "cell",
    [
        v4.new_markdown_cell("**References.** A paper."),
        v4.new_code_cell('import sys\nif "google.colab" in sys.modules: pass'),
        v4.new_code_cell("import torch\n\n_ = torch.manual_seed(0)"),
        v4.new_code_cell("assert x", metadata={"tags": ["hide-input"]}),
    ],
)
def test_what_says_nothing_to_an_audience_is_left_out(cell):
    assert arranged(cell) == []


def test_a_picture_hides_its_code_and_a_check_its_verdict():
    picture = v4.new_output("display_data", {"image/png": PICTURE})
    assert arranged(v4.new_code_cell("plot()", outputs=[picture])) == [
        ("-", "output"),
        ("notes", "```python\nplot()\n```"),
    ]
    assert slides.part_height(v4.new_code_cell(outputs=[picture])) == slides.PICTURE + slides.GAP
    code = 'check("1", mine)'
    assert arranged(v4.new_code_cell(code, outputs=[printed("not attempted")])) == [("-", code)]


def test_an_answer_is_not_on_the_slide_of_its_question():
    question = v4.new_code_cell("my_prediction = None\ncheck_prediction(my_prediction, 3)", outputs=[printed("?")])
    assert arranged("## A\n\nHow many?", question, "It is three.") == [
        ("slide", "## A\n\nHow many?"),
        ("notes", "```python\nmy_prediction = None\ncheck_prediction(my_prediction, 3)\n```"),
        ("subslide", "#### A"),
        ("-", "It is three."),
    ]


def test_what_has_no_room_goes_below():
    code = v4.new_code_cell("x = 1\n" * 20)
    tall = v4.new_code_cell("f()", outputs=[printed("line\n" * 28)])
    assert " ".join(kind for kind, _ in arranged("## A", code, code, tall)) == "slide - subslide - - subslide -"


def test_a_type_given_by_hand_holds():
    cell = v4.new_markdown_cell("## A\n\n" + "word " * 90, metadata={"slideshow": {"slide_type": "fragment"}})
    assert arranged(cell) == [("fragment", cell.source)]


class Loads(HTMLParser):
    """The addresses that a page loads by itself: those of links for people are not among them."""

    def __init__(self, page):
        super().__init__()
        self.found = re.findall(r"@import[^;]*|url\([^)]*\)", page)
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found += [value for key, value in attributes if key == "src" or (key == "href" and tag == "link")]


def test_a_deck_loads_nothing():
    assets = {file: f"/* {file} */" for _, _, files in slides.PACKAGES.values() for file in files}
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# A\n\n[there](https://d2l.ai) $x$")])
    page = slides.make_deck(notebook, assets)
    loads = Loads(page).found
    assert loads and not [load for load in loads if not re.match(r"(url\(['\"]?)?(data:|#)", load)]
    assert slides.as_address("/* es5/tex-svg.js */") in loads and "<title>A</title>" in page


def test_another_file_is_refused():
    with pytest.raises(OSError, match=r"a\.tgz has the SHA-512"):
        slides.verified(b"other", "abc", "a.tgz")
