"""Write notebooks 4 and 5, exercises and solutions, from their one source: tools/exercises.md.

A line <!-- exercise --> or <!-- solution --> begins what only that notebook has, <!-- both --> what both have.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tools" / "exercises.md"
NOTEBOOKS = {
    "exercise": ROOT / "notebooks" / "04_exercises.md",
    "solution": ROOT / "notebooks" / "05_solutions.md",
}


def main():
    """Write what has changed, say so, and return 0."""
    source = SOURCE.read_text(encoding="utf-8")
    for kind, path in NOTEBOOKS.items():
        text = variant(source, kind)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"{path.relative_to(ROOT)}: written from {SOURCE.relative_to(ROOT)}")
    return 0


def variant(source, kind):
    """Return the lines of `source` that a notebook has: kind "exercise" or "solution"."""
    markers = {f"<!-- {name} -->": name for name in ("both", *NOTEBOOKS)}
    now, lines = "both", []
    for line in source.splitlines():
        if line in markers:
            now = markers[line]
        elif now in ("both", kind):
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
