"""Writes the Python tools' lists of what pictures are called, and of what is left out beside them,
from the pixpool command's.

    scripts/py scripts/make_picture_suffixes.py

client/cli/picture_files.cc has the lists; tests/style/test_picture_suffixes.py says when the Python
files are out of date.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "client" / "cli" / "picture_files.cc"
PACKAGE = ROOT / "client" / "python" / "pixpool"
PYTHON = PACKAGE / "_picture_suffixes.py"
PYTHON_TABLES = PACKAGE / "_picture_files.py"
WIDTH = 100


def table(source: str, name: str) -> list[str]:
    """The literals, without their quotes, of the table of this name in the text of the source."""
    found = re.search(name + r"\[\] = \{(.*?)\};", source, re.S)
    assert found, f"no {name}"
    literals = re.findall(r'"((?:[^"\\]|\\.)*)"', found[1])
    # Nothing but literals and what is between them.
    rest = re.sub(r'"(?:[^"\\]|\\.)*"(?:sv)?', "", found[1])
    assert literals and not rest.strip(" ,\n"), found[1]
    return literals


def suffixes(source: str) -> list[str]:
    """Those of the table in the text of picture_files.cc."""
    found = table(source, "kExtensions")
    assert all(re.fullmatch(r"\.\w+", suffix) for suffix in found), found
    return found


def signatures(source: str) -> list[bytes]:
    """How files begin; "?" is any byte. The escapes in use mean the same in C++ and Python."""
    return [ast.literal_eval(f'b"{literal}"') for literal in table(source, "kSignatures")]


def junk_folders(source: str) -> list[str]:
    return table(source, "kJunkFolders")


def assignment(name: str, literals: list[str]) -> str:
    """A tuple of these literals, laid out as the formatter does."""
    line = f"{name} = ({', '.join(literals)}{',' * (len(literals) == 1)})"
    if len(line) > WIDTH:
        line = "\n".join([f"{name} = (", *(f"    {item}," for item in literals), ")"])
    return line + "\n"


def quoted(texts: list[str]) -> list[str]:
    return [f'"{text}"' for text in texts]


def head(what: str) -> str:
    made = "Made by scripts/make_picture_suffixes.py from client/cli/picture_files.cc; do not edit."
    return f'"""{what}\n\n{made}\n"""\n\n'


def python_list(found: list[str]) -> str:
    """The text of the Python file of suffixes."""
    text = head("The ends of the names of files that a folder of pictures is searched for.")
    return text + assignment("PICTURE_SUFFIXES", quoted(found))


def python_tables(begins: list[bytes], junk: list[str]) -> str:
    """The text of the Python file of first bytes and folders."""
    literals = ['b"' + repr(begin)[2:-1].replace('"', '\\"') + '"' for begin in begins]
    return (
        head("How files that are pictures begin, and folders that hold what programs keep there.")
        + '# "?" stands for any byte.\n'
        + assignment("PICTURE_SIGNATURES", literals)
        + assignment("JUNK_FOLDERS", quoted(junk))
    )


def main() -> None:
    source = SOURCE.read_text()
    PYTHON.write_text(python_list(suffixes(source)))
    PYTHON_TABLES.write_text(python_tables(signatures(source), junk_folders(source)))


if __name__ == "__main__":
    main()
