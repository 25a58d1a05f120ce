"""The notebooks as Colab runs them: `make test-colab`, in an environment of its own that has Colab's versions.

Each starts with what Colab has, in an empty folder. A simulated google.colab is there before the first cell, so that
the set-up cell installs nin_helpers as it does on Colab, but for one thing: where git looks for GitHub, it finds a copy
of this repository.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
REPOSITORY = "someone/nin"
PACKAGES = Path(sys.prefix) / ".installed"  # what the environment has without us: from `uv pip freeze`, by the Makefile
TIMEOUT = 300


def run(*command):
    """Run a command and return what it prints."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True).stdout


def uv_pip(command, *arguments):
    return run(sys.executable, "-m", "uv", "pip", command, "--python", sys.executable, *arguments)


@pytest.fixture(scope="module")
def github(tmp_path_factory):
    """A folder that git takes for github.com; there is one repository in it, a copy of this one, stamped."""
    folder = tmp_path_factory.mktemp("github")
    with pytest.MonkeyPatch.context() as monkeypatch:
        settings = {"GLOBAL": os.devnull, "COUNT": "1", "KEY_0": f"url.{folder.as_uri()}/.insteadOf"}
        for name, value in {**settings, "VALUE_0": "https://github.com/"}.items():
            monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
        publish(folder / REPOSITORY)
        yield folder


def publish(copy):
    """Make `copy` a repository with one commit: the files here as they are now, with its address in them."""
    git = "git", "--git-dir", str(copy / ".git"), "--work-tree"
    run("git", "init", "--quiet", str(copy))
    run(*git, str(ROOT), "add", "--all", str(ROOT))
    run(*git, str(copy), "checkout-index", "--all", f"--prefix={copy}/")
    project = copy / "pyproject.toml"
    text = re.sub(r'(?m)^repository = ".*"', f'repository = "{REPOSITORY}"', project.read_text(encoding="utf-8"))
    project.write_text(text, encoding="utf-8")
    run(sys.executable, str(copy / "tools" / "stamp.py"))
    author = "-c", "user.name=Someone", "-c", "user.email=someone@example.org"
    run(*git, str(copy), *author, "commit", "--quiet", "--all", "--message", "Stamp")


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """A new machine of Colab's: its packages and no others, google.colab, and an empty working folder."""
    uv_pip("sync", str(PACKAGES))
    for folder in (tmp_path / "google" / "colab", tmp_path / "content"):
        folder.mkdir(parents=True)
    (tmp_path / "google" / "colab" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("NIN_PROFILE", "smoke")
    monkeypatch.chdir(tmp_path / "content")


def execute(path):
    """Return the notebook at `path`, executed, with a cell more that prints where nin_helpers is."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import nin_helpers\nprint(nin_helpers.__file__)"))
    loads = "--IPKernelApp.extensions=google.colab"
    try:
        NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", extra_arguments=[loads]).execute()
    finally:
        print(*(output.get("text") for output in notebook.cells[1].outputs))  # of the set-up, should something fail
    return notebook


def figures(notebook):
    """Return, for each figure that the notebook shows, whether it has a text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    return ["alt" in output.metadata.get("image/png", {}) for output in shown]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_installs_the_package_and_runs_to_its_end(name, github, colab):
    path = github / REPOSITORY / "notebooks" / f"{name}.ipynb"
    notebook = execute(path)
    _, *cells, where = (cell for cell in notebook.cells if cell.cell_type == "code")
    before, after = set(PACKAGES.read_text(encoding="utf-8").splitlines()), set(uv_pip("freeze").splitlines())
    assert before <= after, "what Colab has, its torch above all, is as it was"
    assert f"nin-helpers @ git+https://github.com/{REPOSITORY}@" in "\n".join(after - before)
    assert "site-packages" in where.outputs[0].text
    assert not [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert figures(notebook) == figures(nbformat.read(path, as_version=4))
