"""Imports of the package point one way. Circles count wherever the import is written: inside a
function or under TYPE_CHECKING it only hides that two files know each other.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "client" / "python" / "pixpool"


def import_graph(package: Path) -> dict[str, set[str]]:
    """For each module of the package the others that it names in an import, anywhere in its file.

    `from a import b` means the module a.b where there is one, else a. That importing a.b runs
    a/__init__.py first is left out: it holds for every module of a package.
    """
    files = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        home = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        named = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = home[: len(home) + 1 - node.level] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else [])])
                inside = {f"{source}.{alias.name}" for alias in node.names}
                named |= {module if module in files else source for module in inside}
        graph[name] = {module for module in named if module in files}
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle in the order of the imports, the first again at the end; [] where
    there is none.
    """
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_imports_of_the_package_point_one_way():
    graph = import_graph(PACKAGE)
    # The graph is that of the whole package, or nothing was looked at.
    assert graph["pixpool.bulk.launch"] >= {"pixpool.bulk.job", "pixpool.bulk.on_ray"}
    assert "pixpool.export.onnx.source" in graph["pixpool.export.bundle"]
    assert graph["pixpool"]  # names its modules under TYPE_CHECKING alone
    assert circle(graph) == []


def write(folder: Path, **files: str) -> Path:
    """The package `made` of these files; `sub__b` is sub/b.py."""
    for name, text in {"__init__": "", "sub____init__": "", **files}.items():
        path = folder / "made" / (name.replace("__", "/", 1) if "sub" in name else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(text)
    return folder / "made"


@pytest.mark.parametrize(
    "back",
    [
        "import made.a",
        "import os, made.a as a",
        "from made.a import thing",
        "from made import a",
        "from ..a import thing",
        "from .. import a",
        "def late():\n    from made.a import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.a import thing",
        "try:\n    import made.a\nexcept ImportError:\n    pass",
        "class Late:\n    from made import a",
    ],
)
def test_a_circle_is_found_wherever_it_is_written(tmp_path, back):
    forth = "from made.sub.c import other\nthing = other"
    files = {"a": forth, "sub__b": back, "sub__c": "from made.sub import b\nother = b"}
    found = circle(import_graph(write(tmp_path, **files)))
    assert found[0] == found[-1] and set(found) == {"made.a", "made.sub.b", "made.sub.c"}
    at = found.index("made.a")
    assert (found[:-1] * 2)[at : at + 3] == ["made.a", "made.sub.c", "made.sub.b"]


def test_imports_that_are_no_circle(tmp_path):
    files = {
        "a": "import os\nfrom made.sub import b, c\nfrom other.made import a",
        "sub__b": "from made.sub.c import thing\nimport made.sub.c",
        "sub__c": "import json\nthing = 'import made.a'  # from made import a",
    }
    graph = import_graph(write(tmp_path, **files))
    assert graph["made.a"] == {"made.sub.b", "made.sub.c"}
    assert graph["made.sub.b"] == {"made.sub.c"} and graph["made.sub.c"] == set()
    assert circle(graph) == []


def test_a_module_that_imports_itself_is_a_circle(tmp_path):
    assert circle(import_graph(write(tmp_path, a="import made.a"))) == ["made.a", "made.a"]
