"""Writes what is made from the server's table of heads.

    scripts/py scripts/make_heads.py [--server build/release/bin/pixpool-server]

`pixpool-server --print-heads` goes into docs/heads.json, and from that come the classes of
pixpool.heads, the limits that the exporter checks (pixpool/_head_table.py), and the tables between
the markers in README.md and docs/heads.md. A unit test holds docs/heads.json against the server,
tests/style/test_heads.py the rest against docs/heads.json.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
JSON = ROOT / "docs" / "heads.json"
WIDTH = 100
MARKS = {
    "README.md": "<!-- heads: generated short -->",
    "docs/heads.md": "<!-- heads: generated -->",
}
END = "<!-- end -->"

ABOUT_CLASSES = (
    "One class per kind of the API; docs/heads.md says more of each. None means the server's "
    "default, and ranges are the server's to check. Wherever heads are wanted, a text such as "
    '"gem:p=4,layer=stage5,l2" (see `pixpool.parse_head`) or a protobuf `Head` will do as well. '
    "In shapes, C is the number of the layer's channels, H and W are the sides of its map, D is "
    "the length of the model's vector."
)

Row = dict[str, Any]


def class_name(head: str) -> str:
    return "".join(word.capitalize() for word in head.split("_"))


def in_words(parameter: Row) -> str:
    """The range as a sentence has it: "above 0 to 100"; "" for what needs none."""
    text: str = parameter["range"]
    if parameter["type"] in ("bool", "text"):
        return ""
    if parameter["type"] == "enum":
        return text.replace("|", ", ")
    found = re.match(r"([\[(])(\S+), ([^\])]+)([\])])", text)
    assert found, text
    low, high = found[2], found[3]
    if (low, high) == ("-2147483648", "2147483647"):
        return "any whole number"
    if (low, high) == ("0", "2147483647"):
        return "0 or more"
    words = f"{'above ' if found[1] == '(' else ''}{low} to {'below ' if found[4] == ')' else ''}"
    most = parameter.get("max_entries")
    return f"{words}{high}" + (f", at most {most} of them" if most else "")


def default_of(parameter: Row) -> str | None:
    if parameter["required"]:
        return "required"
    value: str | None = parameter["default"] or parameter.get("default_rule")
    if value and parameter["type"] == "int_list" and parameter.get("max_entries"):
        return value.replace("x", ", ")
    return value


# --- the Python classes ---------------------------------------------------------------------------


def annotation(parameter: Row) -> str:
    kind = parameter["type"]
    if kind == "bool":
        return "bool = False" if parameter["default"] == "false" else "bool | None = None"
    base = {"int": "int", "float": "float", "text": "str"}.get(kind)
    if kind == "int_list":
        base = "Sequence[int]" if parameter.get("max_entries") else "Size"
    if kind == "enum":
        names = ", ".join(f'"{name}"' for name in parameter["range"].split("|"))
        base = f"Literal[{names}]"
    assert base, kind
    return base if parameter["required"] else f"{base} | None = None"


def docstring(head: Row) -> list[str]:
    """The lines of a class's docstring, indented."""

    def fill(text: str, hanging: str = "    ") -> list[str]:
        return textwrap.wrap(
            text, WIDTH, initial_indent="    ", subsequent_indent=hanging, break_on_hyphens=False
        )

    shape = head["shape"].replace(" x ", ", ") if " x " in head["shape"] else head["shape"]
    lines = fill(f'"""{head["description"].rstrip(".")}; values [{shape}].')
    about = f"Use it for {head['use']}."
    if head["reference"]:
        about += f" Reference: {head['reference']}."
    lines += ["", *fill(about)]
    if head["parameters"]:
        lines.append("")
    for parameter in head["parameters"]:
        notes = [in_words(parameter), default_of(parameter) or ""]
        if notes[1] and not parameter["required"]:
            notes[1] = f"default {notes[1]}"
        notes = [note for note in notes if note]
        text = f"{parameter['name']}: {parameter['help']}"
        lines += fill(f"{text} ({'; '.join(notes)})." if notes else f"{text}.", " " * 8)
    # Where the last line is full, the quotes get their own.
    if len(lines[-1]) + 3 > WIDTH:
        return [*lines, '    """']
    return [*lines[:-1], f'{lines[-1]}"""']


