"""Writes a bundle: graph, classifier, labels, golden and the manifest that ties them together."""

from __future__ import annotations

from pathlib import Path

from pixpool.export import pipeline
from pixpool.export.folder import bundle_dir, publish
from pixpool.export.manifest import Body
from pixpool.export.onnx import pipeline as onnx_pipeline
from pixpool.export.onnx.source import OnnxModel
from pixpool.export.options import BundleOptions, Progress
from pixpool.export.source import SourceModel

__all__ = ["BundleOptions", "write_bundle"]


def write_bundle(
    source: SourceModel | OnnxModel,
    options: BundleOptions,
    progress: Progress = lambda _line: None,
) -> Path:
    """Checks and writes `source`; a module is traced, which takes it over and changes it.

    The folder appears whole or not at all. Refuses (ExportError) a graph that differs from
    PyTorch or ONNX Runtime, and an existing bundle without `force`.
    """

    def build_contents(contents: Path) -> Body:
        if isinstance(source, OnnxModel):
            return onnx_pipeline.build_contents(source, options, contents, progress)
        return pipeline.build_contents(source, options, contents, progress)

    folder = bundle_dir(options.out, options.name or source.name, options.version)
    return publish(folder, options.force, build_contents)
