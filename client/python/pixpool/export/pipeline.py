"""From a loaded model to the files of a bundle, in order: layers, trace, checks, data."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pixpool.export import discover, verify
from pixpool.export.aotinductor import AotInductorGraph, write_packages
from pixpool.export.classifier import Classifier, drop_unused, find_classifier, run_full_model
from pixpool.export.data import GOLDEN_MIN_COSINE, write_classifier, write_golden
from pixpool.export.digest import weights_sha256
from pixpool.export.errors import ExportError
from pixpool.export.extras import Extras
from pixpool.export.golden import golden_picture
from pixpool.export.manifest import Body, EngineEntry, OptionalParts
from pixpool.export.models import SourceModel
from pixpool.export.openvino_graph import OpenVinoGraph, convert, save
from pixpool.export.options import BundleOptions, Progress
from pixpool.export.padding import follow_input_size
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.probes import (
    Run,
    batches,
    describe_layer,
    describe_layers,
    lowest_values,
    pictures,
    report,
    smallest_side,
)
from pixpool.export.quiet import quiet_jit
from pixpool.export.recipe import MIN_SIDE, Recipe, apply_changes
from pixpool.export.sign import non_negative_outputs
from pixpool.export.trunk import LayerRef, Trunk, refuse_same_names, trace


def build_contents(
    source: SourceModel, options: BundleOptions, folder: Path, progress: Progress
) -> Body:
    """Writes the files of a bundle into `folder`; returns the manifest's keys about them."""
    extras = Extras(options)
    recipe = apply_changes(source.recipe, options.recipe_changes)
    model = source.module
    # As it came: the trace is compared with this, so that no change made here goes unnoticed.
    original = copy.deepcopy(model)
    padded = follow_input_size(model)
    if padded:
        progress(f"padding: {padded} SAME-padded layers now follow the input size")

    layers = _choose_layers(source, options, recipe)
    digest = weights_sha256(original.state_dict(), [(layer.name, str(layer)) for layer in layers])
    Image.fromarray(golden_picture()).save(folder / "golden.png", optimize=True)
    golden = torch.from_numpy(preprocess(load_image(folder / "golden.png"), recipe))[None]

    trunk = Trunk(model, layers, recipe)
    trunk.prepare(golden)
    classifier, remark = _take_classifier(trunk, golden, layers)
    progress(remark)

    graph, checks, lowest = _trace_and_check(trunk, golden, layers, folder / "backbone.ts")
    checks.append(_check_original(graph, original, layers, source.recipe, recipe))
    for check in checks:
        report("", check, progress)
    engines: list[EngineEntry] = [
        {"engine": "torchscript", "precision": "float32", "path": "backbone.ts"}
    ]
    engines += _write_openvino(trunk, golden, layers, folder, options, progress)
    if options.aotinductor is not None:
        engines.append(_write_aotinductor(trunk, golden, layers, folder, options, progress))
    small = smallest_side(graph)
    if small > MIN_SIDE:
        progress(f"remark: the graph needs at least {small} x {small} pixels; smaller input fails")

    default_layer = layers[-1].name
    progress(write_golden(trunk, golden, folder))
    names = [layer.name for layer in layers]
    entries = describe_layers(trunk, golden, names, non_negative_outputs(graph), lowest)
    for entry in entries:
        progress(describe_layer(entry))
    found: OptionalParts = {}
    if classifier:
        found["classifier"] = write_classifier(classifier, source, options.labels, folder, progress)
    body: Body = {
        "license": options.license or source.license,
        "weights_sha256": digest,
        "input": recipe.to_json(),
        "layers": entries,
        "default_layer": default_layer,
        "engines": engines,
        **found,
        "golden": {
            "image": "golden.png",
            "layer": default_layer,
            "values": "golden.f32",
            "min_cosine": GOLDEN_MIN_COSINE,
        },
    }
    extras.write(folder, body, progress)
    return body


