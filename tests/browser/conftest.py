"""One JupyterLab and one browser for all tests here; `make test-browser` runs them, `make test` does not."""

import sys

import pytest
from playwright.sync_api import expect, sync_playwright

from chromium import find
from hosting import served, write_pages
from lab import ANSWER, ROOT, Notebook, Server

sys.path.insert(0, str(ROOT / "tools"))
from stills import examples

# As root, in a container, Chromium's own sandbox has nothing to stand on; and nothing here is fetched from elsewhere.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
WINDOW = {"width": 1280, "height": 1400}
expect.set_options(timeout=1000 * ANSWER)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """JupyterLab on a copy of the notebooks."""
    with Server(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def browser():
    """A Chromium: the one that is installed, or Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=[*FLAGS, "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def notebooks(server, browser):
    """A function from a name to that notebook after Run All; one is open at a time, for each kernel holds memory."""
    opened = {}

    def close():
        for notebook in opened.values():
            notebook.page.close()
            server.shut_kernels_down()
        opened.clear()

    def get(name):
        if name not in opened:
            close()
            opened[name] = notebook = Notebook(browser.new_page(viewport=WINDOW), server, name)
            notebook.open()
            notebook.run_all()
        return opened[name]

    yield get
    close()


@pytest.fixture
def notebook(request, notebooks):
    """The notebook that a test names; the tests of one share the run."""
    return notebooks(request.param)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The address of a page of each instrument."""
    folder = tmp_path_factory.mktemp("site")
    write_pages(folder, examples().values())
    with served(folder) as address:
        yield address


@pytest.fixture
def watched(browser):
    """A function that makes a page; when the test ends, no error may be in its console."""
    pages, errors = [], []

    def watched(**options):
        page = browser.new_page(**options)
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append(page)
        return page

    yield watched
    for page in pages:
        page.close()
    assert not errors


@pytest.fixture
def visit(site, watched):
    """A function that opens the page of an instrument; when the test ends, no request may have left."""
    requests = []

    def visit(name, address=None, **options):
        page = watched(**{"viewport": {"width": 1280, "height": 1000}, **options})
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{address or site}/{name}.html")
        page.locator(".nin-instrument").wait_for()
        return page

    yield visit
    assert all(url.startswith((site, "blob:", "data:", "file:")) for url in requests)


def pytest_collection_modifyitems(items):
    """Run the tests of one notebook one after another; those of test_notebooks.py, which look at its errors, last."""
    items.sort(key=lambda item: item.callspec.params.get("notebook", "") if hasattr(item, "callspec") else "")
