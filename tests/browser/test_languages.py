"""The other languages in a browser: a page of each, its switcher and search, and a notebook in JupyterLab."""

import json
import re

import pytest

from lab import ROOT, SCREENSHOTS

SITE = ROOT / "build" / "site"
LANGUAGES = {"tr": "Türkçe", "ja": "日本語", "id": "Bahasa Indonesia", "fr": "Français", "zh_CN": "简体中文"}
PAGE, NOTEBOOK = "notebooks/02_output_shapes.html", "02_output_shapes"
CHANGED = "(text) => document.querySelector('#search-results')?.innerText.includes(text)"


@pytest.fixture(params=LANGUAGES)
def language(request):
    """A language's code, such as zh_CN."""
    return request.param


@pytest.fixture
def visit(watched):
    """A function that opens a page of the site in a window so wide."""

    def visit(path, width):
        page = watched(viewport={"width": width, "height": 900})
        page.goto((SITE / path).as_uri())
        return page

    return visit


def title(language):
    """Return the heading of the page in the language, as the notebook has it."""
    path = ROOT / "notebooks" / language / f"{NOTEBOOK}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "".join(cells[0]["source"]).partition("\n")[0].removeprefix("# ")


def languages_of(page):
    """Open the switcher, and return its links."""
    page.locator(".dropdown-languages button").click()
    return page.locator(".dropdown-languages a")


def test_a_phone_shows_a_page_whole(visit, language):
    page = visit(f"{language}/{PAGE}", 390)
    assert page.locator("h1").first.inner_text().startswith(title(language))
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"page_{language}_390.png")
    assert languages_of(page).last.bounding_box()["x"] >= 0
    page.screenshot(path=SCREENSHOTS / f"page_{language}_switcher.png")


def test_the_switcher_leads_to_the_same_page(visit, language):
    page = visit(f"{language}/{PAGE}", 1280)
    page.screenshot(path=SCREENSHOTS / f"page_{language}.png")
    assert page.locator("html").get_attribute("lang") == language.replace("_", "-")
    links = languages_of(page)
    assert links.all_inner_texts() == ["English", *LANGUAGES.values()]
    assert page.locator(".dropdown-languages [aria-current]").inner_text() == LANGUAGES[language]
    there = {
        link.get_attribute("hreflang"): link.evaluate("link => link.href") for link in (links.nth(i) for i in range(6))
    }
    expected = {"en": PAGE, **{code.replace("_", "-"): f"{code}/{PAGE}" for code in LANGUAGES}}
    assert there == {code: (SITE / path).as_uri() for code, path in expected.items()}
    alternates = page.locator("link[rel=alternate]")
    assert {link.get_attribute("hreflang") for link in (alternates.nth(i) for i in range(6))} == set(expected)
    links.first.click()
    page.wait_for_url((SITE / PAGE).as_uri())
    languages_of(page).get_by_text(LANGUAGES[language]).click()
    page.wait_for_url((SITE / language / PAGE).as_uri())


def test_a_page_that_is_in_english_only_says_so(visit, language):
    page = visit(f"{language}/notebooks/11_speed.html", 1280)
    assert page.locator(".english-only").inner_text() and page.locator("div[lang=en] h1").count()
    assert languages_of(page).first.evaluate("link => link.href") == (SITE / "notebooks" / "11_speed.html").as_uri()
    assert not page.locator("link[rel=alternate][hreflang]").count()


def test_a_word_of_a_heading_is_found(visit, browser, language):
    heading = title(language).partition(" · ")[2]
    word = max(re.findall(r"[^\W\d_]+", heading), key=len)
    page = browser.new_page()  # the console says that a page's summary can't be fetched over file://
    page.goto(f"{(SITE / language / 'search.html').as_uri()}?q={word}")
    page.wait_for_function(CHANGED, arg=heading, timeout=20_000)
    page.close()


@pytest.mark.parametrize("notebook", [f"{code}/{NOTEBOOK}" for code in LANGUAGES], indirect=True)
def test_a_notebook_runs_to_the_bottom(notebook):
    assert not [output for output in notebook.outputs() if output["output_type"] == "error"]
    assert [cell["count"] for cell in notebook.ran] == list(range(1, len(notebook.ran) + 1))
    language = notebook.name.partition("/")[0]
    assert title(language) in notebook.page.locator(".jp-Notebook h1").first.inner_text()
    notebook.page.screenshot(path=SCREENSHOTS / f"notebook_{language}.png")
    assert not notebook.errors and not notebook.kernel_errors()
