"""Small ONNX files made by hand: a stem, a block with a residual sum, average pooling and a linear
layer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 5


def weights(seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)

    def values(*shape: int) -> np.ndarray:
        return random.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)

    return {
        "stem.weight": values(8, 3, 3, 3),
        "stem.bias": values(8),
        "down.weight": values(12, 8, 3, 3),
        "body.weight": values(12, 12, 3, 3),
        "fc.weight": values(CLASSES, 12),
        "fc.bias": values(CLASSES),
    }


def node(kind: str, inputs: str, output: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=output + "_node", **attributes)


def convolution(inputs: str, output: str, stride: int = 1) -> onnx.NodeProto:
    return node("Conv", inputs, output, strides=[stride, stride], pads=[1, 1, 1, 1])


TRUNK = [
    convolution("x stem.weight stem.bias", "stem", 2),
    node("Relu", "stem", "stem_relu"),
    convolution("stem_relu down.weight", "down", 2),
    convolution("down body.weight", "branch"),
    node("Add", "down branch", "sum"),
    node("Relu", "sum", "map"),
]
HEAD = [
    node("GlobalAveragePool", "map", "pooled"),
    node("Flatten", "pooled", "flat"),
    node("Gemm", "flat fc.weight fc.bias", "logits", transB=1),
]


def value(name: str, shape, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    path: Path,
    nodes=None,
    inputs=None,
    outputs=None,
    constants=None,
    domain: str | None = None,
    opset: int = 17,
    **options,
) -> Path:
    """The network above, or what is given in place of its parts."""
    constants = {**weights(), **(constants or {})}
    graph = helper.make_graph(
        TRUNK + HEAD if nodes is None else nodes,
        "small",
        inputs or [value("x", [1, 3, 64, 64])],
        outputs or [value("logits", None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    version = 8 if opset == 17 else helper.find_min_ir_version_for(opsets, ignore_unknown=True)
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    model = helper.make_model(graph, opset_imports=opsets, ir_version=version)
    onnx.save(model, str(path), **options)
    return path
