"""Write notebook 4, the exercises, and notebooks 5 to 9, their solutions, from the one source: tools/exercises.md.

A line such as <!-- 04 06 --> gives the numbers of the notebooks that have what follows, <!-- all --> gives it to all.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tools" / "exercises.md"
EXERCISES, *SOLUTIONS = NAMES = (
    "04_exercises",
    "05_solutions_training",
    "06_solutions_block",
    "07_solutions_head",
    "08_solutions_resources",
    "09_solutions_design",
)
NOTEBOOKS = {name[:2]: ROOT / "notebooks" / f"{name}.md" for name in NAMES}
MARKER = re.compile(rf"<!-- (all|(?:{'|'.join(NOTEBOOKS)})(?: (?:{'|'.join(NOTEBOOKS)}))*) -->")


def main():
    """Write what has changed, say so, and return 0."""
    source = SOURCE.read_text(encoding="utf-8")
    for number, path in NOTEBOOKS.items():
        text = variant(source, number)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"{path.relative_to(ROOT)}: written from {SOURCE.relative_to(ROOT)}")
    return 0


def variant(source, number):
    """Return the lines of `source` that the notebook with this number, such as "04", has."""
    has_it, lines = True, []
    for line in source.splitlines():
        marker = MARKER.fullmatch(line)
        if marker:
            has_it = number in (marker[1].split() if marker[1] != "all" else NOTEBOOKS)
        elif has_it:
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
