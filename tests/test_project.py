"""What holds the project together: the arrows between modules, the pins, and what the documents say."""

import ast
import importlib
import json
import os
import re
import sys

import environment
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository import ROOT, read, run

from nin_helpers.__main__ import _parser
from nin_helpers.experiments.specs import EXPERIMENTS, specify
from nin_helpers.training import PROFILES, RECIPES, make_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Imports point one way: a module may import those of earlier lines, none of its own line.
LAYERS = (
    "checks files modes hardware provenance labelled_images",
    "shapes weight_files",
    "architecture layer_table preprocessing",
    "nin resources diagnostics pictures roofline throughput",
    "datasets",
    "classics training.config training.checkpoints training.distributed training.evaluation training.fallback",
    "training.step prediction",
    "training.tensorboard training.history training.outputs",
    "training.loop",
    "experiments.specs experiments.results experiments.summary",
    "experiments.cases",
    "experiments.columns experiments.measurements experiments.workers experiments.pretrained experiments.pretrained_fc",
    "experiments.search",
    "experiments.runner",
    "plots.look exercises.answers exercises.predictions",
    "plots.runs plots.costs plots.images plots.drawings",
    "exercises.costs exercises.networks exercises.recipe",
    "exercises.verdict",
    "instruments.base",
    "instruments.arithmetic",
    "instruments.networks widgets __main__",
)
PROJECT = tomllib.loads(read("pyproject.toml"))
PACKAGE = ROOT / "nin_helpers"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
)
PYTHONS = environment.ENVIRONMENTS[""][1]


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


@pytest.mark.parametrize(
    ("package", "owners"),
    [
        ("matplotlib", {"plots"}),
        ("ipywidgets", {"widgets"}),
        ("anywidget", {"instruments"}),
        ("torchvision", set()),
    ],
)
def test_one_room_draws_one_has_widgets_and_none_needs_torchvision(package, owners):
    users = [module for module in MODULES if any(name.split(".")[0] == package for name in imported(module))]
    assert {module.split(".")[0] for module in users} == owners


@pytest.mark.parametrize(
    ("command", "names"),
    [("train", (*PROFILES, *RECIPES)), ("predict", ("--weights", "--maps")), ("experiment", (*PROFILES, *EXPERIMENTS))],
)
def test_the_command_line_answers_without_torch_and_names_what_the_code_has(command, names):
    script = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); "
    result = run(sys.executable, "-c", f"{script}from nin_helpers.__main__ import main; main(['{command}', '--help'])")
    assert result.returncode == 0 and result.stdout.endswith("False\n")
    assert all(name in result.stdout for name in names)


def test_the_packages_of_the_house_are_all_installed():
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"nin_helpers.results"}


@pytest.mark.parametrize(
    "package", [f"nin_helpers{room}" for room in ("", ".exercises", ".experiments", ".plots", ".training")]
)
def test_public_names_are_there_and_come_lazily(package):
    module = importlib.import_module(package)
    assert all(getattr(module, name) is not None for name in module.__all__)
    result = run(sys.executable, "-c", f"import sys, {package}; print('torch' in sys.modules)")
    assert result.stdout == "False\n"


def pins(python):
    """Return the requirements that requirements.txt has for one Python version on Linux."""
    machine = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]
    found = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate(machine)]
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in found)
    versions = {pin.name: str(pin.specifier)[2:] for pin in found}
    assert len(versions) == len(found), "a package has two pins"
    return versions


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_satisfy_what_the_package_asks_for_and_leave_the_choice_of_accelerator_to_torch(python):
    versions, project = pins(python), PROJECT["project"]
    for wanted in map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"]):
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), wanted
    assert not [name for name in versions if re.match("nvidia|cuda|triton", name)]


def test_binder_has_the_same_versions_without_cuda():
    lines = [line for line in read("binder", "requirements.txt").splitlines() if not line.startswith("#")]
    python = read("binder", "runtime.txt").strip().removeprefix("python-")
    assert lines[1:] == [
        *(f"{name}=={pins(python)[name]}+cpu" for name in ("torch", "torchvision")),
        "-r ../requirements.txt",
        "-e .",
    ]


