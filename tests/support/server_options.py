"""The options of the server as its sources declare them (server/base/option.h)."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPECIFICATION = re.compile(r'\.flag = "(--[a-z-]+)"')
COMMENT = re.compile(r"(?<!:)//[^\n]*")


def sources():
    """The text of each C++ file of the server without its comments, by path."""
    return {
        str(path.relative_to(ROOT)): COMMENT.sub("", path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "server").rglob("*"))
        if path.suffix in (".h", ".cc")
    }


def declared_flags():
    """The flags of all specifications, in the order of the files."""
    return [flag for text in sources().values() for flag in SPECIFICATION.findall(text)]


def variables():
    """The environment variables of the options."""
    names = {flag.removeprefix("--") for flag in declared_flags()} | {"config"}
    return {"PIXPOOL_" + name.upper().replace("-", "_") for name in names}
