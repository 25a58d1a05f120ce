"""Write the repository's public address into the README and the notebooks: `make stamp`.

The address has one place, `repository` under [tool.nin_helpers] in pyproject.toml: OWNER/NAME on GitHub, or nothing.
"""

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
NOT_YET = (
    "*Not published yet: once this repository has a public address, write it as OWNER/NAME after `repository =` in "
    "pyproject.toml and run `make stamp`. It puts the links to Binder and Colab here and into the notebooks.*"
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
    """Return the address in pyproject.toml, "" if it is not set; StampError for one that is not OWNER/NAME."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    repository = settings["tool"]["nin_helpers"]["repository"]
    if repository and not re.fullmatch(r"[A-Za-z\d](-?[A-Za-z\d])*/[\w.-]+", repository, re.ASCII):
        raise StampError(
            f"repository = {repository!r} in pyproject.toml must be OWNER/NAME as in github.com/OWNER/NAME, "
            f'such as "someone/nin", or "" while there is none'
        )
    return repository


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
    """Return the README's lines of badges: tests, pages, Binder, and Colab for each of the notebooks `names`."""
    if not repository:
        return f"{NOT_YET}\n"
    github, colab = f"https://github.com/{repository}", "https://colab.research.google.com"
    pages = "https://{}.github.io/{}/".format(*repository.split("/"))
    tests = f"{github}/actions/workflows/test.yml"
    binder = f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?urlpath=lab/tree/notebooks"
    lines = [
        f"[![Tests]({tests}/badge.svg?branch={BRANCH})]({tests})",
        f"[Read the chapter as pages]({pages}), without installing anything",
        f"[![Open the notebooks on Binder](https://mybinder.org/badge_logo.svg)]({binder})",
    ]
    for name in names:
        image = f"![Open {name} in Colab]({colab}/assets/colab-badge.svg)"
        lines.append(f"[{image}]({colab}/github/{repository}/blob/{BRANCH}/notebooks/{name}.ipynb) {name}")
    return "  \n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
