"""From an ONNX file to the files of a bundle: layers, graph, checks, data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pixpool.export import verify
from pixpool.export.classifier import Classifier, FullRun, find_classifier
from pixpool.export.data import GOLDEN_MIN_COSINE, write_classifier, write_golden
from pixpool.export.errors import ExportError, brief
from pixpool.export.extras import Extras
from pixpool.export.golden import golden_picture
from pixpool.export.manifest import Body, EngineEntry, OptionalParts
from pixpool.export.onnx.classifier import find_linear_end
from pixpool.export.onnx.graph import layer_graph
from pixpool.export.onnx.layers import TensorRef, find_layers, named_layers
from pixpool.export.onnx.reference import Reference, reference_name
from pixpool.export.onnx.rounding import HALF, INT8, LOGITS, quantised_node, random_node
from pixpool.export.onnx.sign import non_negative_outputs
from pixpool.export.onnx.source import OnnxModel
from pixpool.export.openvino_graph import OpenVinoGraph, save
from pixpool.export.options import BundleOptions, Progress
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.probes import (
    batches,
    describe_layer,
    describe_layers,
    lowest_values,
    pictures,
    report,
    say_sizes,
)
from pixpool.export.quantize import GOLDEN_SLACK
from pixpool.export.recipe import Recipe, apply_changes
from pixpool.export.sizes import InputSizes
from pixpool.export.trunk import LayerRef, refuse_same_names

_OPEN = "export the file with dynamic batch, height and width"


def build_contents(
    source: OnnxModel, options: BundleOptions, folder: Path, progress: Progress
) -> Body:
    """Writes the files of a bundle into `folder`; returns the manifest's keys about them."""
    if options.engines is not None and options.engines != ["openvino"]:
        raise ExportError(
            f"--engines {','.join(options.engines)}: an ONNX file gives the engine openvino alone"
        )
    if options.aotinductor is not None:
        raise ExportError("--aotinductor compiles PyTorch modules; an ONNX file is for openvino")
    if "color" in options.recipe_changes:
        raise ExportError(
            "--grey is for models that PyTorch code makes; an ONNX file takes three channels"
        )
    source = dataclasses.replace(source, bgr=options.bgr)
    extras = Extras(options)
    recipe = _choose_recipe(source, options, progress)
    for remark in source.remarks:
        progress(remark)
    stepped = quantised_node(source.model)
    if stepped is not None:
        progress(
            f"remark: the file rounds values to int8 (node '{stepped}'), and so does the bundle:"
            " its precision is int8"
        )
    bounds = None if stepped is None else INT8
    Image.fromarray(golden_picture()).save(folder / "golden.png", optimize=True)
    golden = torch.from_numpy(preprocess(load_image(folder / "golden.png"), recipe))[None]

    path = folder / "backbone.xml"
    network = _fitting_network(source, options, recipe, golden, path, bounds)
    source, recipe, layers = network.source, network.recipe, network.layers
    graph, reference = network.graph, network.reference
    names = [layer.name for layer in layers]
    progress(f"reference: {reference_name()}")
    for check in network.checks:
        report("openvino ", check, progress)
    classifier, remark = _check_as_it_is(
        source, graph, layers, recipe, _wording(source), bounds, progress
    )
    progress(remark)
    say_sizes(graph, recipe.sizes, progress)
    if network.reason:
        progress(f"remark: not every size: {network.reason}")

    progress(write_golden(reference, len(layers) - 1, golden, folder))
    signs, lowest = non_negative_outputs(network.model), lowest_values(graph, golden, recipe.sizes)
    entries = describe_layers(reference, golden, names, signs, lowest, recipe.sizes)
    for entry, layer in zip(entries, layers, strict=True):
        progress(f"{describe_layer(entry)}, {layer.path}")
    found: OptionalParts = {}
    if classifier:
        found["classifier"] = write_classifier(classifier, source, options.labels, folder, progress)
    body: Body = {
        "license": options.license or source.license,
        "weights_sha256": source.digest(layers),
        "input": recipe.to_json(),
        "layers": entries,
        "default_layer": names[-1],
        "engines": [_engine_entry(path, stepped is not None, graph, reference, golden)],
        **found,
        "golden": {
            "image": "golden.png",
            "layer": names[-1],
            "values": "golden.f32",
            "min_cosine": GOLDEN_MIN_COSINE,
        },
    }
    extras.write(folder, body, progress)
    return body


@dataclasses.dataclass(frozen=True)
class _Network:
    """The graph as written, and what it was compared with."""

    source: OnnxModel
    recipe: Recipe  # with the sizes that the graph takes
    layers: list[TensorRef]
    model: Any  # openvino.Model
    graph: OpenVinoGraph
    reference: Reference
    checks: list[verify.Check]
    reason: str = ""  # why it does not take every size


def _fitting_network(
    source: OnnxModel,
    options: BundleOptions,
    recipe: Recipe,
    golden: Tensor,
    path: Path,
    bounds: verify.Bounds | None,
) -> _Network:
    """For every size, or those that the user named; where the file does not hold for these, for the
    recipe's size alone. ExportError where it holds for neither."""
    try:
        return _network(source, options, recipe, golden, path, bounds)
    except ExportError as error:
        own = (recipe.height, recipe.width)
        known = all(
            side in (0, mine) for side, mine in zip(source.input.sides[1:], own, strict=True)
        )
        if options.sizes or not known or not recipe.gives_one_size():
            raise
        reason = str(error)
    source = dataclasses.replace(source, fixed=True)
    recipe = dataclasses.replace(recipe, sizes=InputSizes(only=(own,)))
    network = _network(source, options, recipe, golden, path, bounds)
    return dataclasses.replace(network, reason=reason)