def _choose_layers(source: SourceModel, options: BundleOptions, recipe: Recipe) -> list[LayerRef]:
    if options.layers:
        layers = [LayerRef.parse(text) for text in options.layers]
    else:
        layers = source.layers or discover.find_layers(
            source.module, recipe.height, recipe.width, source.layer_hints
        )
    refuse_same_names(layers)
    return layers


@torch.no_grad()
def _take_classifier(
    trunk: Trunk, images: Tensor, layers: list[LayerRef]
) -> tuple[Classifier | None, str]:
    run = run_full_model(trunk.model, trunk.normalize(images))
    maps = list(zip([layer.name for layer in layers], trunk(images), strict=True))
    classifier, remark = find_classifier(run, maps)
    drop_unused(trunk.model, trunk.normalize(images), lambda: trunk(images))
    return classifier, remark


@torch.no_grad()
def _trace_and_check(
    trunk: Trunk, golden: Tensor, layers: list[LayerRef], path: Path
) -> tuple[torch.jit.ScriptModule, list[verify.Check], list[float]]:
    with quiet_jit():
        trace(trunk, golden).save(str(path))
    graph = verify.load_graph(path)  # what is checked is what was written
    checks = _compare(graph, trunk, layers, batches(golden))
    return graph, checks, lowest_values(graph, golden)


def _compare(
    graph: Run, trunk: Trunk, layers: list[LayerRef], many: Iterable[Tensor]
) -> list[verify.Check]:
    """A written graph against PyTorch, on each batch of pictures."""
    names = [layer.name for layer in layers]
    return [verify.compare(graph, trunk, images, names) for images in many]


def _write_openvino(
    trunk: Trunk,
    golden: Tensor,
    layers: list[LayerRef],
    folder: Path,
    options: BundleOptions,
    progress: Progress,
) -> list[EngineEntry]:
    """The entry of the engine openvino, or none, with the reason as a remark, where it cannot be
    had and was not asked for by name."""
    if options.engines is not None and "openvino" not in options.engines:
        return []
    path = folder / "backbone.xml"
    try:
        save(convert(trunk, golden, layers), path)
        graph = OpenVinoGraph(path, torch.get_num_threads())
        checks = _compare(graph, trunk, layers, batches(golden))
    except ExportError as error:
        if options.engines is not None:
            raise ExportError(f"engine openvino: {error}") from error
        progress(f"remark: without engine openvino: {error}")
        for written in (path, path.with_suffix(".bin")):
            written.unlink(missing_ok=True)
        return []
    for check in checks:
        report("openvino ", check, progress)
    return [{"engine": "openvino", "precision": "float32", "path": path.name}]


def _write_aotinductor(
    trunk: Trunk,
    golden: Tensor,
    layers: list[LayerRef],
    folder: Path,
    options: BundleOptions,
    progress: Progress,
) -> EngineEntry:
    """The entry of the engine aotinductor, which is made only where it was asked for."""
    assert options.aotinductor is not None
    progress(f"compiling for {options.aotinductor}: this takes a minute or two")
    try:
        entry = write_packages(trunk, folder, options.aotinductor)
        graph = AotInductorGraph(folder, entry)
        # One picture too, at sizes of both packages: the example that is compiled has two.
        many = [*batches(golden), pictures(1, 160, 288), pictures(1, 97, 131)]
        for check in _compare(graph, trunk, layers, many):
            report("aotinductor ", check, progress)
    except ExportError as error:
        raise ExportError(f"engine aotinductor: {error}") from error
    if entry["min_side"] > MIN_SIDE:
        progress(f"remark: aotinductor takes pictures from {entry['min_side']} pixels a side")
    return entry


def _check_original(
    graph: torch.jit.ScriptModule,
    original: torch.nn.Module,
    layers: list[LayerRef],
    own: Recipe,
    recipe: Recipe,
) -> verify.Check:
    """Against the model before any change, at the size it was made for."""
    images = pictures(1, own.height, own.width)
    reference = Trunk(original, layers, recipe)
    reference.prepare(images)
    check = verify.compare(graph, reference, images, [layer.name for layer in layers])
    return dataclasses.replace(check, images=check.images + " against the unchanged model")
