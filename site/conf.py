"""Sphinx's settings for `make site`: the chapter as pages, for those who have no kernel. Nothing is executed.

Sphinx reads copies in build/site-source, which lie to each other as the files of the repository do: so links between
them hold, and the buttons for Binder and Colab find the paths. What a page shows otherwise than JupyterLab does is
changed while it is read; the notebooks stay as they are.
"""

import json
import posixpath
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from site_notebooks import FOLD, for_a_page  # tools/ is on the path, see the Makefile
from sphinx import addnodes
from stamp import BRANCH, read_repository

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = read_repository()
GITHUB = f"https://github.com/{REPOSITORY}"

project = html_title = "Network in Network"
extensions = ["myst_nb"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"  # browsers typeset it by themselves, without a script from elsewhere
html_theme = "sphinx_book_theme"
html_static_path = ["site.css", "network.js", "instruments.js"]
html_css_files = ["site.css"]
# no modules: over file:// a browser would not load them
html_js_files = [(name, {"defer": "defer"}) for name in ("network.js", "instruments.js")]
html_favicon = "favicon.svg"
html_context = {"default_mode": "auto"}
html_use_index = False
html_theme_options = {
    "navbar_persistent": [],  # or sphinx-book-theme 1.4.0 has a second search, and no button opens its side bars
    "footer_content_items": [],
    "show_toc_level": 2,
}
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
    app.connect("html-page-context", leave_out_launch_buttons, priority=900)  # behind the theme, which adds them
    for change in (close_folds, describe_pictures, link_to_repository):
        app.connect("doctree-read", change)


def typeset(writer, node):
    """Write a formula as MathML; one that docutils can't read ends the build."""
    writer.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def leave_out_launch_buttons(app, pagename, templatename, context, doctree):
    """Offer no Binder and no Colab on the pages of the appendix: its environments are on the reader's own machine."""
    if pagename.startswith("notebooks/frameworks/"):
        buttons = context.get("header_buttons", [])
        context["header_buttons"] = [button for button in buttons if button.get("label") != "launch-buttons"]


def prepare(app, docname, source):
    """Change the text of a notebook, source[0], before MyST-NB reads it; keep the texts of its figures for later."""
    if docname.startswith("notebooks/"):
        notebook, app.env.temp_data["alts"] = for_a_page(docname.removeprefix("notebooks/"), json.loads(source[0]))
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
