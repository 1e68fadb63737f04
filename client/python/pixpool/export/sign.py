"""Whether a layer can be negative, read off the traced graph rather than guessed from a sample."""

from __future__ import annotations

import torch

# Operations that give nothing below zero, whatever they get. relu6 clips to [0, 6].
_NON_NEGATIVE = {"relu", "relu6", "sigmoid", "hardsigmoid", "softmax", "exp", "abs", "square"}
# Operations that keep the sign of their first operand.
_KEEP = {
    "clone",
    "contiguous",
    "dropout",
    "feature_dropout",
    "to",
    "max_pool2d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "alias",
    "reshape",
    "select",
    "slice",
}


def non_negative_outputs(traced: torch.jit.ScriptModule) -> list[bool]:
    """For each output of the graph whether its operations rule out negative values. False where
    that cannot be told (a call into scripted code, an operation not listed)."""
    graph = traced.inlined_graph
    result = next(iter(graph.outputs()))
    return [_non_negative(value, 0) for value in result.node().inputs()]


def _non_negative(value: torch.Value, depth: int) -> bool:
    node = value.node()
    if node.kind() == "prim::TupleUnpack":  # left by inlining a call that returns a tuple
        made = node.inputsAt(0).node()
        if made.kind() != "prim::TupleConstruct":
            return False
        at = [out.debugName() for out in node.outputs()].index(value.debugName())
        return _non_negative(made.inputsAt(at), depth + 1)
    if depth > 200 or not node.kind().startswith("aten::"):
        return False
    kind = node.kind().removeprefix("aten::").removesuffix("_")
    operands = list(node.inputs())
    if kind in _NON_NEGATIVE:
        return True
    if kind in ("hardtanh", "clamp_min", "clamp"):
        low = operands[1].toIValue()
        return isinstance(low, (int, float)) and low >= 0
    if kind in _KEEP:
        return _non_negative(operands[0], depth + 1)
    if kind in ("add", "mul"):
        scale = operands[2].toIValue() if len(operands) > 2 else 1
        return (
            isinstance(scale, (int, float))
            and scale >= 0
            and all(_non_negative(v, depth + 1) for v in operands[:2])
        )
    if kind == "cat":
        return all(_non_negative(v, depth + 1) for v in operands[0].node().inputs())
    return False
