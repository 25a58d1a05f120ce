"""One JupyterLab and one browser for all tests here; `make test-browser` runs them, `make test` does not."""

import pytest
from playwright.sync_api import expect, sync_playwright

from chromium import find
from lab import ANSWER, Notebook, Server

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


def pytest_collection_modifyitems(items):
    """Run the tests of one notebook one after another; those of test_notebooks.py, which look at its errors, last."""
    items.sort(key=lambda item: item.callspec.params.get("notebook", "") if hasattr(item, "callspec") else "")
