"""The notebooks as Colab runs them: `make test-colab`, in an environment of its own that has Colab's versions.

Each starts with what Colab has, in an empty folder. A simulated google.colab is there before the first cell, so that
the set-up cell installs nin_helpers as it does on Colab, but for one thing: where git looks for GitHub, it finds a copy
of this repository. Kaggle's machines are made from Colab's, and tell by a variable who they are.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
REPOSITORY = "someone/nin"
PACKAGES = Path(__file__).with_name("requirements.txt")
LOADS_COLAB = "--IPKernelApp.extensions=google.colab"
TIMEOUT = 300


def run(*command):
    """Run a command and return what it prints."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True).stdout


def uv_pip(command, *arguments):
    return run(sys.executable, "-m", "uv", "pip", command, "--python", sys.executable, *arguments)


@pytest.fixture
def github(tmp_path, monkeypatch):
    """What git finds where it looks for someone/nin on github.com: the files here as they are now, stamped."""
    folder = tmp_path / "github" / REPOSITORY
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)  # as in a workflow
    settings = {"GLOBAL": os.devnull, "COUNT": "1", "KEY_0": f"url.{(tmp_path / 'github').as_uri()}/.insteadOf"}
    for name, value in {**settings, "VALUE_0": "https://github.com/"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    git = "git", "--git-dir", str(folder / ".git"), "--work-tree"
    run("git", "init", "--quiet", str(folder))
    run(*git, str(ROOT), "add", "--all", str(ROOT))
    run(*git, str(folder), "checkout-index", "--all", f"--prefix={folder}/")
    run(sys.executable, str(folder / "tools" / "stamp.py"))
    commit(folder)
    return folder


def commit(folder):
    """Commit all changes in `folder`."""
    author = "-c", "user.name=Someone", "-c", "user.email=someone@example.org"
    run("git", "-C", str(folder), *author, "commit", "--quiet", "--all", "--message", "Stamp")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A new machine: Colab's packages and no others, and an empty working folder. Return what `uv pip freeze` says."""
    uv_pip("install", "--exact", "--requirement", str(PACKAGES), "uv")
    (tmp_path / "content").mkdir()
    monkeypatch.setenv("NIN_PROFILE", "smoke")
    monkeypatch.chdir(tmp_path / "content")
    return set(uv_pip("freeze").splitlines())


@pytest.fixture
def colab(machine, tmp_path, monkeypatch):
    """The machine as Colab's: with google.colab, which a kernel is to load."""
    (tmp_path / "google" / "colab").mkdir(parents=True)
    (tmp_path / "google" / "colab" / "__init__.py").touch()
    manager = "def enable_custom_widget_manager():\n    pass\n"  # which anywidget asks for
    (tmp_path / "google" / "colab" / "output.py").write_text(manager)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return machine


@pytest.fixture
def kaggle(machine, monkeypatch):
    """The machine as Kaggle's."""
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    return machine


def execute(path, *options):
    """Return the notebook at `path`, executed, with a cell more that prints where nin_helpers is."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import nin_helpers\nprint(nin_helpers.__file__)"))
    try:
        NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", extra_arguments=list(options)).execute()
    finally:
        print(*(output.get("text") for output in notebook.cells[1].outputs))  # of the set-up, should something fail
    return notebook


def check_installed(before):
    """Assert that nin_helpers came from GitHub, and that all else is as it was `before`, torch above all."""
    after = set(uv_pip("freeze").splitlines())
    assert before <= after
    assert f"nin-helpers @ git+https://github.com/{REPOSITORY}@" in "\n".join(after - before)


def figures(notebook):
    """Return, for each figure that the notebook shows, whether it has a text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    return ["alt" in output.metadata.get("image/png", {}) for output in shown]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_installs_the_package_and_runs_to_its_end(name, github, colab):
    path = github / "notebooks" / f"{name}.ipynb"
    notebook = execute(path, LOADS_COLAB)
    _, *cells, where = (cell for cell in notebook.cells if cell.cell_type == "code")
    check_installed(colab)
    assert "site-packages" in where.outputs[0].text
    assert not [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert figures(notebook) == figures(nbformat.read(path, as_version=4))


def test_on_kaggle_the_set_up_installs_the_same(github, kaggle):
    execute(github / "notebooks" / f"{NAMES[0]}.ipynb")
    check_installed(kaggle)


def test_without_internet_the_set_up_says_what_to_switch_on(github, kaggle, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "url.file:///nowhere/.insteadOf")
    with pytest.raises(CellExecutionError, match="Turn on internet"):
        execute(github / "notebooks" / f"{NAMES[0]}.ipynb")


def test_a_torch_that_is_too_old_stays(github, kaggle):
    settings = github / "pyproject.toml"
    settings.write_text(re.sub('"torch>=[^"]*"', '"torch>=2.12"', settings.read_text(encoding="utf-8")))
    commit(github)
    with pytest.raises(CellExecutionError, match="not installed"):
        execute(github / "notebooks" / f"{NAMES[0]}.ipynb")
    assert set(uv_pip("freeze").splitlines()) == kaggle
