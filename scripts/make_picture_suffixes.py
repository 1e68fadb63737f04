"""Writes the Python tools' list of the ends of pictures' names from the pixpool command's.

    scripts/py scripts/make_picture_suffixes.py

client/cli/paths.cc has the list; tests/style/test_picture_suffixes.py says when the Python file is
out of date.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "client" / "cli" / "paths.cc"
PYTHON = ROOT / "client" / "python" / "pixpool" / "_picture_suffixes.py"
WIDTH = 100


def suffixes(source: str) -> list[str]:
    """Those of the table in the text of paths.cc."""
    table = re.search(r"kExtensions\[\] = \{(.*?)\};", source, re.S)
    assert table, "no kExtensions"
    found = re.findall(r'"(\.\w+)"', table[1])
    assert found and len(found) == table[1].count('"') // 2, table[1]
    return found


def python_list(found: list[str]) -> str:
    """The text of the Python file."""
    quoted = [f'"{suffix}"' for suffix in found]
    line = f"PICTURE_SUFFIXES = ({', '.join(quoted)}{',' * (len(quoted) == 1)})"
    if len(line) > WIDTH:
        line = "\n".join(["PICTURE_SUFFIXES = (", *(f"    {item}," for item in quoted), ")"])
    return (
        '"""The ends of the names of files that a folder of pictures is searched for.\n\n'
        "Made by scripts/make_picture_suffixes.py from client/cli/paths.cc; do not edit.\n"
        '"""\n\n'
        f"{line}\n"
    )


def main() -> None:
    PYTHON.write_text(python_list(suffixes(SOURCE.read_text())))


if __name__ == "__main__":
    main()
