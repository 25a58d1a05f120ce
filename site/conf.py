"""Sphinx's settings for `make site`: the chapter as pages, for those who have no kernel. Nothing is executed.

tools/build_site.py runs it once for each language, which NIN_LANGUAGE names. Sphinx reads copies in build/site-source,
which lie to each other as the files of the repository do: so links between them hold, and the buttons for Binder and
Colab find the paths. What a page shows otherwise than JupyterLab does is changed while it is read; the notebooks stay
as they are.
"""

import json
import os
import posixpath
from pathlib import Path

from catalogues import LANGUAGES, ROOT, notebook_names  # tools/ is on the path, see tools/build_site.py
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from site_languages import SEARCH, add_search
from site_notebooks import FOLD, for_a_page
from sphinx import addnodes
from stamp import BRANCH, read_repository
from translated import tag, words_of

LANGUAGE = os.environ["NIN_LANGUAGE"]  # "" is English
WORDS = words_of(LANGUAGE)
TRANSLATED = {"index", *(f"notebooks/{name}" for name in notebook_names())}
REPOSITORY = read_repository()
GITHUB = f"https://github.com/{REPOSITORY}"

language = LANGUAGE or "en"
locale_dirs = ["locale"]
html_search_language = SEARCH.get(LANGUAGE, language)
project = html_title = "Network in Network"
extensions = ["myst_nb"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"  # browsers typeset it by themselves, without a script from elsewhere
html_theme = "sphinx_book_theme"
html_static_path = ["site.css", "../nin_helpers/instruments/style.css", "network.js", "instruments.js"]
html_css_files = ["site.css", "style.css"]
# no modules: over file:// a browser would not load them
html_js_files = [
    ("network.js", {"defer": "defer", "data-networks": "../../_static/network/" if LANGUAGE else "network/"}),
    ("instruments.js", {"defer": "defer"}),
]
html_favicon = "favicon.svg"
html_use_index = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system; without it the console has an error
templates_path = ["."]
html_theme_options = {
    "article_header_end": ["languages.html", "article-header-buttons.html"],
    "navbar_persistent": [],  # or sphinx-book-theme 1.4.0 has a second search, and no button opens its side bars
    "footer_content_items": [],
    "show_toc_level": 2,
}
if "Search..." in WORDS:
    html_theme_options["search_bar_text"] = WORDS["Search..."]
if REPOSITORY:  # a button without an address would lead nowhere
    html_theme_options |= {
        "repository_url": GITHUB,
        "repository_branch": BRANCH,
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def setup(app):
    """Connect what is below with Sphinx; texts marked `only published` are shown if there is an address."""
    if REPOSITORY:
        app.tags.add("published")
    app.add_html_math_renderer("mathml", inline_renderers=(typeset, None), block_renderers=(typeset, None))
    app.connect("source-read", prepare)
    add_search(app)
    app.connect("html-page-context", mend_launch_buttons, priority=900)  # behind the theme, which adds them
    app.connect("html-page-context", link_languages)
    for change in (close_folds, describe_pictures, link_to_repository):
        app.connect("doctree-read", change)


def typeset(writer, node):
    """Write a formula as MathML; one that docutils can't read ends the build."""
    writer.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def mend_launch_buttons(app, pagename, templatename, context, doctree):
    """Let Binder and Colab open the notebook of the page's language; the appendix's environments are not for them."""
    buttons = context.get("header_buttons", [])
    if pagename.startswith("notebooks/frameworks/"):
        context["header_buttons"] = [button for button in buttons if button.get("label") != "launch-buttons"]
    elif LANGUAGE and pagename in TRANSLATED:
        for button in (inner for outer in buttons for inner in outer.get("buttons", [])):
            if button.get("url", "").startswith("https:"):
                button["url"] = button["url"].replace(
                    pagename, pagename.replace("notebooks/", f"notebooks/{LANGUAGE}/")
                )


def link_languages(app, pagename, templatename, context, doctree):
    """Offer the same page in each language; of one that is not translated, say so on it."""
    here = posixpath.dirname(posixpath.join(LANGUAGE, pagename))
    pages = {
        code: posixpath.relpath(posixpath.join(code, f"{pagename}.html"), here or ".") for code in ("", *LANGUAGES)
    }
    context["languages"] = [
        {"href": pages[code], "tag": tag(code) or "en", "name": name, "here": code == LANGUAGE}
        for code, name in {"": "English", **LANGUAGES}.items()
    ]
    if pagename in TRANSLATED:
        links = [f'<link rel="alternate" hreflang="{it["tag"]}" href="{it["href"]}">' for it in context["languages"]]
        context["metatags"] = "\n".join([context.get("metatags", ""), *links])
    elif LANGUAGE and doctree:
        note = WORDS.get("This page is in English only.", "This page is in English only.")
        context["body"] = f'<p class="english-only">{note}</p><div lang="en">{context["body"]}</div>'


def prepare(app, docname, source):
    """Change the text of a notebook, source[0], before MyST-NB reads it; keep the texts of its figures for later."""
    if docname.startswith("notebooks/"):
        name, folder = docname.removeprefix("notebooks/"), Path(app.srcdir) / "notebooks"
        notebook, app.env.temp_data["alts"] = for_a_page(name, json.loads(source[0]), folder, WORDS)
        source[0] = json.dumps(notebook)


def close_folds(app, doctree):
    """Close each fold where its section ends: the cells and headings in between are parts of it."""
    for node in list(doctree.findall(nodes.raw)):
        if FOLD in node.astext():
            node.parent.append(nodes.raw("", "</details>", format="html"))


def describe_pictures(app, doctree):
    """Give each figure the text that `nin_helpers.plots.show` has put beside it, which MyST-NB 1.4 does not read."""
    figures = [node for node in doctree.findall(nodes.container) if node.get("mime_type") == "image/png"]
    for figure, alt in zip(figures, app.env.temp_data.get("alts", []), strict=True):
        figure[0]["alt"] = alt


def link_to_repository(app, doctree):
    """Lead a link to what only the repository has there; while that has no address, leave the link's text."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        folder = posixpath.dirname(app.env.docname)
        path = posixpath.normpath(posixpath.join(folder, node["reftarget"]))
        # MyST has looked for a page and for a file already; what is nowhere makes the build fail later
        if node["refdomain"] != "doc" and (ROOT / path.partition("#")[0]).exists():
            address = nodes.reference("", "", *node.children, refuri=f"{GITHUB}/blob/{BRANCH}/{path}")
            node.replace_self(address if REPOSITORY else node.children)
