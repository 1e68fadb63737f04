"""Adds to the files of a bundle what is made from the user's pictures or training: projections,
filters, int8.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from pixpool.export.engine import load_backbone
from pixpool.export.errors import ExportError
from pixpool.export.filters import read_filter, write_filter
from pixpool.export.head_source import HeadSource, head_source
from pixpool.export.manifest import Body, ProjectionEntry
from pixpool.export.options import BundleOptions, Progress
from pixpool.export.projection import Whitening, fit_whitening, list_pictures, vectors_of
from pixpool.export.recipe import Recipe
from pixpool.export.specs import PcaSpec

if TYPE_CHECKING:
    from pixpool.export.head_spec import HeadSpec


class _Source(TypedDict, total=False):
    layer: str
    vector: str


class _Paths(TypedDict):
    mean: str
    matrix: str


class Extras:
    """What `--pca` and `--filter` ask for. Made before the export itself, so that a wrong name,
    folder or file is refused (ExportError) at once rather than after it."""

    def __init__(self, options: BundleOptions) -> None:
        for flag, specs in (("--pca", options.pca), ("--filter", options.filters)):
            counts = collections.Counter(spec.name for spec in specs)
            for name, count in counts.items():
                if count > 1:
                    raise ExportError(f"{flag}: name '{name}' is used {count} times")
        self._pca = [_with_head(spec) for spec in options.pca]
        self._pictures = {spec.folder: list_pictures(spec.folder) for spec in options.pca}
        self._filters = [(spec, read_filter(spec.file)) for spec in options.filters]
        self._threads = options.threads
        self._int8, self._judge = options.int8, options.int8_judge
        self._accept_worse = options.accept_worse_int8
        if self._int8 is not None:
            for source in filter(None, (self._int8, self._judge)):
                list_pictures(source)  # refuses a folder without any

    def write(self, folder: Path, body: Body, progress: Progress) -> None:
        """Writes the files into the bundle's `folder` and appends the entries to `body`, the
        manifest's keys. Refuses (ExportError) unknown layers, filters that do not fit theirs, and
        what fit_whitening refuses."""
        layers = {layer["name"]: layer for layer in body["layers"]}
        for pca, head in self._pca:
            head_source(body, head, pca.layer, f"--pca {pca.name}")
        for spec, _ in self._filters:
            if (spec.layer or body["default_layer"]) not in layers:
                raise ExportError(
                    f"--filter {spec.name}: the model has no layer '{spec.layer}'; it has"
                    f" {', '.join(layers)}"
                )
        for spec, stored in self._filters:
            layer = layers[spec.layer or body["default_layer"]]
            entry = write_filter(spec, stored, layer, folder)
            body.setdefault("filters", []).append(entry)
            progress(
                f"filter {entry['name']}: {entry['output_channels']} channels from layer"
                f" {entry['layer']}, groups {entry['groups']}, window {entry['kernel_size']},"
                f" stride {entry['stride']}"
            )
        if self._int8 is not None:
            from pixpool.export.quantize import write_int8  # late: NNCF is an extra of its own

            threads = self._threads or torch.get_num_threads()
            write_int8(folder, body, self._int8, self._judge, self._accept_worse, threads, progress)
        for pictures in self._pictures:
            same = [(spec, head) for spec, head in self._pca if spec.folder == pictures]
            body.setdefault("projections", []).extend(self._fit(same, folder, body, progress))

    def _fit(
        self,
        wanted: list[tuple[PcaSpec, HeadSpec]],
        folder: Path,
        body: Body,
        progress: Progress,
    ) -> list[ProjectionEntry]:
        """Fits the projections that share a folder of pictures, which are read once."""
        start = time.monotonic()
        graph = load_backbone(folder, body["engines"][0], self._threads or torch.get_num_threads())
        sources = [head_source(body, head, spec.layer, "--pca") for spec, head in wanted]
        heads = [(at, head) for at, (_, head) in enumerate(wanted)]
        pictures = self._pictures[wanted[0][0].folder]
        recipe = Recipe.from_json(body["input"])
        with _threads(self._threads or torch.get_num_threads()):
            collected = vectors_of(
                lambda images: _read_all(sources, graph(images)), recipe, pictures, heads, progress
            )
        progress(
            f"pictures: {len(collected[0])} of {wanted[0][0].folder} in"
            f" {time.monotonic() - start:.1f} s"
        )
        entries: list[ProjectionEntry] = []
        for (spec, head), source, vectors in zip(wanted, sources, collected, strict=True):
            start = time.monotonic()
            try:
                fitted = fit_whitening(vectors, spec.dimensions)
            except ExportError as error:
                raise ExportError(f"--pca {spec.name}: {error}") from error
            progress(
                f"projection {spec.name}: {len(fitted.matrix)} of {vectors.shape[1]} dimensions"
                f" of {head.kind} on {source.text()} keep"
                f" {100 * fitted.explained_variance:.1f} % of the variance; fitted in"
                f" {time.monotonic() - start:.1f} s"
            )
            entry: ProjectionEntry = {
                "name": spec.name,
                **_stands_on(source),
                "head": head.kind,
                "head_parameters": head.parameters,
                "input_dimensions": vectors.shape[1],
                "output_dimensions": len(fitted.matrix),
                **_write_whitening(spec.name, fitted, folder),
                "pictures": len(vectors),
                "explained_variance": round(fitted.explained_variance, 6),
            }
            entries.append(entry)
        return entries


def _read_all(sources: Sequence[HeadSource], outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(source.read(outputs) for source in sources)


def _stands_on(source: HeadSource) -> _Source:
    if source.layer is not None:
        return {"layer": source.layer}
    return {"vector": str(source.vector)}


def _with_head(spec: PcaSpec) -> tuple[PcaSpec, HeadSpec]:
    """What `--pca` asks for with its head; layer and dimensions may stand in either."""
    try:
        # Late, because it needs the generated code of the API, which a checkout may lack.
        from pixpool.export.head_spec import HeadSpec
    except ImportError as error:
        raise ExportError(f"--pca: {error}") from error
    try:
        head = HeadSpec.parse(spec.head)
    except ExportError as error:
        raise ExportError(f"--pca {spec.name}: {error}") from error
    for name in ("layer", "dimensions"):
        if getattr(head, name) is not None and getattr(spec, name) is not None:
            raise ExportError(f"--pca {spec.name}: give {name} once, in the head or after it")
    if head.dimensions is not None and head.dimensions < 1:
        raise ExportError(
            f"--pca {spec.name}: dimensions is {head.dimensions}; it must be 1 or more"
        )
    layer, dimensions = spec.layer or head.layer, spec.dimensions or head.dimensions
    return dataclasses.replace(spec, layer=layer, dimensions=dimensions), head


def _write_whitening(name: str, fitted: Whitening, folder: Path) -> _Paths:
    paths: _Paths = {
        "mean": f"projection.{name}.mean.f32",
        "matrix": f"projection.{name}.matrix.f32",
    }
    fitted.mean.astype("<f4").tofile(folder / paths["mean"])
    fitted.matrix.astype("<f4").tofile(folder / paths["matrix"])
    return paths


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