def _network(
    source: OnnxModel,
    options: BundleOptions,
    recipe: Recipe,
    golden: Tensor,
    path: Path,
    bounds: verify.Bounds | None,
) -> _Network:
    layers = _choose_layers(source, options, recipe)
    model = layer_graph(source, layers, recipe)
    save(model, path)
    graph = OpenVinoGraph(path, torch.get_num_threads())  # what is checked is what was written
    reference = Reference(source, layers, recipe)
    names, wording = [layer.name for layer in layers], _wording(source)
    checks = [
        verify.compare(graph, reference, images, names, wording, bounds)
        for images in batches(golden, recipe.sizes)
    ]
    return _Network(source, recipe, layers, model, graph, reference, checks)


def _engine_entry(
    path: Path, quantised: bool, graph: OpenVinoGraph, reference: Reference, golden: Tensor
) -> EngineEntry:
    if not quantised:
        return {"engine": "openvino", "precision": "float32", "path": path.name}
    got, wanted = (run(golden)[-1].double().mean((2, 3))[0] for run in (graph, reference))
    cosine = torch.nn.functional.cosine_similarity(got, wanted, dim=0).item()
    return {
        "engine": "openvino",
        "precision": "int8",
        "path": path.name,
        "golden_min_cosine": round(min(cosine, 1.0) - GOLDEN_SLACK, 4),
    }


def _choose_recipe(source: OnnxModel, options: BundleOptions, progress: Progress) -> Recipe:
    """A file of float input does not say how pixels are to be normalised, and a wrong guess shows
    nowhere; one of uint8 normalises them itself."""
    recipe = apply_changes(source.recipe, options.recipe_changes)
    recipe = dataclasses.replace(recipe, sizes=InputSizes(only=tuple(options.sizes or ())))
    if source.input.pixels:
        own = (source.recipe.mean, source.recipe.std)
        if (recipe.mean, recipe.std) != own:
            raise ExportError(
                f"--mean and --std: input '{source.input.name}' takes uint8 pixels, which the file"
                " normalises itself; leave them out"
            )
    elif not ("mean" in options.recipe_changes and "std" in options.recipe_changes):
        progress(
            f"remark: pixels are normalised with mean {_triple(recipe.mean)} and std"
            f" {_triple(recipe.std)}, which the file does not say: --mean and --std set others"
            " (0 and 255 for values from 0 to 1, 0 and 1 where the file normalises itself)"
        )
    return recipe


def _triple(values: tuple[float, float, float]) -> str:
    return ",".join(f"{v:g}" for v in values)


def _choose_layers(source: OnnxModel, options: BundleOptions, recipe: Recipe) -> list[TensorRef]:
    if not options.layers:
        return find_layers(source, recipe)
    layers = [LayerRef.parse(text) for text in options.layers]
    refuse_same_names(layers)
    return named_layers(source, layers, recipe)


def _wording(source: OnnxModel) -> verify.Wording:
    random = random_node(source.model)
    return verify.Wording(
        graph="the bundle's graph",
        reference=reference_name(),
        open_sizes=_OPEN,
        fails=f"The file holds for its own size only: {_OPEN}",
        other_shape=f"The file holds a size that depends on the input: {_OPEN}",
        other_values=f"OpenVINO computes the file otherwise than {reference_name()} does"
        if random is None
        else f"The file draws random numbers (node '{random}'): export the model in eval mode",
    )


def _check_as_it_is(
    source: OnnxModel,
    graph: OpenVinoGraph,
    layers: list[TensorRef],
    recipe: Recipe,
    wording: verify.Wording,
    bounds: verify.Bounds | None,
    progress: Progress,
) -> tuple[Classifier | None, str]:
    """Compares with the file as it is, at the size it was made for, and looks for its classifier
    on the way, since what follows the layers may hold for that size alone."""
    images = pictures(source.own_batch, source.recipe.height, source.recipe.width)
    end, remark = find_linear_end(source.model)
    more = [end.logits] if end else []
    outputs, unchanged = _run_as_it_is(source, layers, recipe, more, images, progress)
    names = [layer.name for layer in layers]
    if unchanged and source.wide is not None:
        bounds = HALF
    check = verify.compare(graph, lambda _: outputs[: len(layers)], images, names, wording, bounds)
    what = "the unchanged file" if unchanged else "the file in float32"
    named = f"openvino {check.images} against {what}"
    report("", dataclasses.replace(check, images=named), progress)
    if remark:
        return None, remark
    run = FullRun(outputs[-1].flatten(1), end.head) if end else FullRun(None, None)
    found = list(zip(names, outputs, strict=False))
    return find_classifier(run, found, tolerance=LOGITS) if bounds else find_classifier(run, found)


def _run_as_it_is(
    source: OnnxModel,
    layers: list[TensorRef],
    recipe: Recipe,
    more: list[str],
    images: Tensor,
    progress: Progress,
) -> tuple[tuple[Tensor, ...], bool]:
    """What the file gives, and whether it is what it gives unchanged: ONNX Runtime does not compute
    every operator in float16, and hardly any in bfloat16."""
    try:
        return Reference(source, layers, recipe, more=more, unchanged=True)(images), True
    except Exception as error:
        why = error if isinstance(error, ExportError) else f"{reference_name()}: {brief(error)}"
        if source.wide is None:
            raise ExportError(f"the file as it is cannot be run: {why}") from error
        progress(f"remark: compared in float32 alone: {why}")
    return Reference(source, layers, recipe, more=more)(images), False
