"""Make an environment, or bring it up to date: `python tools/environment.py` .venv, and with a name .venv-NAME.

It runs before anything is installed. In a new environment pip installs uv, and uv the rest. What was installed stands
in the file .installed there, which is removed first and written last: so an environment that has what it needs takes no
time, and one whose install was interrupted is made anew.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("jax", "keras", "mxnet", "paddle")
# The requirements of each, and the Pythons that these serve; "" is .venv itself, the others are made with its uv.
ENVIRONMENTS = {
    "": ("requirements.txt", ("3.10", "3.11", "3.12", "3.13", "3.14")),
    "site": ("site/requirements.txt", ("3.11", "3.12", "3.13", "3.14")),
    "colab": ("tests/colab/requirements.txt", ("3.13",)),
    "jax": ("notebooks/frameworks/requirements-jax.txt", ("3.11", "3.12", "3.13", "3.14")),
    "keras": ("notebooks/frameworks/requirements-keras.txt", ("3.11", "3.12", "3.13")),
    "mxnet": ("notebooks/frameworks/requirements-mxnet.txt", ("3.11",)),
    "paddle": ("notebooks/frameworks/requirements-paddle.txt", ("3.11", "3.12", "3.13")),
}


def main(arguments=None):
    """Run the command line; the exit status is that of the command that failed, or 0."""
    parser = argparse.ArgumentParser(description="Make .venv, or .venv-NAME, or bring it up to date.")
    parser.add_argument("name", nargs="?", default="", choices=list(ENVIRONMENTS), help="(default: .venv itself)")
    name = parser.parse_args(arguments).name
    try:
        update(name, *ENVIRONMENTS[name])
        if name in FRAMEWORKS:
            add_kernel(name)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def update(name, requirements, pythons):
    """Install what the file `requirements` names, unless that was done; `pythons` are the versions that will do."""
    folder = environment(name)
    stamp, wanted = folder / ".installed", (ROOT / requirements).read_bytes()
    packages = ["--requirement", requirements]
    if not name:  # nin_helpers itself
        wanted += (ROOT / "pyproject.toml").read_bytes()
        packages += ["--editable", "."]
    if stamp.exists() and stamp.read_bytes() == wanted:
        return
    if stamp.exists():
        stamp.unlink()
    else:
        create(folder, pythons)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-c", "requirements.txt", "uv")
    run(python, "-m", "uv", "pip", "install", "--python", python, *packages)
    stamp.write_bytes(wanted)


def create(folder, pythons):
    """Make an empty environment with the Python that runs this, or another one that uv finds or fetches."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    uv = environment() / "bin" / "uv"
    if version in pythons:
        run(sys.executable, "-m", "venv", "--clear", folder)
    elif uv.exists():  # where pyenv has that Python, it must be asked for it
        run(uv, "venv", "--clear", "--seed", "--python", pythons[0], folder, PYENV_VERSION=pythons[0])
    else:
        known = ", ".join(pythons)
        sys.exit(f"{sys.executable} is Python {version}, and must be one of {known}: add PYTHON=python{pythons[0]}")


def add_kernel(name):
    """Let JupyterLab, which runs in .venv, offer the environment's Python."""
    if not (environment() / "share" / "jupyter" / "kernels" / f"nin-{name}").exists():
        kernel = ["--prefix", environment(), "--name", f"nin-{name}", "--display-name", f"NiN in {name}"]
        run(environment(name) / "bin" / "python", "-m", "ipykernel", "install", *kernel)


def environment(name=""):
    """Return the folder of an environment."""
    return ROOT / (f".venv-{name}" if name else ".venv")


def run(*command, **variables):
    """Run a command in the repository's root; CalledProcessError if it fails."""
    subprocess.run([str(part) for part in command], cwd=str(ROOT), env={**os.environ, **variables}, check=True)


if __name__ == "__main__":
    sys.exit(main())
