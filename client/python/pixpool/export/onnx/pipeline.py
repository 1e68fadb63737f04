"""From an ONNX file to the files of a bundle: layers, graph, checks, data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pixpool.export import verify
from pixpool.export.classifier import Classifier, FullRun, find_classifier
from pixpool.export.data import GOLDEN_MIN_COSINE, write_classifier, write_golden
from pixpool.export.errors import ExportError
from pixpool.export.extras import Extras
from pixpool.export.golden import golden_picture
from pixpool.export.manifest import Body, OptionalParts
from pixpool.export.onnx.classifier import find_linear_end
from pixpool.export.onnx.graph import layer_graph
from pixpool.export.onnx.layers import check_layers, find_layers
from pixpool.export.onnx.reference import Reference, reference_name
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
    smallest_side,
)
from pixpool.export.recipe import MIN_SIDE, Recipe, apply_changes
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
    source = dataclasses.replace(source, bgr=options.bgr)
    extras = Extras(options)
    recipe = apply_changes(source.recipe, options.recipe_changes)
    _say_recipe(recipe, options, progress)
    layers = _choose_layers(source, options, recipe)
    names = [layer.name for layer in layers]
    Image.fromarray(golden_picture()).save(folder / "golden.png", optimize=True)
    golden = torch.from_numpy(preprocess(load_image(folder / "golden.png"), recipe))[None]

    path = folder / "backbone.xml"
    model = layer_graph(source, layers, recipe)
    save(model, path)
    graph = OpenVinoGraph(path, torch.get_num_threads())  # what is checked is what was written
    reference = Reference(source, [layer.path for layer in layers], recipe)
    progress(f"reference: {reference_name()}")
    wording = _wording(source)
    for images in batches(golden):
        report("openvino ", verify.compare(graph, reference, images, names, wording), progress)
    classifier, remark = _check_as_it_is(source, graph, layers, recipe, wording, progress)
    progress(remark)
    small = smallest_side(graph)
    if small > MIN_SIDE:
        progress(f"remark: the graph needs at least {small} x {small} pixels; smaller input fails")

    progress(write_golden(reference, golden, folder))
    signs, lowest = non_negative_outputs(model), lowest_values(graph, golden)
    entries = describe_layers(reference, golden, names, signs, lowest)
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
        "engines": [{"engine": "openvino", "precision": "float32", "path": path.name}],
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


def _say_recipe(recipe: Recipe, options: BundleOptions, progress: Progress) -> None:
    """A file does not say how pixels are to be normalised, and a wrong guess shows nowhere."""
    if "mean" in options.recipe_changes and "std" in options.recipe_changes:
        return
    progress(
        f"remark: pixels are normalised with mean {_triple(recipe.mean)} and std"
        f" {_triple(recipe.std)}, which the file does not say: --mean and --std set others"
        " (0 and 255 for values from 0 to 1, 0 and 1 where the file normalises itself)"
    )


def _triple(values: tuple[float, float, float]) -> str:
    return ",".join(f"{v:g}" for v in values)


def _choose_layers(source: OnnxModel, options: BundleOptions, recipe: Recipe) -> list[LayerRef]:
    if options.layers:
        layers = [LayerRef.parse(text) for text in options.layers]
    else:
        layers = find_layers(source, recipe)
    refuse_same_names(layers)
    check_layers(source, layers)
    return layers


def _wording(source: OnnxModel) -> verify.Wording:
    half = source.half_node()
    return verify.Wording(
        graph="the bundle's graph",
        reference=reference_name(),
        open_sizes=_OPEN,
        fails=f"The file holds for its own size only: {_OPEN}",
        other_shape=f"The file holds a size that depends on the input: {_OPEN}",
        other_values="OpenVINO computes the file otherwise, or it is not deterministic"
        if half is None
        else f"The file computes in float16 (node '{half}'), which rounds otherwise in each"
        " program; export it in float32",
    )


def _check_as_it_is(
    source: OnnxModel,
    graph: OpenVinoGraph,
    layers: list[LayerRef],
    recipe: Recipe,
    wording: verify.Wording,
    progress: Progress,
) -> tuple[Classifier | None, str]:
    """Compares with the file as it is, at the size it was made for, and looks for its classifier
    on the way, since what follows the layers may hold for that size alone."""
    images = pictures(source.own_batch, source.recipe.height, source.recipe.width)
    end = find_linear_end(source.model)
    tensors = [layer.path for layer in layers] + ([end.logits] if end else [])
    unchanged = Reference(source, tensors, recipe, open_sizes=False)
    outputs: list[tuple[Tensor, ...]] = []

    def maps(taken: Tensor) -> tuple[Tensor, ...]:
        outputs.append(unchanged(taken))
        return outputs[-1][: len(layers)]

    names = [layer.name for layer in layers]
    check = verify.compare(graph, maps, images, names, wording)
    named = f"openvino {check.images} against the unchanged file"
    report("", dataclasses.replace(check, images=named), progress)
    run = FullRun(outputs[-1][-1], end.head) if end else FullRun(None, None)
    return find_classifier(run, list(zip(names, outputs[-1], strict=False)))
