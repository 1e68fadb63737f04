"""What a bundle gives: the layers and vectors that the user named, and the model's embedding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from pixpool.export.embedding import NAME as EMBEDDING
from pixpool.export.embedding import find_embedding
from pixpool.export.errors import ExportError
from pixpool.export.options import BundleOptions
from pixpool.export.probes import pictures
from pixpool.export.recipe import Recipe
from pixpool.export.source import SourceModel
from pixpool.export.trunk import Forward, LayerRef, Trunk, VectorRef, refuse_same_names, run_model


@dataclasses.dataclass(frozen=True)
class Outputs:
    layers: list[LayerRef] | None  # None: to be found
    vectors: list[VectorRef]
    forward: Forward  # that gives them
    remark: str  # on the embedding, for the log
    cuts: bool  # the user named what is wanted, so no more of the model need run

    def named_vectors(self) -> list[tuple[str, str]]:
        """Names and modules of those that the user named."""
        return [(vector.name, str(vector)) for vector in self.vectors if not vector.is_own]

    def whole_run(self, model: nn.Module, recipe: Recipe) -> Callable[[Tensor], object]:
        """The model on pictures as far as the bundle needs it. It takes the recipe's size."""
        if self.cuts:
            trunk = Trunk(model, self.layers or [], recipe, self.vectors, self.forward)
        else:
            trunk = Trunk(model, [], recipe)
        trunk.prepare(pictures(1, recipe.height, recipe.width))
        return trunk if self.cuts else trunk.own_output


def named_modules(layers: Sequence[LayerRef]) -> list[tuple[str, str]]:
    return [(layer.name, str(layer)) for layer in layers]


def find_outputs(
    source: SourceModel, model: nn.Module, options: BundleOptions, recipe: Recipe
) -> Outputs:
    """`model` is the source's, which takes the recipe's size."""
    layers = [LayerRef.parse(text) for text in options.layers or ()]
    wanted = options.vectors
    if wanted is None:
        wanted = ["none"] if layers else [EMBEDDING]
    named = [VectorRef.parse(text) for text in wanted if text not in (EMBEDDING, "none")]
    if "none" in wanted and len(wanted) > 1:
        raise ExportError("--vectors: 'none' stands alone")
    forward: Forward = run_model
    vectors, remark = list(named), "embedding: not in the bundle; --vectors embedding asks for it"
    if EMBEDDING in wanted:
        trunk = Trunk(model, [], recipe)
        images = pictures(2, recipe.height, recipe.width)
        trunk.prepare(images)
        found = find_embedding(model, trunk.normalize(images), source.embed)
        remark = "no embedding: the model gives no vector a picture"
        if found:
            forward, remark = found.forward, f"embedding: {found.text}"
            vectors = [found.vector, *named]
        elif options.vectors:
            raise ExportError(f"--vectors: {remark}")
    refuse_same_names(vectors)
    return Outputs(layers or source.layers, vectors, forward, remark, cuts=bool(layers))
