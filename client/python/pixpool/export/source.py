"""A model as the exporter takes it, wherever it is from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import nn

from pixpool.export.recipe import Recipe
from pixpool.export.trunk import Forward, LayerRef


@dataclasses.dataclass
class SourceModel:
    """A model in eval mode and what its origin says about it."""

    module: nn.Module
    name: str
    origin: str  # what was loaded, for the log
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    license: str = "unknown"
    layers: list[LayerRef] | None = None  # None: to be found
    layer_hints: list[str] = dataclasses.field(default_factory=list)
    # What layers that are found are called, by the paths of their modules; others by those paths.
    layer_names: dict[str, str] = dataclasses.field(default_factory=dict)
    labels: list[str] | None = None
    imagenet: bool = False  # whether 1000 classes are ImageNet's
    takes_class_count: bool = False  # whether it can be made with the argument num_classes
    # What its authors call for the embedding; None: it is to be found, see find_embedding.
    embed: Forward | None = None
    # Makes it again, without weights, so that its positions follow the input's size; None: they do,
    # or cannot.
    for_any_size: Callable[[], nn.Module] | None = None
