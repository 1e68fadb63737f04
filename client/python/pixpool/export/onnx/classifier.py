"""The linear classifier at the end of an ONNX file, if it has one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pixpool.export.onnx.flow import Flow, sources
from pixpool.export.openvino_graph import FLOAT32

# Rows in, the rows that each end makes of them out.
_Function = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


@dataclasses.dataclass
class LinearEnd:
    """`head` applied to pooled features gives the values of the ONNX tensor `logits`."""

    logits: str
    head: nn.Linear


def find_linear_end(original: Any) -> LinearEnd | None:
    """Follows the file's only result back over a softmax, the bias and the scale of a Gemm to its
    matrix product with a constant. Whether average pooling is what comes before it is not asked
    here: the numbers show it."""
    model = original.clone()
    results = model.get_results()
    if len(results) != 1:
        return None
    flow = Flow(model)
    node = sources(results[0])[0]
    if node.get_type_name() == "Softmax":
        node = sources(node)[0]
    names = sorted(node.output(0).get_names())
    end = product = node
    while product.get_type_name() in ("Add", "Multiply") and len(flow.inputs(product)) == 1:
        (product,) = flow.inputs(product)
    if product.get_type_name() != "MatMul" or not names:
        return None
    data = flow.inputs(product)
    if len(data) != 1 or sources(product)[0].get_name() != data[0].get_name():
        return None
    weight = product.input_value(1).get_partial_shape()
    channels = weight[1 if product.get_attributes()["transpose_b"] else 0]
    if len(weight) != 2 or channels.is_dynamic or product.get_attributes()["transpose_a"]:
        return None
    width = channels.get_length()
    # The bias is what zeros give; the weights what unit vectors give before it is added.
    before = flow.inputs(end)[0] if end.get_type_name() == "Add" else end
    run = _compiled(product, [before, end], width)
    (offset,), (bias,) = run(np.zeros((1, width), np.float32))
    columns = run(np.eye(width, dtype=np.float32))[0] - offset
    head = nn.Linear(width, len(bias))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(columns.T.copy()))
        head.bias.copy_(torch.from_numpy(bias.copy()))
    return LinearEnd(names[0], head.requires_grad_(False))


def _compiled(product: Any, ends: list[Any], width: int) -> _Function:
    """The operations from `product` to `ends` as a function of its data, [N, width]."""
    import openvino as ov
    from openvino import opset13 as ops

    data = ops.parameter([-1, width], np.float32)
    product.input(0).replace_source_output(data.output(0))
    model = ov.Model([ops.result(end.output(0)) for end in ends], [data])
    compiled = ov.Core().compile_model(model, "CPU", FLOAT32)
    return lambda values: [compiled(values)[i].copy() for i in range(len(ends))]
