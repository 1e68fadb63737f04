"""The bundle's graph from an ONNX file: pictures of any size in, the layers out."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from pixpool.export.errors import ExportError
from pixpool.export.onnx.flow import Flow, tensors_of
from pixpool.export.onnx.layers import TensorRef
from pixpool.export.onnx.rounding import quantised_node
from pixpool.export.onnx.source import OnnxModel, reason_of
from pixpool.export.openvino_graph import set_names
from pixpool.export.recipe import Recipe


def layer_graph(source: OnnxModel, layers: list[TensorRef], recipe: Recipe) -> Any:
    """An openvino.Model: uint8 [N, H, W, 3] of any N, H and W in (of a fixed file of its own H and
    W), normalised inside, the layers out, float32 [N, C, h, w]. ExportError with the reason where
    the file does not allow it."""
    import openvino as ov
    from openvino import opset13 as ops
    from openvino.passes import ConstantFolding, Manager

    clone = source.model.clone()
    if source.fixed:
        _open_batch(ops, clone)
    images = ops.parameter([-1, -1, -1, 3], np.uint8, name="images")
    values = images
    if not source.input.pixels:
        values = ops.convert(values, "f32")
        values = ops.subtract(values, ops.constant(np.array(recipe.mean, np.float32)))
        values = ops.divide(values, ops.constant(np.array(recipe.std, np.float32)))
    if source.bgr:
        values = ops.gather(values, ops.constant(np.array([2, 1, 0])), ops.constant(np.array(3)))
    if source.input.channels_first:
        values = ops.transpose(values, ops.constant(np.array([0, 3, 1, 2], np.int64)))
    (taken,) = clone.get_parameters()
    outputs = tensors_of(clone)
    results = [ops.result(_map(ops, outputs[layer.path], layer.channels_last)) for layer in layers]
    taken.output(0).replace(values.output(0))
    try:
        model = ov.Model(results, [images], "backbone")
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        raise ExportError(
            f"{source.path} does not allow an open size up to layer '{layers[-1].name}':"
            f" {reason_of(error)}. Export it with dynamic batch, height and width, or name earlier"
            " layers with --layers name=tensor,..."
        ) from error
    # Folded, weights in int8 would become float32, and OpenVINO would compute in that.
    if quantised_node(model) is None:
        folding = Manager()
        folding.register_pass(ConstantFolding())
        folding.run_passes(model)
    set_names(model, [layer.name for layer in layers])
    return model


def _open_batch(ops: ModuleType, model: Any) -> None:
    """Has the reshapes of a model of one size take any number of pictures: exporters write the
    number that they saw into them, by itself or times the positions. That it comes first is seen
    when the graph is compared with the file."""
    for node in Flow(model).nodes:
        if node.get_type_name() != "Reshape":
            continue
        shape = node.get_output_partial_shape(0)
        pattern = node.input_value(1).get_node()
        if pattern.get_type_name() != "Constant" or shape.is_dynamic or len(shape) == 0:
            continue
        sides = [-1, *list(shape.to_shape())[1:]]
        node.input(1).replace_source_output(ops.constant(np.array(sides, np.int64)).output(0))


def _map(ops: ModuleType, output: Any, channels_last: bool) -> Any:
    """float32 [N, C, h, w]."""
    if output.get_element_type().get_type_name() != "f32":
        output = ops.convert(output, "f32").output(0)
    if channels_last:
        output = ops.transpose(output, ops.constant(np.array([0, 3, 1, 2], np.int64))).output(0)
    return output