def python_classes(heads: list[Row]) -> str:
    names = sorted([*(class_name(head["name"]) for head in heads), "Head"])
    out = [
        '"""Pooling heads as objects: `Gem(p=4, layer="stage5", l2_normalized=True)`.',
        "",
        *textwrap.wrap(ABOUT_CLASSES, WIDTH, break_on_hyphens=False),
        "",
        "Made by scripts/make_heads.py from the server's table; do not edit.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "import dataclasses",
        "from collections.abc import Sequence",
        "from typing import Literal",
        "",
        "from pixpool._head_base import Head, Size",
        "",
        "__all__ = [",
        *(f'    "{name}",' for name in names),
        "]",
    ]
    for head in heads:
        out += ["", "", "@dataclasses.dataclass(frozen=True)"]
        out += [f"class {class_name(head['name'])}(Head):", *docstring(head), ""]
        out.append(f'    KIND = "{head["name"]}"')
        out += [f"    {p['name']}: {annotation(p)}" for p in head["parameters"]]
    return "\n".join(out) + "\n"


# --- the limits ----------------------------------------------------------------------------------


def limits(parameter: Row) -> str:
    found = re.match(r"([\[(])(\S+), ([^\])]+)([\])])", parameter["range"])
    span = "None"
    if parameter["type"] in ("int", "float", "int_list") and found:
        low_open, high_open = found[1] == "(", found[4] == ")"
        span = f"Range({found[2]}, {found[3]}, {low_open}, {high_open})"
    most = parameter.get("max_entries")
    default = f'"{parameter["default"]}"' if parameter["default"] else "None"
    return f"Parameter({span}, {most}, {default})"


def python_table(heads: list[Row]) -> str:
    out = [
        '"""The parameters of the heads: ranges and defaults, as the server has them.',
        "",
        "Made by scripts/make_heads.py from the server's table; do not edit.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from pixpool._head_parameter import Parameter, Range",
        "",
        "HEADS: dict[str, dict[str, Parameter]] = {",
    ]
    for head in heads:
        if not head["parameters"]:
            out.append(f'    "{head["name"]}": {{}},')
            continue
        out.append(f'    "{head["name"]}": {{')
        out += [f'        "{p["name"]}": {limits(p)},' for p in head["parameters"]]
        out.append("    },")
    return "\n".join([*out, "}"]) + "\n"


# --- the tables of the docs ----------------------------------------------------------------------


def parameter_cell(parameter: Row) -> str:
    notes = [note for note in (default_of(parameter), in_words(parameter)) if note]
    return f"`{parameter['name']}`" + (f" ({'; '.join(notes)})" if notes else "")


def full_table(heads: list[Row]) -> list[str]:
    rows = [
        "| head | what it is | parameters (default; range) | values | use it for |",
        "| -- | -- | -- | -- | -- |",
    ]
    for head in heads:
        parameters = ", ".join(map(parameter_cell, head["parameters"])) or "-"
        about = head["description"].rstrip(".")
        cells = (f"`{head['name']}`", about, parameters, head["shape"], head["use"])
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def short_table(heads: list[Row]) -> list[str]:
    rows = [f"| `{head['name']}` | {head['use']} |" for head in heads]
    return ["| head | use it for |", "| -- | -- |", *rows]


def with_table(text: str, mark: str, rows: list[str]) -> str:
    """The text with the rows between `mark` and the next END."""
    start = text.index(mark) + len(mark)
    end = text.index(END, start)
    return "\n\n".join((text[:start], "\n".join(rows), text[end:]))


def generated(heads: list[Row], root: Path = ROOT) -> dict[str, str]:
    """Path -> text of every file that is made from the table, whole or in part."""
    package = "client/python/pixpool"
    files = {
        f"{package}/heads.py": python_classes(heads),
        f"{package}/_head_table.py": python_table(heads),
    }
    for name, mark in MARKS.items():
        table = short_table(heads) if "short" in mark else full_table(heads)
        files[name] = with_table((root / name).read_text(), mark, table)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", type=Path, default=ROOT / "build/release/bin/pixpool-server")
    server = parser.parse_args().server
    table = subprocess.run(
        [server, "--print-heads"], check=True, capture_output=True, text=True
    ).stdout
    files = {str(JSON.relative_to(ROOT)): table, **generated(json.loads(table))}
    for name, text in files.items():
        state = "as it was" if (ROOT / name).read_text() == text else "written"
        (ROOT / name).write_text(text)
        print(f"{name}: {state}")


if __name__ == "__main__":
    main()
