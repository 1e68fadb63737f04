"""The engine aotinductor: the network compiled to machine code."""

from __future__ import annotations

from pathlib import Path

from pixpool.export.aotinductor import AotInductorGraph, write_packages
from pixpool.export.engine import EngineJob
from pixpool.export.errors import ExportError
from pixpool.export.manifest import EngineEntry
from pixpool.export.probes import Run, pictures, report
from pixpool.export.recipe import MIN_SIDE
from pixpool.export.sizes import InputSizes


def write(job: EngineJob) -> list[EngineEntry]:
    """The entry, which is made only where it was asked for."""
    device = job.options.aotinductor
    if device is None:
        return []
    if job.sizes != InputSizes():
        raise ExportError(
            f"engine aotinductor: packages are compiled for every input size; this model takes"
            f" {job.sizes.text()}"
        )
    job.progress(f"compiling for {device}: this takes a minute or two")
    try:
        entry = write_packages(job.trunk, job.folder, device)
        graph = AotInductorGraph(job.folder, entry)
        # One picture too, at sizes of both packages: the example that is compiled has two.
        for check in job.compare(graph, [pictures(1, 160, 288), pictures(1, 97, 131)]):
            report("aotinductor ", check, job.progress)
    except ExportError as error:
        raise ExportError(f"engine aotinductor: {error}") from error
    if entry["min_side"] > MIN_SIDE:
        job.progress(f"remark: aotinductor takes pictures from {entry['min_side']} pixels a side")
    return [entry]


def load(folder: Path, entry: EngineEntry, _threads: int) -> Run:
    """Refused: machine code does not run because a bundle happens to begin with it."""
    raise ExportError(f"{folder / entry['path']}: the exporter does not run the engine aotinductor")
