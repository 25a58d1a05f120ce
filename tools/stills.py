"""Take the stills of the instruments, `make stills`: what a notebook shows where no script runs, as on GitHub.

Each is a picture of the instrument itself, as it is at first in the chapter, with the sentence under it and, in its
"fingerprint", what it is a picture of; a test fails when that is no longer so.
"""

import io
import sys
from pathlib import Path

from PIL import Image, PngImagePlugin
from site_notebooks import embed

from nin_helpers import instruments
from nin_helpers.experiments import load_result
from nin_helpers.instruments.base import FOLDER, fingerprint, own_state

ROOT = Path(__file__).resolve().parent.parent
PAGE = """<!doctype html><meta charset="utf-8"><style>{style}</style>
<body style="background: #fff; color: #111; margin: 16px; width: 736px">
{instrument}<script>{script}</script>"""


def examples():
    """Return each instrument as it is at first, by the name of its module."""
    made = (
        instruments.ShapeLadder(),
        instruments.PixelPerceptron(),
        instruments.HeadCalculator(),
        instruments.CostTable(),
        instruments.StuckOrLearning(load_result("first_steps")),
        instruments.WhereItLooks(),
        instruments.ShiftTest(),
        instruments.Journey(),
    )
    return {instrument.module: instrument for instrument in made}


def page_of(instrument):
    """Return an HTML page that shows nothing but an instrument."""
    script = (ROOT / "site" / "instruments.js").read_text(encoding="utf-8")
    return PAGE.format(style=instrument._css, instrument=hosted(instrument), script=script)


def hosted(instrument):
    """Return the element of a page in which instruments.js makes an instrument live."""
    return embed({**own_state(instrument), "_esm": instrument._esm})


def take(browser, instrument):
    """Write the still of an instrument."""
    page = browser.new_page(viewport={"width": 768, "height": 900})
    page.set_content(page_of(instrument))
    shown = page.locator(".nin-instrument")
    shown.wait_for()
    picture = Image.open(io.BytesIO(shown.screenshot()))
    notes = PngImagePlugin.PngInfo()
    notes.add_text("fingerprint", fingerprint(instrument))
    notes.add_itxt("alt", shown.locator(".nin-result").inner_text())
    path = FOLDER / "stills" / f"{instrument.module}.png"
    path.parent.mkdir(exist_ok=True)
    picture.convert("RGB").quantize(64).save(path, pnginfo=notes, optimize=True)
    page.close()
    return path


def main():
    """Take all stills, in the browser of the browser tests."""
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    from playwright.sync_api import sync_playwright

    from chromium import find

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        for instrument in examples().values():
            print(take(browser, instrument))
    return 0


if __name__ == "__main__":
    sys.exit(main())
