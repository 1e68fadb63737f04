"""The engine torchscript: the traced network, which the other graphs are made beside."""

from __future__ import annotations

from pathlib import Path

import torch

from pixpool.export import verify
from pixpool.export.engine import EngineJob
from pixpool.export.manifest import EngineEntry
from pixpool.export.quiet import quiet_jit
from pixpool.export.trunk import trace


def write(job: EngineJob) -> list[EngineEntry]:
    """Compared by the pipeline, which needs the graph itself."""
    path = job.folder / "backbone.ts"
    with quiet_jit(), torch.no_grad():
        trace(job.trunk, job.golden).save(str(path))
    return [{"engine": "torchscript", "precision": "float32", "path": path.name}]


def load(folder: Path, entry: EngineEntry, _threads: int) -> torch.jit.ScriptModule:
    return verify.load_graph(folder / entry["path"])
