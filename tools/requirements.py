"""Pin the newest versions that work together: `make requirements` writes requirements.txt and site/requirements.txt.

What torch needs for NVIDIA's GPUs is left out: torch names those versions itself, and a CPU-only torch needs none.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILE = ["uv", "pip", "compile", "--quiet", "--universal", "--only-binary", ":all:", "--no-annotate", "--no-header"]
LEFT_OUT = ("cuda", "nvidia", "triton")


def main():
    """Write both files and return 0; the pages get the versions that the chapter has."""
    pin("requirements.txt", "pyproject.toml", "--extra", "dev", "--upgrade", "--python-version", "3.10")
    pin("site/requirements.txt", "site/requirements.in", "--constraint", "requirements.txt", "--python-version", "3.11")
    return 0


def pin(target, source, *options):
    """Write in the file `target`, under the comment that it begins with, the versions of what `source` asks for."""
    command = [sys.executable, "-m", *COMPILE, *options, source]
    pins = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines(True)
    path = ROOT / target
    comment = [line for line in path.read_text(encoding="utf-8").splitlines(True) if line.startswith("#")]
    path.write_text("".join(comment + [line for line in pins if not line.startswith(LEFT_OUT)]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
