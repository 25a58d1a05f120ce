"""Check the pages that `make site` has built: links inside the site lead to a file and an anchor, pictures have a text.

Our own forty lines, for LinkChecker, the tool for this, becomes the user nobody when root runs it, as in a container,
and its check of anchors is known to err.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page has: the names that links can lead to, its links, and the pictures that have no text."""

    def __init__(self, path):
        super().__init__()
        self.names, self.links, self.mute = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        """Note what a tag adds."""
        values = dict(attributes)
        self.names |= {values[key] for key in ("id", "name") if values.get(key)}
        self.links += [values[key] for key in ("href", "src") if values.get(key)]
        if tag == "img" and not values.get("alt"):
            self.mute.append(values.get("src"))


def main(arguments=None):
    """Check the site in the folder that is named; print what is wrong, and return 1 if anything is."""
    folder = Path((arguments or sys.argv[1:])[0]).resolve()
    paths = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    pages = {path: Page(path) for path in paths}
    wrong = [f"{path.relative_to(folder)}: {what}" for path in pages for what in problems(path, pages, folder)]
    print("\n".join([*wrong, f"{len(pages)} pages checked, {len(wrong)} mistakes"]))
    return 1 if wrong or not pages else 0


def problems(path, pages, folder):
    """Return what is wrong with the page at `path`."""
    wrong = [f"a picture without a text: {source}" for source in pages[path].mute]
    for link in dict.fromkeys(pages[path].links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue  # it leads out of the site
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file() or not target.is_relative_to(folder):
            wrong.append(f"a link to no file: {link}")
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
            wrong.append(f"a link to no anchor: {link}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
