"""Files are written whole or not at all, and an error names the path."""

import errno
import json
import math
from pathlib import Path

import pytest

from nin_helpers.files import check_writable, write_json


def test_write_json_makes_the_folder_and_what_is_not_finite_is_null_for_json_has_no_such_numbers(tmp_path):
    path, content = tmp_path / "new" / "folder" / "history.json", {"accuracy": 0.1 + 0.2, "text": "1 × 1", "is": True}
    write_json(path, {**content, "losses": (0.5, math.nan, [math.inf]), "lr": -math.inf})
    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found == {**content, "losses": [0.5, None, [None]], "lr": None}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "error, told",
    [(OSError(errno.ENOSPC, "No space left"), "{path} cannot be written: No space left"), (KeyboardInterrupt(), "")],
    ids=["full disk", "stop button"],
)
def test_an_error_in_the_middle_of_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error, told):
    path, write_bytes = tmp_path / "history.json", Path.write_bytes
    write_json(path, {"old": 1})
    before = path.read_bytes()

    def write_some(path, content):
        write_bytes(path, content[:5])
        raise error

    monkeypatch.setattr(Path, "write_bytes", write_some)
    with pytest.raises(type(error)) as caught:
        write_json(path, {"new": 2})
    assert str(caught.value) == told.format(path=path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [lambda path: write_json(path, {}), check_writable], ids=["write_json", "check"])
def test_a_file_in_the_place_of_the_folder_is_one_clear_message(tmp_path, write):
    path = tmp_path / "file" / "deeper" / "history.json"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError) as caught:
        write(path)
    assert str(caught.value).startswith(f"{path} cannot be written: ") and "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_check_writable_leaves_nothing_but_the_folder(tmp_path):
    check_writable(tmp_path / "new" / "history.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]
