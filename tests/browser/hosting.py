"""Pages that show one instrument as those of `make site` do, served as a plain server does."""

import functools
import http.server
import shutil
import threading
from contextlib import contextmanager

from lab import ROOT

STATIC = ROOT / "build" / "site" / "_static"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>{name}</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ margin: 16px auto; max-width: 736px; padding: 0 12px; background: Canvas; color: CanvasText; }}
  {style}
</style>
{instrument}
<script defer src="network.js"></script><script defer src="instruments.js"></script></html>"""

# What a screen reader would find without a name.
NAMELESS = """() => [...document.querySelectorAll('.nin-instrument :is(button, input, select, [tabindex])')]
    .filter(part => part.checkVisibility())
    .filter(part => !(part.ariaLabel || part.innerText.trim() || part.labels?.[0]?.innerText.trim()))
    .map(part => part.outerHTML.slice(0, 100))"""
POOR = """() => [...document.querySelectorAll('.nin-instrument :is(p, span, b, h4, figcaption, button, text)')]
    .filter(part => part.checkVisibility())
    .filter(part => [...part.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
    .map(part => {
        const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
        const over = (ground, colour) => {
            context.fillStyle = `rgb(${ground.join()})`; context.fillRect(0, 0, 1, 1);
            context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
            return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        const light = colour => colour.map(level => level / 255)
            .map(level => level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4)
            .reduce((sum, level, i) => sum + level * [0.2126, 0.7152, 0.0722][i], 0.05);
        const line = []; for (let node = part; node; node = node.parentElement) line.unshift(node);
        const colour = node => getComputedStyle(node).backgroundColor;
        const ground = line.reduce((under, node) => over(under, colour(node)), [255, 255, 255]);
        const style = getComputedStyle(part);
        const ink = over(ground, part.namespaceURI.includes('svg') ? style.fill : style.color);
        const both = [light(ink), light(ground)];
        return [Math.max(...both) / Math.min(...both), part.textContent];
    })
    .filter(([ratio]) => ratio < 4.5)"""
# What a reader does time and again, the {k}th time, and what shows then that a network has answered.
ACTS = {
    "where_it_looks": (
        "root.querySelectorAll('.nin-thumbnails button')[{k} % 20].click()",
        "[...root.querySelectorAll('.nin-value')].map(part => part.innerText).join()",
    ),
    "shift_test": (
        """root.querySelector('.nin-drag').dispatchEvent(
            new PointerEvent('pointermove', {{clientX: 300 - 2 * {k}, clientY: 60, buttons: 1}}))""",
        "[...root.querySelectorAll('.nin-share i')].map(part => part.style.width).join()",
    ),
    "journey": (
        "root.querySelectorAll('.nin-thumbnails button')[{k} % 20].click()",
        "[...root.querySelectorAll('.nin-column')].map(part => part.getAttribute('d')).join()",
    ),
}
# One such event, and the frames and milliseconds until one is painted that shows the answer.
ANSWER = """async (root, [act, shown]) => {
    const painted = () => new Promise(done => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    const text = new Function('root', `return ${shown}`), before = text(root), start = performance.now();
    let frames = 0;
    new Function('root', act)(root);
    for (; text(root) === before && performance.now() < start + 20000; frames++) await painted();
    return {frames, ms: performance.now() - start};
}"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves, and says nothing."""

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def served(folder):
    """Serve a folder, and give its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        server.handle_error = lambda *_: None  # a page that is closed reads no further
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_pages(folder, instruments, network=True):
    """Write a page of each instrument into `folder`, with the scripts and, unless told otherwise, the networks."""
    from stills import hosted

    for script in ("network.js", "instruments.js"):
        shutil.copy(STATIC / script, folder)
    if network:
        shutil.copytree(STATIC / "network", folder / "network")
    for each in instruments:
        page = PAGE.format(name=each.module, style=each._css, instrument=hosted(each))
        (folder / f"{each.module}.html").write_text(page, encoding="utf-8")


def sweep(page, box, count, row, back=False):
    """Drag over `count` places from the left to the right of a box, or back; row: how far below its top, 0 to 1."""
    places = [box["x"] + 8 + i * (box["width"] - 16) / (count - 1) for i in range(count)]
    for i, place in enumerate(reversed(places) if back else places):
        page.mouse.move(place, box["y"] + row * box["height"])
        if i == 0:
            page.mouse.down()
        page.wait_for_timeout(30)
    page.mouse.up()


def answers(root, name, count):
    """Return of so many events in the instrument `root` {frames, ms} until its answer is painted.

    Where it looks runs at 224 pixels, the others at the 195 of their training. The first answer, for which a page
    fetches the networks, is none of them.
    """
    act, shown = ACTS[name]
    if name == "where_it_looks":
        root.get_by_role("slider").fill("224")
    if name == "shift_test":
        stage = root.locator(".nin-drag")
        stage.evaluate("stage => { stage.setPointerCapture = () => {}; }")  # these events are of no real pointer
        stage.dispatch_event("pointerdown", {"clientX": 300, "clientY": 60})
    return [root.evaluate(ANSWER, [act.format(k=7 + k), shown]) for k in range(count + 1)][1:]
