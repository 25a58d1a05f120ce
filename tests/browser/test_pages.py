"""The pages of `make site` in a browser: nothing on them is cut off, and what is folded is closed."""

import pytest

from hosting import served
from lab import ROOT

SITE = ROOT / "build" / "site"
CLIPPED = """() => [...document.querySelectorAll('.bd-article :is(pre, table, img)')]
    .filter(element => element.checkVisibility() && !element.closest('.pst-scrollable-table-container'))
    .filter(element => {
        const cell = element.closest('.cell_output, .cell_input, .highlight') ?? element;
        return [element, cell].some(part => part.scrollWidth > part.clientWidth + 1);
    })
    .map(element => element.innerText.slice(0, 80) || element.src)"""
OPEN_ALL = "document.querySelectorAll('details').forEach(fold => fold.open = true)"


@pytest.fixture
def visit(browser):
    """A function that opens each page of the notebooks in a window so wide, and yields its name and the page."""
    paths = sorted(SITE.glob("notebooks/**/*.html"))
    assert len(paths) >= 10, "make site comes first"

    def visit(width):
        page = browser.new_page(viewport={"width": width, "height": 900})
        for path in paths:
            page.goto(path.as_uri())
            yield path.stem, page
        page.close()

    return visit


def test_nothing_is_cut_off_on_a_laptop(visit):
    clipped = {}
    for name, page in visit(1280):
        page.evaluate(OPEN_ALL)
        clipped[name] = page.evaluate(CLIPPED)
    assert not {name: parts for name, parts in clipped.items() if parts}


def test_a_phone_scrolls_a_page_only_downwards(visit):
    for name, page in visit(390):
        page.evaluate(OPEN_ALL)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_a_page_is_light_asks_nobody_else_and_shows_its_instruments(watched):
    """What a page fetches, as a plain server sends it, until an instrument asks a network."""
    with served(SITE) as address:
        heaviest = SITE.glob("*/notebooks/03_training.html")  # in the other languages
        for path in sorted([*SITE.glob("notebooks/[0-9]*.html"), *heaviest]):
            page, sizes = watched(), {}
            page.on("response", lambda response, sizes=sizes: sizes.setdefault(response.url, response))
            page.goto(f"{address}/{path.relative_to(SITE)}", wait_until="networkidle")
            sizes = dict(sizes)  # what comes from here on is none of the page's
            assert not page.locator(".nin-still").count(), path
            assert all(url.startswith((address, "data:", "blob:")) for url in sizes)
            weights = {url: len(each.body()) for url, each in sizes.items() if url.startswith(address) and each.ok}
            assert sum(weights.values()) < 1.5e6, (path, weights)
            page.close()


def test_folded_cells_are_closed_and_say_what_they_hide(visit):
    labels = set()
    for _, page in visit(1280):
        folds = page.locator("details.hide.above-input")
        labels |= set(folds.locator("summary .collapsed").all_text_contents())
        assert not page.locator("details[open]").count()
    assert "Show the check" in labels <= {"Show the check", "Show the code"}
