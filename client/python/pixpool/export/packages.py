"""Packages that a model's origin needs, and what to do where they are missing."""

from __future__ import annotations

import importlib
from importlib import metadata
from types import ModuleType

from pixpool.export.errors import ExportError, brief


def import_package(module: str, package: str | None, wanted_for: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:  # torchvision fails with RuntimeError beside a torch it does not fit
        # A package may lack one that it needs itself: timm lacks torchvision.
        lacks = error.name if isinstance(error, ModuleNotFoundError) else None
        if lacks is None:
            fix = "The package is there but does not fit the others, torch above all"
        elif lacks.partition(".")[0] != module.partition(".")[0]:
            fix = (
                f"It needs '{lacks}', which is not installed: pip install {lacks.partition('.')[0]}"
            )
        elif package:
            fix = f"Install it: pip install {package}"
        else:
            fix = "Is the name right, and is its folder in PYTHONPATH?"
        raise ExportError(
            f"{wanted_for} needs '{module}', which cannot be imported: {brief(error)}. {fix}"
        ) from error


def package_version(package: str) -> str:
    return f"{package} {metadata.version(package)}"
