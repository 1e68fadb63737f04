"""What the exporter asks of an engine's module, see pixpool.export.engines."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, cast

from torch import Tensor

from pixpool.export import verify
from pixpool.export.engines import NAMES
from pixpool.export.errors import ExportError
from pixpool.export.manifest import EngineEntry
from pixpool.export.options import BundleOptions, Progress
from pixpool.export.probes import Run, batches
from pixpool.export.sizes import InputSizes
from pixpool.export.trunk import Trunk


@dataclasses.dataclass(frozen=True)
class EngineJob:
    """A prepared trunk that is to become a graph in `folder`."""

    trunk: Trunk
    golden: Tensor
    sizes: InputSizes  # that the graph is to take
    folder: Path
    options: BundleOptions
    progress: Progress

    def compare(self, graph: Run, more: Iterable[Tensor] = ()) -> list[verify.Check]:
        """A written graph against PyTorch, on pictures of sizes that it is to take, and more."""
        names = self.trunk.output_names()
        many = [*batches(self.golden, self.sizes), *more]
        return [verify.compare(graph, self.trunk, images, names) for images in many]


class EngineModule(Protocol):
    def write(self, job: EngineJob) -> list[EngineEntry]:
        """Writes the graph, compares what was written with PyTorch, and gives its entry; none where
        it was not asked for or, with the reason as a remark, cannot be had."""

    def load(self, folder: Path, entry: EngineEntry, threads: int) -> Run:
        """The written graph of an entry."""


def engine_module(name: str) -> EngineModule:
    """Of one of pixpool.export.engines.NAMES."""
    return cast(EngineModule, importlib.import_module(f"pixpool.export.engines.{name}"))


def load_backbone(folder: Path, entry: EngineEntry, threads: int) -> Run:
    """The network of an entry of the manifest's `engines`."""
    name = entry["engine"]
    if name not in NAMES:
        raise ExportError(f"{folder / entry['path']}: the exporter does not run the engine {name}")
    return engine_module(name).load(folder, entry, threads)
