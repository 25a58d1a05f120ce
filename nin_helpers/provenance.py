"""What a measured figure must name: device, versions, command and date."""

import contextlib
import platform
import re
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

import torch


def environment(device):
    """Return what a measured figure must name: device, versions, command and date."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_processor()}, {device.type}"
    return {
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "command": _command(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


def _processor():
    """Return the processor's name where the system tells it, else its kind, such as x86_64."""
    with contextlib.suppress(OSError):
        named = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if named:
            return named.group(1).strip()
    return platform.processor() or platform.machine()


def _command():
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return shlex.join(["python", "-m", program.parent.name, *sys.argv[1:]])
    return "notebook" if "ipykernel" in program.name else program.name
