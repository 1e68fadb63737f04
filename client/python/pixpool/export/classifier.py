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
    """`weight` [classes, channels] and `bias` [classes], float32."""

    layer: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    parameters: Sequence[str] = ()  # the model's names for them

    @property
    def class_count(self) -> int:
        return int(self.weight.shape[0])


@dataclasses.dataclass
class FullRun:
    """What one run of the whole model showed: its answer and the linear layer that gave it."""

    output: Tensor | None  # logits [N, classes]; None: something else
    head: nn.Linear | None
    parameters: Sequence[str] = ()  # the model's names for the head's


@torch.no_grad()
def run_full_model(model: nn.Module, images: Tensor) -> FullRun:
    """Runs the model on normalised float32 NCHW pictures and watches its linear layers."""
    calls: list[tuple[nn.Linear, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda m, _i, out: calls.append((m, out)))
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        output = model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor) or not calls:
        return FullRun(None, None)
    head, logits = calls[-1]
    # The same values, or the model does more after its last linear layer (a softmax).
    if not torch.equal(output, logits):
        return FullRun(output, None)
    own = {id(parameter) for parameter in head.parameters()}
    names = [name for name, parameter in model.named_parameters() if id(parameter) in own]
    return FullRun(output, head, names)


def find_classifier(
    run: FullRun, layers: list[tuple[str, Tensor]], tolerance: float = _TOLERANCE
) -> tuple[Classifier | None, str]:
    """The classifier and the layer it belongs to, and a remark on what was found.

    A layer qualifies only if global average pooling of its map and the linear layer give the
    model's own logits: channels alone prove nothing (a norm or an activation may lie between).
    `tolerance` is a share of the largest logit.
    """
    if run.head is None or run.output is None:
        return None, "no classifier: the model does not end in a linear layer"
    weight = run.head.weight.detach().float()
    bias = torch.zeros(len(weight))
    if run.head.bias is not None:
        bias = run.head.bias.detach().float()
    worst = None
    for name, feature_map in reversed(layers):
        if feature_map.shape[1] != weight.shape[1]:
            continue
        logits = feature_map.float().mean((2, 3)) @ weight.T + bias
        difference = (logits - run.output).abs().max().item()
        scale = run.output.abs().max().item() or 1.0
        if difference <= tolerance * scale:
            weights = (weight.numpy().copy(), bias.numpy().copy())
            found = Classifier(name, *weights, run.parameters)
            return found, f"classifier of {found.class_count} classes on layer '{name}'"
        # Layers run backwards, so the one to report is the first: the last map.
        worst = worst or (
            f"no classifier: the linear layer on the average of '{name}' misses the model's own"
            f" logits by {difference:.3g}"
        )
    if worst:
        return None, worst + "; the model does more than average between map and classifier"
    return None, (
        f"no classifier: the linear layer wants {weight.shape[1]} channels, which no layer has"
    )


@torch.no_grad()
def drop_unused(model: nn.Module, images: Tensor, trunk_run: Callable[[], object]) -> None:
    """Replaces by Identity the leaf modules that only run after the last named layer, so that
    their weights are not stored in the graph."""
    full = _called_leaves(model, lambda: model(images))
    used = _called_leaves(model, trunk_run)
    for path in full - used:
        parent_path, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent_path), name, nn.Identity())


def _called_leaves(model: nn.Module, run: Callable[[], object]) -> set[str]:
    called: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda _m, _i, path=path: called.add(path))
        for path, module in model.named_modules()
        if path and not any(True for _ in module.children())
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return called
