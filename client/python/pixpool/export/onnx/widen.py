"""An ONNX file's float16 and bfloat16 as float32: the same weights, computed without rounding."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pixpool._extras import how_to_install
from pixpool.export.errors import ExportError, brief

# Attributes that name an element type: of Cast, of EyeLike and its like, of DequantizeLinear.
_KINDS = ("to", "dtype", "output_dtype")


def widened(path: Path, why: str) -> Any:
    """The file as a ModelProto that computes in float32 throughout; every value of the narrow types
    is one of float32. `why` is said where the package onnx is not installed (ExportError)."""
    try:
        import onnx
    except ImportError as error:
        raise ExportError(
            f"{path} {why}; to make float32 of it the exporter needs the package onnx:"
            f" {how_to_install('onnx')}"
        ) from error
    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise ExportError(f"the package onnx does not read {path}: {brief(error)}") from error
    _Widening(onnx).model(model)
    return model


class _Widening:
    def __init__(self, onnx: ModuleType) -> None:
        self._onnx = onnx
        self._float = onnx.TensorProto.FLOAT
        self._narrow = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

    def model(self, model: Any) -> None:
        self._graph(model.graph)
        for function in model.functions:
            self._nodes(function.node)

    def _graph(self, graph: Any) -> None:
        for tensor in graph.initializer:
            self._tensor(tensor)
        for tensor in graph.sparse_initializer:
            self._tensor(tensor.values)
        for value in [*graph.input, *graph.output, *graph.value_info]:
            if value.type.tensor_type.elem_type in self._narrow:
                value.type.tensor_type.elem_type = self._float
        self._nodes(graph.node)

    def _nodes(self, nodes: Any) -> None:
        for node in nodes:
            for attribute in node.attribute:
                if attribute.name in _KINDS and attribute.i in self._narrow:
                    attribute.i = self._float
                if attribute.HasField("t"):
                    self._tensor(attribute.t)
                if attribute.HasField("sparse_tensor"):
                    self._tensor(attribute.sparse_tensor.values)
                for tensor in attribute.tensors:
                    self._tensor(tensor)
                if attribute.HasField("g"):
                    self._graph(attribute.g)
                for graph in attribute.graphs:
                    self._graph(graph)

    def _tensor(self, tensor: Any) -> None:
        if tensor.data_type in self._narrow:
            values = self._onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(self._onnx.numpy_helper.from_array(values, tensor.name))
