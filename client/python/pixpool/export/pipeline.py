"""From a loaded model to the files of a bundle, in order: layers, trace, checks, data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from pixpool.export import discover, verify
from pixpool.export.classifier import (
    Classifier,
    drop_unused,
    find_classifier,
    run_full_model,
    with_affine_parts,
)
from pixpool.export.data import (
    GOLDEN_MIN_COSINE,
    write_classifier,
    write_golden,
    write_golden_vectors,
)
from pixpool.export.digest import weights_sha256
from pixpool.export.embedding import NAME as EMBEDDING
from pixpool.export.engine import EngineJob, engine_module
from pixpool.export.engines import FIRST, NAMES
from pixpool.export.extras import Extras
from pixpool.export.fitting import Fitting, fit_input_size
from pixpool.export.following import following_size
from pixpool.export.golden import golden_picture
from pixpool.export.manifest import Body, GoldenEntry, OptionalParts
from pixpool.export.options import BundleOptions, Progress
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.probes import (
    describe_layer,
    describe_layers,
    describe_tokens,
    describe_vectors,
    lowest_values,
    report,
    say_sizes,
)
from pixpool.export.recipe import apply_changes
from pixpool.export.sign import non_negative_outputs
from pixpool.export.source import SourceModel
from pixpool.export.trunk import Trunk, refuse_same_names
from pixpool.export.unchanged import Unchanged
from pixpool.export.wanted import find_outputs, named_modules


def build_contents(
    source: SourceModel, options: BundleOptions, folder: Path, progress: Progress
) -> Body:
    """Writes the files of a bundle into `folder`; returns the manifest's keys about them."""
    extras = Extras(options)
    recipe = apply_changes(source.recipe, options.recipe_changes)
    # As it came: the trace is compared with this, so that no change made here goes unnoticed.
    original = source.module
    model = following_size(source, progress)
    own_size = fit_input_size(original, model, source.recipe, recipe)
    own = recipe.height, recipe.width
    outputs = find_outputs(source, model, options, recipe)
    fitting = Fitting(outputs.whole_run(model, recipe), recipe, options.sizes)
    # A model that resizes what it gets has maps of one size, whatever it takes.
    layers = outputs.layers or fitting.settle(
        lambda sizes: discover.find_layers(
            model,
            own,
            sizes,
            source.layer_hints,
            source.layer_names,
            outputs.forward,
            recipe.channels,
        )
    )
    refuse_same_names(layers)
    digest = weights_sha256(original.state_dict(), named_modules(layers), outputs.named_vectors())
    Image.fromarray(golden_picture()).save(folder / "golden.png", optimize=True)
    golden = torch.from_numpy(preprocess(load_image(folder / "golden.png"), recipe))[None]

    def as_trunk(module: nn.Module) -> Trunk:
        # Layers that the user named are all that there is to be.
        attention = not options.layers
        return Trunk(module, layers, recipe, outputs.vectors, outputs.forward, attention)

    trunk = as_trunk(model)
    trunk.prepare(golden)
    unchanged = Unchanged(as_trunk(original), own_size)
    dependence = unchanged.dependence()
    # What the authors' own call for the embedding leaves out is their classifier.
    if not options.layers and outputs.forward is not source.embed:
        dependence.refuse_stump()
    classifier, remark = _take_classifier(trunk, golden)
    progress(outputs.remark)
    progress(remark)
    parameters = dependence.entry(classifier, progress)

    job = EngineJob(trunk, golden, fitting.sizes, folder, options, progress)
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
    progress(write_golden(trunk, len(layers) - 1, golden, folder))
    names = trunk.map_names()
    signs = non_negative_outputs(graph)
    entries = describe_layers(trunk, golden, names, signs, lowest, recipe.sizes)
    for entry, form in zip(entries, trunk.forms, strict=False):  # attention has none
        describe_tokens(entry, form)
    for entry in entries:
        progress(describe_layer(entry))
    found: OptionalParts = {}
    golden_entry: GoldenEntry = {
        "image": "golden.png",
        "layer": default_layer,
        "values": "golden.f32",
        "min_cosine": GOLDEN_MIN_COSINE,
    }
    if vectors := describe_vectors(trunk, golden):
        found["vectors"] = vectors
        golden_entry["vectors"] = write_golden_vectors(trunk, golden, folder)
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
        "golden": golden_entry,
    }
    extras.write(folder, body, progress)
    return body


@torch.no_grad()
def _take_classifier(trunk: Trunk, images: Tensor) -> tuple[Classifier | None, str]:
    run = run_full_model(trunk.model, trunk.normalize(images))
    outputs = trunk(images)
    maps = list(zip([layer.name for layer in trunk.layers], outputs, strict=False))
    own = [vector.name for vector in trunk.vectors]
    vectors = list(zip(own, outputs[len(outputs) - len(own) :], strict=True))
    embeddings = [(name, vector) for name, vector in vectors if name == EMBEDDING]
    for _, embedding in embeddings:
        run = with_affine_parts(run, trunk.model, embedding)
    found = find_classifier(run, maps, embeddings)
    drop_unused(trunk.model, trunk.normalize(images), lambda: trunk(images))
    return found