def test_conda_and_codespaces_install_what_everyone_installs():
    python, *rest = yaml.safe_load(read("environment.yml"))["dependencies"]
    assert python.removeprefix("python=") in PYTHONS
    assert rest == ["pip", {"pip": ["--requirement requirements.txt"]}]
    container = json.loads(read(".devcontainer", "devcontainer.json"))
    assert container["image"].rpartition(":")[2] in PYTHONS and container["postCreateCommand"] == "make setup"


def test_colab_has_what_the_package_asks_for_but_two():
    pinned = [line.split("==") for line in read("tests", "colab", "requirements.txt").splitlines() if "==" in line]
    versions = {canonicalize_name(name): version for name, version in pinned}
    asked = map(Requirement, PROJECT["project"]["dependencies"])
    missing = [it.name for it in asked if not it.specifier.contains(versions.get(canonicalize_name(it.name), "0"))]
    assert missing == ["anywidget", "torchinfo"]


FOLDERS = (".", "notebooks", "notebooks/frameworks", "results", "benchmarks")
DOCUMENTS = [ROOT / "CONTRIBUTING.md", *(ROOT / folder / "README.md" for folder in FOLDERS)]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)


def test_workflow_and_ci_call_what_contributors_call():
    commands = [line for line in read(".ci", "run").splitlines() if line.startswith("make ")]
    assert commands == ["make test", "make test-browser", "make test-colab", "make test-frameworks", "make site"]
    assert set(commands) <= set(re.findall(r"^make [a-z-]+", read("CONTRIBUTING.md"), re.MULTILINE))
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    jobs = yaml.safe_load(read(".github", "workflows", "test.yml"))["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert runs == ["make test", "make test-browser", "make test-${{ matrix.framework }}", "make test-colab"]
    assert set(jobs["test"]["strategy"]["matrix"]["python"]) <= set(PYTHONS)
    assert tuple(jobs["frameworks"]["strategy"]["matrix"]["framework"]) == environment.FRAMEWORKS


def test_documents_name_every_target_and_no_other():
    targets = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE)) - {"help"}
    assert re.search("^FRAMEWORKS := (.*)", read("Makefile"), re.MULTILINE)[1].split() == [*environment.FRAMEWORKS]
    named = set(re.findall(r"(?:`|^|=\S+ )make ([a-z-]+)", TEXT, re.MULTILINE))
    assert targets == {name for name in named if not re.search(f"-({'|'.join(environment.FRAMEWORKS)})$", name)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", path.read_text(encoding="utf-8"))
    assert not [link for link, _ in links if not (path.parent / link).exists()]
    for link, anchor in links:
        heading = f"## {anchor.replace('-', ' ')}\n"
        assert not anchor or heading in (path.parent / link).read_text(encoding="utf-8").lower()


def test_readme_is_short_and_lists_every_notebook_and_others_every_profile_and_every_file_of_results():
    readme = re.sub("<!-- badges -->.*<!-- /badges -->", "", read("README.md"), flags=re.DOTALL)
    assert len(readme.encode()) < 5000
    for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.md"):
        assert f"](notebooks/{path.stem}.ipynb)" in readme
    assert set(PROFILES) <= set(re.findall(r"`(\w+)`", read("notebooks", "README.md")))
    listed = set(re.findall(r"^\| `(\w+)` \|", read("results", "README.md"), re.MULTILINE))
    measured = {path.stem for path in (ROOT / "results").glob("*.json")}
    assert {re.sub("^benchmark_.*", "benchmark_MACHINE", name) for name in measured} <= listed


def test_commands_in_documents_can_be_run():
    commands = re.findall(r"(?:-m nin_helpers |`)((?:train|experiment|predict) [^`#\n]*)", TEXT)
    assert {command.split()[0] for command in commands} == {"train", "experiment", "predict"}
    for command in commands:
        options = _parser().parse_args(command.split())
        if command.startswith("train"):
            make_config(options.profile, options.recipe or "adamw_alive")
        elif command.startswith("experiment"):
            assert options.all or specify(options.name)


def test_no_data_set_is_committed():
    listing = run("git", "ls-files", cwd=ROOT)
    if listing.returncode:
        pytest.skip("not a git checkout")
    assert not re.findall(r".*idx[13]-ubyte.*", listing.stdout)
