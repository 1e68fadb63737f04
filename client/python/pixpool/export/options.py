"""What an export is asked for: the options of the command line as an object, without PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixpool.export.engines import NAMES, ON_REQUEST
from pixpool.export.sizes import Size
from pixpool.export.specs import FilterSpec, PcaSpec

DEVICES = ("cpu", "cuda")  # that a network can be compiled for
# What --engines takes.
ENGINES = tuple(name for name in NAMES if name not in ON_REQUEST)
Progress = Callable[[str], None]


@dataclasses.dataclass
class BundleOptions:
    """What the user asked for; None leaves it to the model."""

    out: Path
    version: str = "1"
    name: str | None = None
    layers: list[str] | None = None  # "name=module.path"
    # "name=module.path", "embedding" or "none"; None: the embedding, unless layers are named
    vectors: list[str] | None = None
    recipe_changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    # All that the bundle is to take, the recipe's own first; None: what the network takes.
    sizes: list[Size] | None = None
    labels: str | None = None  # a file, "imagenet" or "none"
    license: str | None = None
    force: bool = False
    pca: list[PcaSpec] = dataclasses.field(default_factory=list)
    filters: list[FilterSpec] = dataclasses.field(default_factory=list)
    engines: list[str] | None = None  # besides torchscript; None: those that can be had
    aotinductor: str | None = None  # device to compile for: cpu, cuda
    int8: Path | None = None  # pictures to calibrate on
    int8_judge: Path | None = None  # pictures to judge it on; None: a third of those
    accept_worse_int8: bool = False
    bgr: bool = False  # an ONNX file takes blue, green, red
    threads: int | None = None  # for the pictures of `pca`; None: as many as torch uses
