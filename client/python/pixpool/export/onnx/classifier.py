"""The linear classifier at the end of an ONNX file, if it has one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pixpool.export.onnx.flow import Flow, before_rounding, sources
from pixpool.export.onnx.inputs import output_name_of
from pixpool.export.openvino_graph import FLOAT32

# What may follow the linear layer: none of them changes the order of the scores.
_TAIL = ("Result", "Softmax", "Reshape", "Squeeze", "Convert")

# Rows in, the rows that each end makes of them out.
_Function = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


@dataclasses.dataclass
class LinearEnd:
    """`head` applied to pooled features gives the values of the ONNX tensor `logits`."""

    logits: str
    head: nn.Linear


def find_linear_end(original: Any) -> tuple[LinearEnd | None, str]:
    """The linear layer that one of the file's outputs ends with, and a remark where there is none.

    Whether average pooling is what comes before it is not asked here: the numbers show it."""
    results = original.get_results()
    ends = {}
    for at, result in enumerate(results):
        end = _linear_end(original.clone(), at)
        if end is not None:
            ends[output_name_of(result)] = end
    if len({end.logits for end in ends.values()}) > 1:
        return None, (
            f"no classifier: the outputs {', '.join(ends)} end in linear layers of their own;"
            " --onnx-output chooses one"
        )
    return next(iter(ends.values()), None), ""


def _linear_end(model: Any, at: int) -> LinearEnd | None:
    """Follows an output back over a softmax and over rounding to steps, then over the bias and the
    scale of a Gemm to its matrix product with a constant, or to a convolution of one cell."""
    flow = Flow(model)
    node = model.get_results()[at]
    while len(flow.inputs(node)) == 1 and node.get_type_name() in _TAIL:
        (node,) = flow.inputs(node)
        node = before_rounding(node, flow)
    names = sorted(node.output(0).get_names())
    end = product = node
    between = ("Add", "Multiply", "Convert")  # casts between them are Keras's
    while product.get_type_name() in between and len(flow.inputs(product)) == 1:
        (product,) = flow.inputs(product)
    data = flow.inputs(product)
    if not names or len(data) != 1 or sources(product)[0].get_name() != data[0].get_name():
        return None
    shape = _vectors(product)
    if shape is None:
        return None
    width = max(shape)
    # The bias is what zeros give; the weights what unit vectors give before it is added.
    before = flow.inputs(end)[0] if end.get_type_name() == "Add" else end
    run = _compiled(product, [before, end], shape)
    (offset,), (bias,) = run(np.zeros((1, width), np.float32))
    columns = run(np.eye(width, dtype=np.float32))[0] - offset
    head = nn.Linear(width, len(bias))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(columns.T.copy()))
        head.bias.copy_(torch.from_numpy(bias.copy()))
    return LinearEnd(names[0], head.requires_grad_(False))


def _vectors(product: Any) -> list[int] | None:
    """The shape of the vectors that an operation takes, -1 for their number; None for what is not
    the same as a linear layer."""
    kind, attributes = product.get_type_name(), product.get_attributes()
    if kind not in ("MatMul", "Convolution"):
        return None
    taken, weight = (product.input_value(at).get_partial_shape() for at in (0, 1))
    if kind == "MatMul":
        if len(weight) != 2 or attributes["transpose_a"]:
            return None
        width, shape = weight[1 if attributes["transpose_b"] else 0], [-1]
    else:
        if len(weight) != 4 or any(side != 1 for side in (*list(taken)[2:], *list(weight)[2:])):
            return None
        width, shape = weight[1], [-1, 1, 1]
    return None if width.is_dynamic else [shape[0], width.get_length(), *shape[1:]]


def _compiled(product: Any, ends: list[Any], shape: list[int]) -> _Function:
    """The operations from `product` to `ends` as a function of its data, [N, width]."""
    import openvino as ov
    from openvino import opset13 as ops

    data = ops.parameter(shape, np.float32)
    product.input(0).replace_source_output(data.output(0))
    model = ov.Model([ops.result(end.output(0)) for end in ends], [data])
    compiled = ov.Core().compile_model(model, "CPU", FLOAT32)

    def run(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        results = compiled(values.reshape(shape))
        return [results[i].reshape(len(values), -1).copy() for i in range(len(ends))]

    return run
