"""What users may import: the names, the modules, and what their signatures say."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import pixpool
from pixpool import NOT_GIVEN, AsyncClient, Client, NotGiven, heads
from pixpool._head_base import Head

PACKAGE = Path(__file__).parents[2] / "client" / "python" / "pixpool"

# Written out, so that a name that comes or goes is seen in review.
NAMES = [
    "AsyncClient",
    "Box",
    "ClassScore",
    "Client",
    "ConvFilter",
    "Extraction",
    "FieldViolation",
    "HeadLike",
    "HeadParameter",
    "HeadResult",
    "HeadType",
    "HeadsLike",
    "Heatmap",
    "Image",
    "ImageError",
    "ImageResult",
    "ImageSource",
    "InputOptions",
    "InputRecipe",
    "InputSize",
    "Layer",
    "Limits",
    "ModelInfo",
    "ModelReference",
    "NOT_GIVEN",
    "NotGiven",
    "PixpoolError",
    "Projection",
    "Region",
    "RegionOptions",
    "RegionResult",
    "RetryPolicy",
    "StageTimes",
    "Tls",
    "Vector",
    "channel_options",
    "heads",
    "parse_head",
]
# v1 is generated; it is there in a checkout only once generate_api.py has run.
MODULES = {"bulk", "export", "heads", "samples"}
METHODS = [
    "classify",
    "close",
    "extract",
    "extract_features",
    "health",
    "heatmap",
    "model",
    "models",
    "pool",
    "stream",
    "target",
    "wait_until_ready",
]


def test_the_names_of_the_package():
    assert pixpool.__all__ == NAMES
    for name in NAMES:
        assert getattr(pixpool, name) is not None and name in dir(pixpool)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        pixpool.nope  # noqa: B018


def test_checkers_and_the_running_package_know_the_same_names():
    """__init__.py has them twice: for type checkers, and for imports when they are used."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told.pop("heads") == "pixpool"
    assert told == {name: f"pixpool.{home}" for name, home in pixpool._HOMES.items()}


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("bulk", ["BulkError", "Summary", "run"]),
        (
            "export",
            ["BundleOptions", "ExportError", "SourceModel", "load_model", "write_bundle"],
        ),
    ],
)
def test_the_names_of_the_packages_within(package, names):
    module = importlib.import_module(f"pixpool.{package}")
    assert module.__all__ == names
    assert all(getattr(module, name).__module__.startswith(f"pixpool.{package}.") for name in names)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        module.nope  # noqa: B018


def test_importing_the_exporter_is_cheap():
    code = "import sys, pixpool.export as e; sys.exit('torch' in sys.modules or not dir(e))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_other_module_is_private():
    found = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}
    assert {name for name in found if not name.startswith("_")} - {"v1"} == MODULES


def test_heads_holds_the_classes_alone():
    classes = {
        name
        for name, value in vars(heads).items()
        if inspect.isclass(value) and value.__module__.startswith("pixpool")
    }
    assert sorted(classes) == heads.__all__
    assert {c.__name__ for c in Head.__subclasses__()} | {"Head"} == classes
    for one in Head.__subclasses__():
        assert one.__module__ == "pixpool.heads" and one.KIND and one.__doc__
        # Nothing but parameters: what they share is in the base.
        own = {n for n, v in vars(one).items() if not n.startswith("__") and callable(v)}
        assert not own, (one, own)


def test_both_clients_have_the_same_methods_and_arguments():
    """But for the kinds of iterables, and for what is awaited."""
    client = Client()
    assert [name for name in dir(client) if not name.startswith("_")] == METHODS
    client.close()
    assert [n for n in dir(AsyncClient) if not n.startswith("_")] == [
        n for n in METHODS if n != "target"
    ]
    assert Client.__init__ is AsyncClient.__init__
    for name in METHODS:
        if name == "target":
            continue
        ours, theirs = (inspect.signature(getattr(c, name)) for c in (Client, AsyncClient))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in theirs.parameters.values()
        ], name
        assert getattr(Client, name).__doc__ and getattr(AsyncClient, name).__doc__


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_what_is_not_given_is_told_from_none(client):
    for name in ("extract", "stream", "pool", "extract_features", "health"):
        parameter = inspect.signature(getattr(client, name)).parameters["timeout"]
        assert parameter.default is NOT_GIVEN
        assert str(parameter) == "timeout: 'float | None | NotGiven' = NOT_GIVEN"
    assert isinstance(NOT_GIVEN, NotGiven) and len(NotGiven) == 1


def test_arrays_say_what_they_hold():
    """No bare np.ndarray in an annotation of the client: NDArray names the type of the values."""
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text())
        annotations = [
            note
            for node in ast.walk(tree)
            for note in (getattr(node, "annotation", None), getattr(node, "returns", None))
            if note is not None
        ]
        for note in annotations:
            assert "ndarray" not in ast.unparse(note), f"{path.name}:{note.lineno}"
    hints = typing.get_type_hints(pixpool.Extraction.ok.fget)
    assert hints["return"] == np.typing.NDArray[np.bool_]
