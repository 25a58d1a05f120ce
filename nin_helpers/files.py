"""Files that are written whole or not at all."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path


def write_json(path, content):
    """Write `content` as JSON to `path`, whole or not at all; OSError names the path. What is not finite is null."""
    write_whole(path, (json.dumps(as_json(content), indent=1, allow_nan=False) + "\n").encode())


def as_json(content):
    """Return `content` as JSON gives it back: lists for tuples, and None for NaN and infinity, which JSON has not."""
    if isinstance(content, dict):
        return {key: as_json(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [as_json(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_whole(path, content):
    """Write the bytes `content` to `path`, whole or not at all, and make its folder; OSError names the path."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # gone already if all went well
            temporary.unlink()


def check_writable(path):
    """Raise OSError naming `path` unless a file can be written there; to be asked before hours of training."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
