"""The engine openvino: the network as OpenVINO's IR."""

from __future__ import annotations

from pathlib import Path

import torch

from pixpool.export.engine import EngineJob
from pixpool.export.errors import ExportError
from pixpool.export.manifest import EngineEntry
from pixpool.export.openvino_graph import OpenVinoGraph, convert, save
from pixpool.export.probes import report


def write(job: EngineJob) -> list[EngineEntry]:
    """The entry, or none, with the reason as a remark, where it cannot be had and was not asked for
    by name."""
    wanted = job.options.engines
    if wanted is not None and "openvino" not in wanted:
        return []
    path = job.folder / "backbone.xml"
    try:
        save(convert(job.trunk, job.golden), path)
        graph = OpenVinoGraph(path, torch.get_num_threads())
        checks = job.compare(graph)
    except ExportError as error:
        if wanted is not None:
            raise ExportError(f"engine openvino: {error}") from error
        job.progress(f"remark: without engine openvino: {error}")
        for written in (path, path.with_suffix(".bin")):
            written.unlink(missing_ok=True)
        return []
    for check in checks:
        report("openvino ", check, job.progress)
    return [{"engine": "openvino", "precision": "float32", "path": path.name}]


def load(folder: Path, entry: EngineEntry, threads: int) -> OpenVinoGraph:
    return OpenVinoGraph(folder / entry["path"], threads)
