"""Makes model bundles for the pixpool server; the format is described in docs/bundle.md.

From the shell: `python -m pixpool.export efficientnet-lite0 --out models`. From Python:

    from pixpool.export import BundleOptions, load_model, write_bundle

    source = load_model("efficientnet-lite0")
    write_bundle(source, BundleOptions(out="models"))

What is meant to be imported is here; the modules of this package may change in any version.
Importing it is cheap: the names are imported when they are used, and bring PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixpool.export.bundle import write_bundle as write_bundle
    from pixpool.export.errors import ExportError as ExportError
    from pixpool.export.models import load_model as load_model
    from pixpool.export.options import BundleOptions as BundleOptions
    from pixpool.export.source import SourceModel as SourceModel

# The module that each public name comes from.
_HOMES = {
    "BundleOptions": "options",
    "ExportError": "errors",
    "SourceModel": "source",
    "load_model": "models",
    "write_bundle": "bundle",
}
__all__ = ["BundleOptions", "ExportError", "SourceModel", "load_model", "write_bundle"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
