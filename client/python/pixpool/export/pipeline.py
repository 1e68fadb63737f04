"""From a loaded model to the files of a bundle, in order: layers, trace, checks, data."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pixpool.export import discover, verify
from pixpool.export.classifier import Classifier, drop_unused, find_classifier, run_full_model
from pixpool.export.data import GOLDEN_MIN_COSINE, write_classifier, write_golden
from pixpool.export.digest import weights_sha256
from pixpool.export.engine import EngineJob, engine_module
from pixpool.export.engines import FIRST, NAMES
from pixpool.export.extras import Extras
from pixpool.export.fitting import Fitting, fit_input_size
from pixpool.export.golden import golden_picture
from pixpool.export.manifest import Body, OptionalParts
from pixpool.export.models import SourceModel
from pixpool.export.options import BundleOptions, Progress
from pixpool.export.padding import follow_input_size
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.probes import (
    describe_layer,
    describe_layers,
    lowest_values,
    report,
    say_sizes,
)
from pixpool.export.recipe import apply_changes
from pixpool.export.sign import non_negative_outputs
from pixpool.export.trunk import LayerRef, Trunk, refuse_same_names
from pixpool.export.unchanged import Unchanged


def build_contents(
    source: SourceModel, options: BundleOptions, folder: Path, progress: Progress
) -> Body:
    """Writes the files of a bundle into `folder`; returns the manifest's keys about them."""
    extras = Extras(options)
    recipe = apply_changes(source.recipe, options.recipe_changes)
    model = source.module
    own_size = fit_input_size(model, source.recipe, recipe)
    # As it came: the trace is compared with this, so that no change made here goes unnoticed.
    original = copy.deepcopy(model)
    padded = follow_input_size(model)
    if padded:
        progress(f"padding: {padded} SAME-padded layers now follow the input size")

    own = recipe.height, recipe.width
    named = [LayerRef.parse(text) for text in options.layers or ()] or source.layers
    fitting = Fitting(model, named, recipe, options.sizes)
    layers = named or discover.find_layers(model, own, fitting.sizes, source.layer_hints)
    refuse_same_names(layers)
    digest = weights_sha256(original.state_dict(), [(layer.name, str(layer)) for layer in layers])
    Image.fromarray(golden_picture()).save(folder / "golden.png", optimize=True)
    golden = torch.from_numpy(preprocess(load_image(folder / "golden.png"), recipe))[None]

    trunk = Trunk(model, layers, recipe)
    trunk.prepare(golden)
    unchanged = Unchanged(Trunk(original, layers, recipe), layers, own_size)
    dependence = unchanged.dependence()
    if not options.layers:
        dependence.refuse_stump()
    classifier, remark = _take_classifier(trunk, golden, layers)
    progress(remark)
    parameters = dependence.entry(classifier, progress)

    job = EngineJob(trunk, golden, fitting.sizes, layers, folder, options, progress)
    engines = engine_module(FIRST).write(job)
    graph = verify.load_graph(folder / engines[0]["path"])  # what is checked is what was written
    checks = fitting.settle(lambda sizes: dataclasses.replace(job, sizes=sizes).compare(graph))
    recipe = dataclasses.replace(recipe, sizes=fitting.sizes)
    job = dataclasses.replace(job, sizes=recipe.sizes)
    lowest = lowest_values(graph, golden, recipe.sizes)
    checks += unchanged.checks(graph)
    for check in checks:
        report("", check, progress)
    for name in NAMES:
        if name != FIRST:
            engines += engine_module(name).write(job)
    say_sizes(graph, recipe.sizes, progress)
    if fitting.reason:
        progress(f"remark: not every size: {fitting.reason}")

    default_layer = layers[-1].name
    progress(write_golden(trunk, golden, folder))
    names = [layer.name for layer in layers]
    signs = non_negative_outputs(graph)
    entries = describe_layers(trunk, golden, names, signs, lowest, recipe.sizes)
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
        "parameters": parameters,
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


@torch.no_grad()
def _take_classifier(
    trunk: Trunk, images: Tensor, layers: list[LayerRef]
) -> tuple[Classifier | None, str]:
    run = run_full_model(trunk.model, trunk.normalize(images))
    maps = list(zip([layer.name for layer in layers], trunk(images), strict=True))
    classifier, remark = find_classifier(run, maps)
    drop_unused(trunk.model, trunk.normalize(images), lambda: trunk(images))
    return classifier, remark
