"""Explicit zero padding in front of convolutions, made part of them.

A pad of its own is a pass over memory: half the time of a depthwise convolution and more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload
from torch.fx import Graph, Node

_PAD = torch.ops.aten.pad.default
_CONVOLUTION = torch.ops.aten.conv2d.default
# Where padding differs from side to side, the kernel grows by zeros until it does not. That is
# cheap where a kernel has few input channels (depthwise, stem) and dear where it has many.
_MAX_CHANNELS = 4


def fold_pads(graph: Graph) -> int:
    """Folds what can be folded in an exported graph; gives the number of pads that are gone."""
    count = 0
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target is _CONVOLUTION and _fold(graph, node):
            count += 1
    graph.eliminate_dead_code()
    return count


def _fold(graph: Graph, convolution: Node) -> bool:
    found = _arguments(convolution, bias=None, stride=1, padding=0, dilation=1, groups=1)
    pad, weight = found["input"], found["weight"]
    if not isinstance(pad, Node) or pad.target is not _PAD or len(pad.users) != 1:
        return False
    sides = _zeros(pad)
    if sides is None:
        return False
    left, right, top, bottom = sides
    dilation = _pair(found["dilation"])
    padding, growth = [], []
    for before, after, base, step in zip(
        (top, left), (bottom, right), _pair(found["padding"]), dilation, strict=True
    ):
        if (after - before) % step:
            return False
        padding.append(base + max(before, after))
        # Zeros in front of the kernel move back what it sees, those behind it only lengthen it.
        growth.append((max(after - before, 0) // step, max(before - after, 0) // step))
    if any(map(any, growth)):
        if weight.meta["val"].shape[1] > _MAX_CHANNELS:
            return False
        amounts = [*growth[1], *growth[0]]
        with graph.inserting_before(convolution):
            grown = graph.call_function(_PAD, (weight, amounts))
        grown.meta["val"] = _PAD(weight.meta["val"], amounts)
        weight = grown
    convolution.args = (
        pad.args[0],
        weight,
        found["bias"],
        found["stride"],
        padding,
        dilation,
        found["groups"],
    )
    convolution.kwargs = {}
    return True


def _zeros(pad: Node) -> tuple[int, int, int, int] | None:
    """Left, right, top and bottom, where it is zeros, as many for every input."""
    found = _arguments(pad, mode="constant", value=None)
    amounts = found["pad"]
    if found["mode"] != "constant" or found["value"] not in (None, 0) or len(amounts) != 4:
        return None
    if not all(isinstance(amount, int) and amount >= 0 for amount in amounts):
        return None
    return tuple(amounts)


def _arguments(node: Node, **defaults: Any) -> dict[str, Any]:
    assert isinstance(node.target, OpOverload)  # what the graph's operations are
    names = [argument.name for argument in node.target._schema.arguments]
    return {**defaults, **dict(zip(names, node.args, strict=False)), **node.kwargs}


def _pair(value: Any) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values
