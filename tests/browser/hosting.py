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
