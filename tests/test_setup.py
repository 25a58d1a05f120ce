"""`pytest --nbval`: what is tested, when and with what."""

import json
import re
import sys

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes_json
from repository import ROOT, run

UNIT_TEST = "import os\n\n\ndef test_profile():\n    assert os.environ.get('NIN_PROFILE') != 'smoke'\n"
NOTEBOOKS = {  # and their kernels
    "notebooks/01_a.ipynb": "python3",
    "notebooks/.ipynb_checkpoints/01_a.ipynb": "python3",
    "build/01_a.ipynb": "python3",
    "notebooks/frameworks/index.ipynb": "python3",
    "notebooks/frameworks/nin_in_that.ipynb": "nin-that",
    "notebooks/frameworks/nin_in_other.ipynb": "nin-other",
}


def says_smoke(kernel):
    """Return a notebook of one cell that shows its profile, and that this was smoke."""
    shown = new_output("execute_result", {"text/plain": "'smoke'"}, execution_count=1)
    cell = new_code_cell("import os\nos.environ['NIN_PROFILE']", execution_count=1, outputs=[shown])
    return new_notebook(cells=[cell], metadata={"kernelspec": {"name": kernel, "display_name": kernel}})


@pytest.fixture
def pytest_in_a_chapter(tmp_path, monkeypatch):
    """A function that runs pytest on a test and `NOTEBOOKS`, with the settings of this repository."""
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    files = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("conftest.py", "pyproject.toml")}
    files |= {"tests/test_unit.py": UNIT_TEST}
    files |= {name: writes_json(says_smoke(kernel)) for name, kernel in NOTEBOOKS.items()}
    files["jupyter/kernels/nin-that/kernel.json"] = json.dumps({"argv": command, "display_name": "", "language": ""})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.delenv("NIN_PROFILE", raising=False)
    return lambda *options: run(sys.executable, "-m", "pytest", "-rA", *options, cwd=tmp_path)


def passed(result):
    """Return the files whose tests passed."""
    return set(re.findall(r"^PASSED (\S+?)::", result.stdout, re.MULTILINE))


def test_nbval_runs_the_unit_tests_and_each_notebook_that_has_a_kernel_on_the_smoke_profile(pytest_in_a_chapter):
    result = pytest_in_a_chapter("--nbval")
    assert result.returncode == 0, result.stdout
    notebooks = {f"notebooks/{name}.ipynb" for name in ("01_a", "frameworks/index", "frameworks/nin_in_that")}
    assert passed(result) == {"tests/test_unit.py", *notebooks}
    assert "left out, until make setup-NAME installs the kernel: nin_in_other\n" in result.stdout


def test_nbval_runs_another_profile_where_one_is_set(pytest_in_a_chapter, monkeypatch):
    monkeypatch.setenv("NIN_PROFILE", "quick")
    result = pytest_in_a_chapter("--nbval", "notebooks/01_a.ipynb")
    assert result.returncode == 1 and "'quick'" in result.stdout


def test_plain_pytest_runs_the_unit_tests_alone(pytest_in_a_chapter):
    assert passed(pytest_in_a_chapter()) == {"tests/test_unit.py"}


def test_nbval_collects_every_notebook_of_the_chapter():
    result = run(sys.executable, "-m", "pytest", "--nbval", "--collect-only", "-q", "--ignore", "tests", cwd=ROOT)
    names = {path.name for path in (ROOT / "notebooks").rglob("[0-9i]*.ipynb") if path.parent.name[0] != "."}
    assert names <= set(re.findall(r"^notebooks/.*?([^/]*\.ipynb)::", result.stdout, re.MULTILINE))
