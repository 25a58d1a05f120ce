"""`make setup` and `pytest --nbval`: what is installed, and what is tested, when and with what."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes_json
from repository import ROOT, load, run

# make setup


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """tools/environment.py in a folder that has requirements; its `ran` lists the commands, none of which is run."""
    tool = load("environment")
    tool.ran = []
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "run", lambda *command, **variables: tool.ran.append(" ".join(map(str, command))))
    monkeypatch.setitem(tool.ENVIRONMENTS, "", ("requirements.txt", [f"3.{sys.version_info[1]}"]))
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / ".venv").mkdir()
    return tool


def test_set_up_installs_what_is_asked_for_once(tool, tmp_path):
    assert tool.main([]) == 0
    made, uv, packages = tool.ran
    assert made == f"{sys.executable} -m venv --clear {tmp_path / '.venv'}" and uv.endswith("-c requirements.txt uv")
    assert packages.endswith("--requirement requirements.txt --editable .")
    assert tool.main([]) == 0 and len(tool.ran) == 3, "nothing has changed"
    for changed in ("requirements.txt", "pyproject.toml"):
        (tmp_path / changed).write_text("changed")
        assert tool.main([]) == 0
    assert tool.ran[3:] == [uv, packages] * 2, "the environment that is there is brought up to date"


def test_a_set_up_that_was_interrupted_starts_again(tool, tmp_path, monkeypatch):
    tool.main([])
    (tmp_path / "requirements.txt").write_text("changed")

    def fail(*command, **variables):
        raise subprocess.CalledProcessError(7, command)

    with monkeypatch.context() as patch:
        patch.setattr(tool, "run", fail)
        assert tool.main([]) == 7
    tool.main([])
    assert tool.ran[3:] == tool.ran[:3]


def test_a_python_that_will_not_do_is_named_or_another_is_found(tool, tmp_path, monkeypatch):
    monkeypatch.setitem(tool.ENVIRONMENTS, "", ("requirements.txt", ["3.98", "3.99"]))
    (tmp_path / ".venv" / "bin").mkdir()
    (tmp_path / ".venv" / "bin" / "uv").touch()
    with pytest.raises(SystemExit, match=r"is Python 3\.\d+, and must be one of 3\.98, 3\.99: add PYTHON=python3\.98"):
        tool.main([])
    tool.create(tmp_path / ".venv-mxnet", ["3.98"])
    assert "uv venv --clear --seed --python 3.98" in tool.ran[-1]


def test_a_framework_gets_a_kernel_and_has_it_again_after_jupyter_was_installed_anew(tool, tmp_path, monkeypatch):
    monkeypatch.setitem(tool.ENVIRONMENTS, "jax", ("requirements.txt", [f"3.{sys.version_info[1]}"]))
    (tmp_path / ".venv-jax").mkdir()
    kernel = tmp_path / ".venv" / "share" / "jupyter" / "kernels" / "nin-jax"
    assert tool.main(["jax"]) == 0
    assert f"ipykernel install --prefix {tmp_path / '.venv'} --name nin-jax" in tool.ran[-1] and len(tool.ran) == 4
    kernel.mkdir(parents=True)
    assert tool.main(["jax"]) == 0 and len(tool.ran) == 4
    kernel.rmdir()
    assert tool.main(["jax"]) == 0 and tool.ran[4:] == tool.ran[3:4]


def test_what_pytorch_does_is_recorded_anew_when_its_code_has_changed(tmp_path):
    appendix = [f"notebooks/frameworks/{name}.py" for name in ("reference", "nin_pytorch", "weights")]
    sources = ["nin_helpers/nin.py", *appendix]
    shutil.copy(ROOT / "Makefile", tmp_path)
    for path in (*sources, "build/frameworks/pytorch.safetensors"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    make = ["make", "-C", tmp_path, "--question", "--old-file", "setup"]
    assert run(*make, "build/frameworks/pytorch.safetensors").returncode == 0
    for path in sources:
        assert run(*make, "--what-if", path, "build/frameworks/pytorch.safetensors").returncode == 1, path


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
