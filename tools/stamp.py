"""Write the repository's public address, OWNER/NAME on GitHub, into the README and the notebooks: `make stamp`.

In a workflow on GitHub it is the repository in which that runs; else what pyproject.toml has under [tool.nin_helpers];
where that is empty, git's remote `origin`, if that is on GitHub. Without any, nothing is published yet.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
ADDRESS = r"[A-Za-z\d](?:-?[A-Za-z\d])*/[\w.-]+?"
# https://github.com/OWNER/NAME, git@github.com:OWNER/NAME.git, ssh://git@ssh.github.com:443/OWNER/NAME.git
REMOTE = rf"(?:(?:https?|ssh)://(?:[^@/]+@)?(?:ssh\.)?github\.com(?::\d+)?/|git@github\.com:)({ADDRESS})(?:\.git)?/?"
NOT_YET = (
    "*Not published yet: push this repository to GitHub, run `make stamp`, commit, and push once more. It puts the "
    "links to Colab, Kaggle, Binder and Codespaces here and into the notebooks.*"
)


class StampError(Exception):
    """An address or a file that cannot be used; the message says which."""


def main():
    """Stamp the files, print those that changed, and return 0; 1 after an error, which is printed."""
    try:
        repository = read_repository()
        texts = {path: stamp(path, repository) for path in targets()}
    except StampError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    changed = [path for path, text in texts.items() if text != path.read_text(encoding="utf-8")]
    for path in changed:
        path.write_text(texts[path], encoding="utf-8", newline="\n")
        print(f"{path.relative_to(ROOT)}: stamped")
    print(f"The address is {repository or 'not set yet'}; {len(changed)} of {len(texts)} files changed.")
    return 0


def read_repository():
    """Return the address, "" if there is none; StampError for one that is set and is not OWNER/NAME."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for place, address in (
        ("GITHUB_REPOSITORY", os.environ.get("GITHUB_REPOSITORY")),
        ("repository in pyproject.toml", settings["tool"]["nin_helpers"]["repository"]),
    ):
        if address and not re.fullmatch(ADDRESS, address, re.ASCII):
            raise StampError(
                f'{place} is {address!r}, but must be OWNER/NAME as in github.com/OWNER/NAME, such as "someone/nin", '
                f'or "" while there is none'
            )
        if address:
            return address
    return read_remote()


def read_remote():
    """Return the address of git's remote `origin` if that is on GitHub, else ""."""
    git = ["git", "--git-dir", str(ROOT / ".git"), "remote", "get-url", "origin"]
    try:
        found = subprocess.run(git, capture_output=True, text=True)
    except FileNotFoundError:  # no git here
        return ""
    match = re.fullmatch(REMOTE, found.stdout.strip(), re.ASCII)
    return match[1] if match else ""


def targets():
    """Return what carries the address: the README, each notebook as .md and .ipynb, and the source of two of them."""
    return [ROOT / "README.md", *sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.*")), ROOT / "tools" / "exercises.md"]


def stamp(path, repository):
    """Return the text of the file at `path` with the address `repository` in it."""
    if path.name == "README.md":
        names = [source.stem for source in sorted((path.parent / "notebooks").glob("[0-9][0-9]_*.md"))]
        pattern, text = r"(?<=<!-- badges -->\n).*(?=<!-- /badges -->)", badges(repository, names)
    else:
        # the same line in Markdown and, its quotes escaped, as a string of JSON
        pattern, text = r'REPOSITORY = (\\?")[^"\\]*\1', rf"REPOSITORY = \g<1>{repository}\g<1>"
    result, count = re.subn(pattern, text, path.read_text(encoding="utf-8"), flags=re.DOTALL)
    if count != 1:
        raise StampError(f"{path} has {count} places for the address, but must have 1")
    return result


def badges(repository, names):
    """Return the README's lines of badges: tests, pages, and where each of the notebooks `names` can be run."""
    if not repository:
        return f"{NOT_YET}\n"
    github, colab = f"https://github.com/{repository}", "https://colab.research.google.com"
    pages = "https://{}.github.io/{}/".format(*repository.split("/"))
    tests = f"{github}/actions/workflows/test.yml"
    whole = [
        ("Tests", f"{tests}/badge.svg?branch={BRANCH}", tests),
        (
            "Open the notebooks on Binder",
            "https://mybinder.org/badge_logo.svg",
            f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?urlpath=lab/tree/notebooks",
        ),
        ("Open in Codespaces", "https://github.com/codespaces/badge.svg", f"https://codespaces.new/{repository}"),
    ]
    each = [
        ("Open in Colab", f"{colab}/assets/colab-badge.svg", f"{colab}/github/{repository}/blob/{BRANCH}"),
        (
            "Open in Kaggle",
            "https://kaggle.com/static/images/open-in-kaggle.svg",
            f"https://kaggle.com/kernels/welcome?src=https://raw.githubusercontent.com/{repository}/{BRANCH}",
        ),
    ]
    lines = [" ".join(f"[![{text}]({image})]({link})" for text, image, link in whole)]
    for text, image, start in each:
        links = [f"{start}/notebooks/{name}.ipynb" for name in names]
        numbers = " ".join(f"[{name[:2]}]({link})" for name, link in zip(names, links))
        lines.append(f"[![{text}]({image})]({links[0]}) {numbers}")
    lines.append(f"[Read the chapter as pages]({pages}), without installing anything")
    return "  \n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
