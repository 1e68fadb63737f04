"""Explicit zero padding in front of convolutions, made part of them.

A pad of its own is a pass over memory: half the time of a depthwise convolution and more.
"""

from __future__ import annotations

from typing import Any

import torch
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
    arguments = _arguments(convolution)
    pad = arguments["input"]
    if not isinstance(pad, Node) or pad.target is not _PAD or len(pad.users) != 1:
        return False
    left, right, top, bottom = sides = _amounts(pad)
    if not sides[0] >= 0 or not all(isinstance(v, int) for v in sides):
        return False
    own = _pair(arguments["padding"])
    dilation = _pair(arguments["dilation"])
    padding, zeros = [], []
    for before, after, base, step in (
        (top, bottom, own[0], dilation[0]),
        (left, right, own[1], dilation[1]),
    ):
        if abs(after - before) % step:
            return False
        padding.append(base + max(before, after))
        # Zeros in front of the kernel move what it sees back, those behind it only lengthen it.
        zeros.append(((after - before) // step, 0) if after > before else (0, (before - after) // step))
    weight = arguments["weight"]
    if any(map(any, zeros)):
        if weight.meta["val"].shape[1] > _MAX_CHANNELS:
            return False
        with graph.inserting_before(convolution):
            amounts = [*zeros[1], *zeros[0]]
            grown = graph.call_function(_PAD, (weight, amounts, "constant", 0.0))
        grown.meta["val"] = _PAD(weight.meta["val"], amounts, "constant", 0.0)
        weight = grown
    convolution.args = (
        pad.args[0], weight, arguments["bias"], arguments["stride"], padding, dilation,
        arguments["groups"],
    )  # fmt: skip
    convolution.kwargs = {}
    return True


def _amounts(pad: Node) -> tuple[Any, ...]:
    """Left, right, top, bottom of zero padding; negative numbers where it is anything else."""
    amounts, mode, value = (*pad.args[1:], *(["constant", 0.0][len(pad.args) - 2 :]))[:3]
    if mode != "constant" or value not in (0, None) or pad.kwargs or len(amounts) != 4:
        return (-1,) * 4
    if any(isinstance(v, int) and v < 0 for v in amounts):
        return (-1,) * 4
    return tuple(amounts)


def _arguments(convolution: Node) -> dict[str, Any]:
    found: dict[str, Any] = {
        "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1
    }  # fmt: skip
    names = [a.name for a in _CONVOLUTION._schema.arguments]
    found.update(zip(names, convolution.args, strict=False))
    found.update(convolution.kwargs)
    return found


def _pair(value: Any) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values
