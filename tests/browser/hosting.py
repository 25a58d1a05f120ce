"""Pages that show one instrument as those of `make site` do, served as a plain server does."""

import functools
import http.server
import json
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
</style>
<div class="nin-still"><script type="application/json">{state}</script></div>
<script defer src="network.js"></script><script defer src="instruments.js"></script></html>"""

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
# One such event, and the milliseconds until a frame is painted that shows the answer.
TIMED = """async (root, [act, shown]) => {
    const painted = () => new Promise(done => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    const text = new Function('root', `return ${shown}`), before = text(root), start = performance.now();
    new Function('root', act)(root);
    while (text(root) === before && performance.now() < start + 20000) await painted();
    return performance.now() - start;
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
    from nin_helpers.instruments.base import own_state

    for script in ("network.js", "instruments.js"):
        shutil.copy(STATIC / script, folder)
    if network:
        shutil.copytree(STATIC / "network", folder / "network")
    for each in instruments:
        state = json.dumps({**own_state(each), "_esm": each._esm, "_css": each._css}).replace("</", "<\\/")
        (folder / f"{each.module}.html").write_text(PAGE.format(name=each.module, state=state), encoding="utf-8")


def answer_times(root, name, count):
    """Return so many times, in milliseconds, from an event in the instrument `root` to the painted answer.

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
    return [root.evaluate(TIMED, [act.format(k=7 + k), shown]) for k in range(count + 1)][1:]
