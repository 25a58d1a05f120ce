"""The decks of `make slides` in a browser without network: each slide is there, whole, and large enough to read."""

import subprocess
import sys

import pytest

from lab import ROOT, SCREENSHOTS

DECKS = [path.stem for path in sorted((ROOT / "notebooks").glob("0[1-4]_*.ipynb"))]
SMALLEST = 0.7  # how much a slide that is too long may be made smaller
SLIDE = """() => {
    const slide = Reveal.getCurrentSlide(), frame = document.querySelector('.slides').getBoundingClientRect();
    const parts = [...slide.querySelectorAll('.jp-Cell *')].filter(part => !part.closest('.notes, mjx-assistive-mml'));
    const boxes = parts.map(part => part.getBoundingClientRect()).filter(box => box.width && box.height);
    const clipped = parts.filter(part => part.scrollWidth > part.clientWidth + 1 && part.matches('pre, table, p'));
    return {
        zoom: Number(slide.style.zoom), text: slide.innerText.trim().slice(0, 80), parts: boxes.length,
        out: boxes.some(box => box.right > frame.right + 1 || box.bottom > frame.bottom + 1) || clipped.length > 0,
        last: Reveal.isLastSlide(), formulas: slide.querySelectorAll('mjx-container svg').length,
    };
}"""


@pytest.fixture(scope="session")
def decks():
    """The folder with the decks, made now."""
    subprocess.run([sys.executable, ROOT / "tools" / "slides.py"], check=True)
    return ROOT / "build" / "slides"


@pytest.mark.parametrize("deck", DECKS)
def test_each_slide_is_whole_without_network(deck, decks, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.context.set_offline(True)
    wrong, slides = [], []
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and wrong.append(request.url))
    page.goto((decks / f"{deck}.html").as_uri())
    page.wait_for_function("window.Reveal?.isReady() && MathJax.startup.promise.then(() => true)")
    while not slides or not slides[-1]["last"]:
        page.evaluate("Reveal.next()") if slides else None
        page.wait_for_timeout(50)
        slides.append(page.evaluate(SLIDE))
        page.screenshot(path=SCREENSHOTS / f"slides_{deck}_{len(slides):02}.png")
    page.close()
    assert not wrong
    assert len(slides) >= 8
    assert not [slide for slide in slides if slide["out"] or slide["zoom"] < SMALLEST or not slide["parts"]]
