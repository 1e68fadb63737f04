"""What a head that `--pca` fits on reads of the outputs of a bundle's graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixpool.export.embedding import NAME as EMBEDDING
from pixpool.export.errors import ExportError
from pixpool.export.manifest import Body, LayerEntry

if TYPE_CHECKING:
    from pixpool.export.head_spec import HeadSpec

Outputs = Sequence[Tensor]


@dataclasses.dataclass(frozen=True)
class HeadSource:
    """`read` gives, of a graph's outputs, what the head is called with: a layer's map, or the
    vector itself. One of `layer` and `vector` is its name."""

    read: Callable[[Outputs], Tensor]
    layer: str | None = None
    vector: str | None = None

    def text(self) -> str:
        return self.layer if self.layer is not None else f"vector '{self.vector}'"


def head_source(body: Body, head: HeadSpec, layer: str | None, flag: str) -> HeadSource:
    """In the bundle of this manifest; `layer` None is the default one. Refuses (ExportError, which
    begins with `flag`) what the bundle does not have."""
    if head.kind in ("embedding", "bundle_head"):
        name = EMBEDDING if head.kind == "embedding" else str(head.parameters.get("name"))
        return _of_vector(body, name, layer, f"{flag}: {head.kind}")
    layers = {entry["name"]: at for at, entry in enumerate(body["layers"])}
    name = layer or body["default_layer"]
    if name not in layers:
        raise ExportError(f"{flag}: the model has no layer '{name}'; it has {', '.join(layers)}")
    at = layers[name]
    tokens = _tokens_at(body, at)
    if head.kind == "class_token":
        token = _token(body["layers"][at], head, flag)
        return HeadSource(lambda outputs: outputs[tokens][:, token], layer=name)
    if head.kind == "mean_token" and "prefix_tokens" in body["layers"][at]:

        def mean(outputs: Outputs) -> Tensor:
            patches = outputs[at].flatten(2).transpose(1, 2)
            return torch.cat([outputs[tokens], patches], 1).double().mean(1)

        return HeadSource(mean, layer=name)
    if head.kind == "mean_token":
        return HeadSource(lambda outputs: outputs[at].double().mean((2, 3)), layer=name)
    return HeadSource(lambda outputs: outputs[at], layer=name)


def _of_vector(body: Body, name: str, layer: str | None, flag: str) -> HeadSource:
    names = [entry["name"] for entry in body.get("vectors", [])]
    if layer is not None:
        raise ExportError(f"{flag} takes no layer; leave '{layer}' out")
    if name not in names:
        raise ExportError(
            f"{flag}: the bundle has no vector '{name}'; it has {', '.join(names) or 'none'}"
        )
    at = len(names) - names.index(name)  # vectors are the last outputs
    return HeadSource(lambda outputs: outputs[len(outputs) - at], vector=name)


def _tokens_at(body: Body, at: int) -> int:
    """The place among the outputs of the tokens before the map of the layer at a place."""
    holders = [i for i, entry in enumerate(body["layers"]) if entry.get("prefix_tokens")]
    return len(body["layers"]) + sum(i < at for i in holders)


def _token(entry: LayerEntry, head: HeadSpec, flag: str) -> int:
    """Which of the tokens before the map is meant; registers count from 1 after the class token."""
    count, has_class = entry.get("prefix_tokens", 0), entry.get("class_token", False)
    register = head.parameters.get("register")
    if register is None:
        if has_class:
            return 0
        raise ExportError(f"{flag}: layer '{entry['name']}' has no class token")
    token = int(register) - (not has_class)
    if token >= count:
        raise ExportError(
            f"{flag}: layer '{entry['name']}' has {count - has_class} registers; register is"
            f" {register}"
        )
    return token
