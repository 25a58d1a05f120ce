"""`make stamp`: where the repository's address comes from, and where it goes."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from repository import ROOT, load, read, run


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of git's that has the settings and no remote."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    run("git", "init", "--quiet", tmp_path)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    return tmp_path


@pytest.fixture
def copy(repository):
    """A copy of what `make stamp` reads and writes."""
    for name in ("notebooks", "tools"):
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns("runs", ".*", "__pycache__"))
    shutil.copy(ROOT / "README.md", repository)
    return repository


def address_in(folder, monkeypatch):
    tool = load("stamp")
    monkeypatch.setattr(tool, "ROOT", folder)
    return tool.read_repository()


def stamp(folder, repository=""):
    """Stamp a copy with `repository` set in its pyproject.toml; return the run and the texts by path."""
    settings = folder / "pyproject.toml"
    text = re.sub(r'(?m)^repository = ".*"', f'repository = "{repository}"', settings.read_text(encoding="utf-8"))
    settings.write_text(text, encoding="utf-8")
    result = run(sys.executable, str(folder / "tools" / "stamp.py"))
    paths = [folder / "README.md", *(folder / "notebooks").glob("[0-9][0-9]_*.*")]
    return result, {path.relative_to(folder): path.read_text(encoding="utf-8") for path in paths}


def test_committed_files_are_stamped_with_one_address(copy):
    address = re.search('REPOSITORY = "(.*)" ', read("notebooks", "01_nin_block.md"))[1]
    result, texts = stamp(copy, address)
    assert result.returncode == 0, result.stderr
    assert texts == {path: read(path) for path in texts}, "run make stamp"


def test_stamping_puts_the_links_in_and_takes_them_out(copy):
    before = stamp(copy)[1]
    after = stamp(copy, "someone/nin")[1]
    readme = after.pop(Path("README.md"))
    for link in (
        "https://mybinder.org/v2/gh/someone/nin/main?urlpath=lab/tree/notebooks",
        "https://codespaces.new/someone/nin",
        "https://github.com/someone/nin/actions/workflows/test.yml",
        "https://someone.github.io/nin/",
    ):
        assert f"]({link})" in readme
    for path, text in after.items():
        assert text.count("someone/nin") == 1
        if path.suffix == ".ipynb":
            assert f"(https://colab.research.google.com/github/someone/nin/blob/main/{path.as_posix()})" in readme
            raw = f"https://raw.githubusercontent.com/someone/nin/main/{path.as_posix()}"
            assert f"(https://kaggle.com/kernels/welcome?src={raw})" in readme
            set_up = json.loads(text)["cells"][1]["source"]
            assert 'REPOSITORY = "someone/nin"  # owner/name on GitHub, set by `make stamp`\n' in set_up
    assert stamp(copy, "someone/nin")[1] == {Path("README.md"): readme, **after}, "stamping twice is stamping once"
    assert stamp(copy)[1] == before


@pytest.mark.parametrize("setting", ["nin", "https://github.com/someone/nin", "some one/nin", "a/b/c", "-a/b"])
def test_stamping_refuses_what_is_no_address(copy, setting):
    before = stamp(copy)[1]
    result, after = stamp(copy, setting)
    assert result.returncode == 1 and repr(setting) in result.stderr and "OWNER/NAME" in result.stderr
    assert after == before


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/some-one/nin.py", "some-one/nin.py"),
        ("https://github.com/some-one/nin.git", "some-one/nin"),
        ("https://someone:secret@github.com/someone/nin/", "someone/nin"),
        ("git@github.com:someone/nin.git", "someone/nin"),
        ("ssh://git@ssh.github.com:443/someone/nin.git", "someone/nin"),
        ("https://gitlab.com/someone/nin.git", ""),
        ("https://notgithub.com/someone/nin.git", ""),
        ("https://github.com.example.org/someone/nin.git", ""),
        ("/home/someone/github.com/someone/nin", ""),
        ("file:///home/someone/nin.git", ""),
        (None, ""),
    ],
)
def test_the_address_is_that_of_the_remote_where_it_is_on_github(repository, monkeypatch, remote, address):
    if remote:
        run("git", "-C", repository, "remote", "add", "origin", remote)
    assert address_in(repository, monkeypatch) == address


def test_a_workflow_has_its_own_address_and_a_setting_comes_before_the_remote(copy, monkeypatch):
    run("git", "-C", copy, "remote", "add", "origin", "https://github.com/the/remote")
    assert "The address is the/remote;" in stamp(copy)[0].stdout
    assert "The address is the/setting;" in stamp(copy, "the/setting")[0].stdout
    monkeypatch.setenv("GITHUB_REPOSITORY", "the/workflow")
    assert "The address is the/workflow;" in stamp(copy, "the/setting")[0].stdout


def test_the_remote_of_a_repository_around_this_one_is_not_ours(repository, monkeypatch):
    run("git", "-C", repository, "remote", "add", "origin", "https://github.com/someone/nin")
    (repository / "inner").mkdir()
    shutil.copy(repository / "pyproject.toml", repository / "inner")
    assert address_in(repository / "inner", monkeypatch) == ""
