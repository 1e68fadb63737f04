"""The linear classifier of a model, taken off so that it can be applied to any map size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_TOLERANCE = 1e-3  # of the largest logit; the two ways of pooling differ by rounding


@dataclasses.dataclass
class Classifier:
    """`weight` [classes, channels] and `bias` [classes], float32: on the average of a layer's map,
    or on a vector."""

    layer: str | None
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    parameters: Sequence[str] = ()  # the model's names for them
    vector: str | None = None

    @property
    def class_count(self) -> int:
        return int(self.weight.shape[0])


@dataclasses.dataclass
class FullRun:
    """What one run of the whole model showed: its answer and the linear layer that gave it."""

    output: Tensor | None  # logits [N, classes]; None: something else
    head: nn.Linear | None
    parameters: Sequence[str] = ()  # the model's names for the head's
    path: str = ""  # of the head, which answered on its call of this number
    call: int = -1


@torch.no_grad()
def run_full_model(model: nn.Module, images: Tensor) -> FullRun:
    """Runs the model on normalised float32 NCHW pictures and watches its linear layers."""
    calls: list[tuple[str, nn.Linear, Tensor, Tensor]] = []

    def keep(path: str, linear: nn.Linear, given: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((path, linear, given[0], output))

    handles = [
        module.register_forward_hook(lambda m, given, out, path=path: keep(path, m, given, out))
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        output = model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor):
        return FullRun(None, None)
    if not calls:
        return FullRun(output, None)
    path, head, taken, logits = calls[-1]
    # The same values of vectors, or the model does more after its last linear layer (a softmax).
    if taken.dim() != 2 or not torch.equal(output, logits):
        return FullRun(output, None)
    own = {id(parameter) for parameter in head.parameters()}
    names = [name for name, parameter in model.named_parameters() if id(parameter) in own]
    return FullRun(output, head, names, path, sum(call[0] == path for call in calls) - 1)


@torch.no_grad()
def with_affine_parts(run: FullRun, model: nn.Module, embedding: Tensor) -> FullRun:
    """The run with a linear layer that does what the parts of the model's classifier do, where that
    is not one linear layer: a norm and a linear layer, a convolution of one cell, or two
    classifiers whose answers are averaged (as distilled models have). timm's models say which parts
    they are."""
    get = getattr(model, "get_classifier", None)
    if run.head is not None or run.output is None or not callable(get) or run.output.dim() != 2:
        return run
    found = get()
    parts = list(found) if isinstance(found, (tuple, list)) else [found]
    names = []
    weight, bias = torch.zeros(run.output.shape[1], embedding.shape[1]), torch.zeros(1)
    for part in parts:
        own = {id(parameter) for parameter in part.parameters()}
        if not own:
            return run  # the model is without a classifier
        try:
            at_zero = _of_vectors(part, torch.zeros(1, embedding.shape[1]))
            at_units = _of_vectors(part, torch.eye(embedding.shape[1]))
            weight = weight + (at_units - at_zero).T / len(parts)
        except Exception:
            return run  # it takes something else than the embedding
        bias = bias + at_zero[0] / len(parts)
        names += [name for name, parameter in model.named_parameters() if id(parameter) in own]
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.weight.copy_(weight)
    head.bias.copy_(bias)
    return dataclasses.replace(run, head=head, parameters=names)


def _of_vectors(part: nn.Module, vectors: Tensor) -> Tensor:
    """What a part of a classifier makes of vectors, which a convolution takes as single cells."""
    if any(isinstance(module, nn.Conv2d) for module in part.modules()):
        vectors = vectors[:, :, None, None]
    answers: Tensor = part(vectors)
    return answers.flatten(1)


def find_classifier(
    run: FullRun,
    layers: list[tuple[str, Tensor]],
    vectors: Sequence[tuple[str, Tensor]] = (),
    tolerance: float = _TOLERANCE,
) -> tuple[Classifier | None, str]:
    """The classifier and the layer or vector it belongs to, and a remark on what was found.

    A layer qualifies only if global average pooling of its map and the linear layer give the
    model's own logits: channels alone prove nothing (a norm or an activation may lie between).
    Where none does, a vector may. `tolerance` is a share of the largest logit.
    """
    if run.head is None or run.output is None:
        return None, "no classifier: the model does not end in a linear layer"
    weight = run.head.weight.detach().float()
    bias = torch.zeros(len(weight))
    if run.head.bias is not None:
        bias = run.head.bias.detach().float()
    worst = None
    pooled = []
    if weight.any():  # or every layer would do
        pooled = [(name, taken.float().mean((2, 3)), False) for name, taken in reversed(layers)]
    pooled += [(name, taken.float(), True) for name, taken in vectors]
    scale = run.output.abs().max().item() or 1.0
    for name, values, is_vector in pooled:
        if values.shape[1] != weight.shape[1]:
            continue
        difference = (values @ weight.T + bias - run.output).abs().max().item()
        if difference <= tolerance * scale:
            found = Classifier(
                layer=None if is_vector else name,
                weight=weight.numpy().copy(),
                bias=bias.numpy().copy(),
                parameters=run.parameters,
                vector=name if is_vector else None,
            )
            where = f"vector '{name}'" if is_vector else f"layer '{name}'"
            return found, f"classifier of {found.class_count} classes on {where}"
        # Layers run backwards, so the one to report is the first: the last map.
        worst = worst or (
            f"no classifier: the linear layer on {'' if is_vector else 'the average of '}'{name}'"
            f" misses the model's own logits by {difference:.3g}; the model does more between them"
        )
    return None, worst or (
        f"no classifier: the linear layer wants {weight.shape[1]} channels, which no layer or"
        " vector has"
    )


@torch.no_grad()
def drop_unused(model: nn.Module, images: Tensor, trunk_run: Callable[[], object]) -> None:
    """Replaces by Identity the leaf modules that only run after the last named output, so that
    their weights are not stored in the graph."""
    full = _called_leaves(model, lambda: model(images))
    used = _called_leaves(model, trunk_run)
    for path in full - used:
        parent_path, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent_path), name, nn.Identity())


def _called_leaves(model: nn.Module, run: Callable[[], object]) -> set[str]:
    called: set[str] = set()
    handles = [
        # After it ran: a trunk may end with what a module takes.
        module.register_forward_hook(lambda _m, _i, _o, path=path: called.add(path))
        for path, module in model.named_modules()
        if path and not any(True for _ in module.children())
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return called
