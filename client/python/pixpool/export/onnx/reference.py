"""What the bundle's graph is compared with: the file itself, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixpool.export.errors import ExportError, brief
from pixpool.export.onnx.flow import tensors_of
from pixpool.export.onnx.layers import TensorRef
from pixpool.export.onnx.source import OnnxModel, reason_of
from pixpool.export.openvino_graph import FLOAT32
from pixpool.export.recipe import Recipe

_Array = NDArray[Any]
Runner = Callable[[_Array], list[_Array]]


class Reference:
    """Runs the file on pictures: uint8 [N, H, W, 3] to the layers, float32 [N, C, h, w], and after
    them `more` tensors as they are. `unchanged` runs the file as it is, in its own size and
    precision; else it computes in float32, and unless it is fixed the sizes that it gives its input
    are taken out of it. A fixed one gets as many pictures at a time as it is made for."""

    def __init__(
        self,
        source: OnnxModel,
        layers: Sequence[TensorRef],
        recipe: Recipe,
        *,
        more: Sequence[str] = (),
        unchanged: bool = False,
    ) -> None:
        self._source = source
        self._turned = [layer.channels_last for layer in layers] + [False for _ in more]
        self._mean, self._std = (np.array(v, np.float32) for v in (recipe.mean, recipe.std))
        make = _onnx_runtime if has_onnx_runtime() else _openvino
        self._run = make(source, [*(layer.path for layer in layers), *more], unchanged)

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        values: _Array = images.numpy()
        if not self._source.input.pixels:
            values = (values.astype(np.float32) - self._mean) / self._std
        if self._source.bgr:
            values = values[..., ::-1]
        if self._source.input.channels_first:
            values = values.transpose(0, 3, 1, 2)
        outputs = self._in_parts(np.ascontiguousarray(values))
        return tuple(
            torch.from_numpy(v.transpose(0, 3, 1, 2) if turned else v).float()
            for v, turned in zip(outputs, self._turned, strict=True)
        )

    def _in_parts(self, values: _Array) -> list[_Array]:
        count = self._source.input.sides[0] if self._source.fixed else 0
        if count in (0, len(values)):
            return self._run(values)
        parts = []
        for start in range(0, len(values), count):
            part = values[start : start + count]
            # The last picture again where the file takes more than are left.
            filled = np.concatenate([part, *[part[-1:]] * (count - len(part))])
            parts.append([output[: len(part)] for output in self._run(filled)])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def has_onnx_runtime() -> bool:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def reference_name() -> str:
    if has_onnx_runtime():
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__}"
    return "OpenVINO on the file itself, in its most accurate setting"


def _onnx_runtime(source: OnnxModel, tensors: list[str], unchanged: bool) -> Runner:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what fails is raised too
    try:
        model = onnx.ModelProto()
        if source.wide is None or unchanged:
            model = onnx.load(str(source.path))
        else:
            model.CopyFrom(source.wide)
        _want(onnx, model.graph, source.input.name, tensors, not (unchanged or source.fixed))
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ExportError(
            f"ONNX Runtime does not take {source.path}, so there is nothing to check the bundle"
            f" against: {brief(error)}"
        ) from error
    (taken,) = session.get_inputs()
    half = taken.type == "tensor(float16)"
    return lambda values: session.run(
        tensors, {taken.name: values.astype(np.float16) if half else values}
    )


def _want(
    onnx: ModuleType, graph: Any, pictures: str, tensors: list[str], open_sizes: bool
) -> None:
    """Makes the tensors the graph's outputs and `pictures` its input, and drops what they do not
    need: it may hold for the file's own size alone."""
    needed, nodes = set(tensors), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= _inputs(onnx, node)
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(nodes)]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    used = [tensor for tensor in graph.initializer if tensor.name in needed]
    constants = {tensor.name for tensor in used}
    taken = [value for value in graph.input if value.name in constants or value.name == pictures]
    for field, values in ((graph.initializer, used), (graph.input, taken)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)
    if open_sizes:
        del graph.value_info[:]  # sizes that follow from the input's
        (picture,) = (value for value in graph.input if value.name == pictures)
        for at, dimension in enumerate(picture.type.tensor_type.shape.dim):
            if not (dimension.HasField("dim_value") and dimension.dim_value == 3 and at in (1, 3)):
                dimension.dim_param = f"size{at}"


def _inputs(onnx: ModuleType, node: Any) -> set[str]:
    """What a node uses, its bodies (If, Loop) included."""
    used = set(node.input)
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs
        for inner in (child for graph in graphs for child in graph.node):
            used |= _inputs(onnx, inner)
        used.update(value.name for graph in graphs for value in graph.output)
    return used


def _openvino(source: OnnxModel, tensors: list[str], unchanged: bool) -> Runner:
    """Each size gets the file anew, fixed to that size, so that the bundle's open sizes and its
    normalisation are checked; what OpenVINO computes wrong, it would not show."""
    import openvino as ov

    config = {
        **FLOAT32,
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }

    def run(values: _Array) -> list[_Array]:
        clone = source.model.clone()
        outputs = tensors_of(clone)
        model = ov.Model([outputs[t] for t in tensors], clone.get_parameters())
        try:
            if not (unchanged or source.fixed):
                model.reshape(list(values.shape))
            compiled = ov.Core().compile_model(model, "CPU", config)
            results = compiled(values)
        except RuntimeError as error:
            raise RuntimeError(reason_of(error)) from error
        return [results[i].copy() for i in range(len(tensors))]

    return run
