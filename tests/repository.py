"""What the tests of the repository share: its files, its tools, which are no package, and commands."""

import importlib.util
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def load(name):
    """Return the module of a file in tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(*parts):
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def run(*command, cwd=None):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
