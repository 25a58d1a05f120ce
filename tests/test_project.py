"""What holds the project together: pins, stamping, the runner of the notebooks, and the arrows between modules."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from nin_helpers.experiments import EXPERIMENTS
from nin_helpers.training import PROFILES, RECIPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# Imports point one way: a module may import those of earlier lines, none of its own line.
LAYERS = (
    "checks files modes hardware provenance",
    "shapes",
    "architecture layer_table preprocessing",
    "nin resources diagnostics datasets roofline throughput",
    "classics training.config training.checkpoints training.distributed training.evaluation training.fallback",
    "training.step",
    "training.tensorboard training.history training.outputs",
    "training.loop",
    "experiments.specs experiments.results experiments.summary",
    "experiments.cases",
    "experiments.measurements experiments.workers",
    "experiments.search",
    "experiments.runner",
    "plots exercises",
    "widgets __main__",
)
PACKAGE = ROOT / "nin_helpers"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
)


def read(*parts):
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def run(*command, **environment):
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300)


# modules


def imported(module):
    """Return the dotted names of what a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(read("nin_helpers", *module.split(".")[:-1], f"{module.split('.')[-1]}.py"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute here"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_one_way(module):
    layer = {name: number for number, line in enumerate(LAYERS) for name in line.split()}
    assert module in layer, f"{module}.py is new: say in LAYERS where it stands"
    ours = {name.removeprefix("nin_helpers.") for name in imported(module)} & set(MODULES)
    assert not [name for name in ours if layer[name] >= layer[module]]


@pytest.mark.parametrize(("package", "owner"), [("matplotlib", "plots"), ("ipywidgets", "widgets")])
def test_one_module_draws_and_one_has_widgets(package, owner):
    assert {module for module in MODULES if any(name.split(".")[0] == package for name in imported(module))} == {owner}


@pytest.mark.parametrize(
    ("command", "names"), [("train", (*PROFILES, *RECIPES)), ("experiment", (*PROFILES, *EXPERIMENTS))]
)
def test_the_command_line_answers_without_torch_and_names_what_the_code_has(command, names):
    script = (
        f"import sys; sys.argv = ['nin_helpers', '{command}', '--help']; from nin_helpers.__main__ import main; main()"
    )
    result = run(
        sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {script}"
    )
    assert result.returncode == 0 and result.stdout.endswith("False\n")
    assert all(name in result.stdout for name in names)


def test_the_packages_of_the_house_are_all_installed():
    settings = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(settings["packages"]) == folders | {"nin_helpers.results"}


@pytest.mark.parametrize("package", ["nin_helpers", "nin_helpers.training", "nin_helpers.experiments"])
def test_public_names_are_there_and_come_lazily(package):
    module = importlib.import_module(package)
    assert all(getattr(module, name) is not None for name in module.__all__)
    result = run(sys.executable, "-c", f"import sys, {package}; print('torch' in sys.modules)")
    assert result.stdout == "False\n"


# pins


def direct_requirements():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    return [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]


def pins(python):
    """Return the requirements that requirements.txt has for one Python version on Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]
    found = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate(environment)]
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in found)
    versions = {pin.name: str(pin.specifier)[2:] for pin in found}
    assert len(versions) == len(found), "a package has two pins"
    return versions


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_satisfy_what_the_package_asks_for(python):
    versions = pins(python)
    for wanted in direct_requirements():
        assert wanted.specifier.contains(versions[wanted.name]), wanted


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_leave_the_choice_of_accelerator_to_torch(python):
    assert not [name for name in pins(python) if re.match("nvidia|cuda|triton", name)]


def test_binder_has_the_same_versions_without_cuda():
    lines = [line for line in read("binder", "requirements.txt").splitlines() if not line.startswith("#")]
    python = read("binder", "runtime.txt").strip().removeprefix("python-")
    assert lines[1:] == [
        *(f"{name}=={pins(python)[name]}+cpu" for name in ("torch", "torchvision")),
        "-r ../requirements.txt",
        "-e .",
    ]


def test_conda_gets_python_pip_and_the_pins():
    python, *rest = yaml.safe_load(read("environment.yml"))["dependencies"]
    assert python.removeprefix("python=") in PYTHONS
    assert rest == ["pip", {"pip": ["--requirement requirements.txt"]}]


def test_colab_has_what_the_package_asks_for_but_torchinfo():
    pinned = [line.split("==") for line in read("tests", "colab", "requirements.txt").splitlines() if "==" in line]
    versions, project = dict(pinned), tomllib.loads(read("pyproject.toml"))["project"]
    asked = [Requirement(line) for line in project["dependencies"]]
    assert [it.name for it in asked if not it.specifier.contains(versions.get(it.name, "0"))] == ["torchinfo"]


# the repository


def test_workflow_and_ci_call_what_the_readme_calls():
    workflow = yaml.safe_load(read(".github", "workflows", "test.yml"))
    assert workflow["jobs"]["test"]["steps"][-1]["run"] == "make test"
    assert set(workflow["jobs"]["test"]["strategy"]["matrix"]["python"]) <= set(PYTHONS)
    assert {"run": "make test-browser"} in workflow["jobs"]["browser"]["steps"]
    assert workflow["jobs"]["frameworks"]["steps"][-1]["run"] == "make test-${{ matrix.framework }}"
    assert workflow["jobs"]["colab"]["steps"][-1]["run"] == "make test-colab"
    commands = [line for line in read(".ci", "run").splitlines() if line.startswith("make ")]
    assert commands == ["make test", "make test-browser", "make test-colab", "make test-frameworks", "make site"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_readme_names_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    targets |= {f"setup-{name}" for name in re.search("^FRAMEWORKS := (.*)", read("Makefile"), re.MULTILINE)[1].split()}
    named = set(re.findall(r"(?:`|^|=\S+ )make ([a-z-]+)", read("README.md"), re.MULTILINE))
    assert {"setup", "chapter", "lab", "test", "test-browser", "test-colab", "notebooks", "stamp"} <= named <= targets


def test_readme_lists_every_notebook_and_links_to_what_exists():
    readme = read("README.md")
    for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.md"):
        assert f"| [{path.stem}](notebooks/{path.stem}.ipynb) |" in readme
    links = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert not [link for link in links if not (ROOT / link).exists()]


def test_no_data_set_is_committed():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    assert not re.findall(r".*idx[13]-ubyte.*", listing.stdout)


# make stamp


@pytest.fixture
def copy(tmp_path):
    """A copy of what `make stamp` reads and writes."""
    for name in ("notebooks", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("runs", ".*", "__pycache__"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def stamp(folder, repository=None):
    """Stamp a copy, after setting its address; return the run and the texts by path."""
    settings = folder / "pyproject.toml"
    if repository is not None:
        text = re.sub(r'(?m)^repository = ".*"', f'repository = "{repository}"', settings.read_text(encoding="utf-8"))
        settings.write_text(text, encoding="utf-8")
    result = run(sys.executable, str(folder / "tools" / "stamp.py"))
    paths = [folder / "README.md", *(folder / "notebooks").glob("[0-9][0-9]_*.*")]
    return result, {path.relative_to(folder): path.read_text(encoding="utf-8") for path in paths}


def test_committed_files_are_stamped(copy):
    result, texts = stamp(copy)
    assert result.returncode == 0, result.stderr
    assert texts == {path: read(path) for path in texts}, "run make stamp"


def test_stamping_puts_the_links_in_and_takes_them_out(copy):
    before = stamp(copy, "")[1]
    after = stamp(copy, "someone/nin")[1]
    readme = after.pop(Path("README.md"))
    assert "https://mybinder.org/v2/gh/someone/nin/main?urlpath=lab/tree/notebooks" in readme
    assert "https://github.com/someone/nin/actions/workflows/test.yml/badge.svg" in readme
    assert "(https://someone.github.io/nin/)" in readme
    for path, text in after.items():
        assert text.count("someone/nin") == 1
        if path.suffix == ".ipynb":
            assert f"https://colab.research.google.com/github/someone/nin/blob/main/{path.as_posix()}" in readme
            set_up = json.loads(text)["cells"][1]["source"]
            assert 'REPOSITORY = "someone/nin"  # owner/name on GitHub, set by `make stamp`\n' in set_up
    assert stamp(copy)[1] == {Path("README.md"): readme, **after}, "stamping twice is stamping once"
    assert stamp(copy, "")[1] == before


@pytest.mark.parametrize("repository", ["nin", "https://github.com/someone/nin", "some one/nin", "a/b/c", "-a/b"])
def test_stamping_refuses_what_is_no_address(copy, repository):
    before = stamp(copy, "")[1]
    result, after = stamp(copy, repository)
    assert result.returncode == 1 and repr(repository) in result.stderr and "OWNER/NAME" in result.stderr
    assert after == before


# make chapter and make notebooks


HISTORY = {
    "data": "digits",
    "stand_in": True,
    "train_images": 1300,
    "device": "cpu",
    "device_name": "x86_64 cpu",
    "precision": "fp32",
    "test_accuracy": 0.9722,
    "test_images": 360,
    "training_seconds": 3.5,
}


def write_notebook(folder, *cells):
    """Write notebooks/01_tiny.md with these code cells, and the runner beside it."""
    shutil.copytree(ROOT / "tools", folder / "tools")
    (folder / "notebooks").mkdir()
    header = "---\njupytext:\n  formats: ipynb,md:myst\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n"
    blocks = "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
    (folder / "notebooks" / "01_tiny.md").write_text(f"{header}\n# Tiny\n{blocks}", encoding="utf-8")


def run_chapter(folder, *arguments):
    return run(sys.executable, str(folder / "tools" / "chapter.py"), *arguments)


def test_chapter_runs_a_notebook_and_says_what_came_out(tmp_path):
    write_notebook(
        tmp_path,
        ":tags: [skip-execution, nbval-skip]\n\n1 / 0",
        "from IPython.display import Image, display\n"
        "display({'image/png': 'aGk='}, raw=True, metadata={'image/png': {'alt': 'a <line>'}})",
        f"import json, pathlib\n_ = pathlib.Path('runs/01_tiny.json').write_text(json.dumps({HISTORY}))",
    )
    result = run_chapter(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "[1/1] 01_tiny: cell 2/2" in result.stdout
    for words in ("STAND-IN", "0.9722 on 360 test images", "cpu (x86_64 cpu), fp32", str(tmp_path / "build")):
        assert words in result.stdout
    assert "a &lt;line&gt;" in (tmp_path / "build" / "01_tiny.html").read_text(encoding="utf-8")
    assert not (tmp_path / "notebooks" / "01_tiny.ipynb").exists()


def test_chapter_keeps_pictures_and_leaves_out_controls(tmp_path):
    write_notebook(
        tmp_path,
        "from IPython.display import display\n"
        "display({'image/png': 'aGk='}, raw=True)\n"
        "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'a'}, 'text/plain': 'Box'}, raw=True)",
    )
    assert run_chapter(tmp_path, "--in-place").returncode == 0
    outputs = json.loads((tmp_path / "notebooks" / "01_tiny.ipynb").read_text(encoding="utf-8"))["cells"][1]["outputs"]
    assert [list(output["data"]) for output in outputs] == [["image/png"]]


def test_chapter_names_the_cell_that_fails_and_forgets_older_results(tmp_path):
    write_notebook(tmp_path, "kept = 1", "raise KeyError('lost')", "kept = 2")
    stale = tmp_path / "build" / "runs" / "01_tiny.json"
    stale.parent.mkdir(parents=True)
    stale.write_text(json.dumps(HISTORY))
    result = run_chapter(tmp_path)
    assert result.returncode == 1
    assert "01_tiny, code cell 2 of 3: KeyError: 'lost'" in result.stderr
    assert "raise KeyError" in result.stderr
    assert not stale.exists() and "0.9722" not in result.stdout


def test_notebooks_are_executed_in_place_and_stay_the_same(tmp_path):
    write_notebook(tmp_path, "print(6 * 7)", "print(6 * 7)")
    path = tmp_path / "notebooks" / "01_tiny.ipynb"
    assert run_chapter(tmp_path, "--in-place", "--only", "01").returncode == 0
    first = path.read_text(encoding="utf-8")
    cells = json.loads(first)["cells"]
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2]
    assert cells[1]["outputs"][0]["text"] == ["42\n"]
    assert run_chapter(tmp_path, "--in-place").returncode == 0
    assert path.read_text(encoding="utf-8") == first
    assert "no notebook" in run_chapter(tmp_path, "--only", "07").stderr
