"""Finds the layers worth naming in an ONNX file, which has no modules to go by."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

from pixpool.export.discover import stride_of
from pixpool.export.errors import ExportError
from pixpool.export.onnx.flow import WEIGHTED, Flow, before_rounding, tensors_of
from pixpool.export.onnx.inputs import output_name_of
from pixpool.export.onnx.source import OnnxModel, reason_of
from pixpool.export.recipe import Recipe
from pixpool.export.sizes import Size
from pixpool.export.trunk import LayerRef

_GROWTH = 256  # pixels between the two probing sizes
# Operations with weights that may follow the last map: a classifier's few layers (VGG has three).
_MAX_AFTER = 4
# Ends of a block: an activation may follow the sum.
_ACTIVATIONS = ("Relu", "Clamp", "Maximum", "Minimum", "Swish", "HSwish", "Gelu", "Sigmoid", "Elu")


@dataclasses.dataclass(frozen=True)
class TensorRef(LayerRef):
    """A layer of a file: the tensor `path`."""

    channels_last: bool = False  # [N, h, w, C], which the bundle turns


@dataclasses.dataclass(frozen=True)
class _Map:
    tensor: str
    stride: int
    channels_last: bool
    ends_block: bool
    node: Any

    def layer(self, name: str) -> TensorRef:
        return TensorRef(name, self.tensor, channels_last=self.channels_last)


def find_layers(source: OnnxModel, recipe: Recipe) -> list[TensorRef]:
    """The last map before pooling, called `features`, and before it one map a stride: the last
    that all later ones come from, preferably a block's end."""
    names = {id_of(output): name for name, output in tensors_of(source.model).items()}
    shapes, frozen = _two_sizes(source, list(names.values()), recipe)
    sizes = _probed(source, recipe)
    flow, maps = Flow(source.model), []
    for node in flow.bottlenecks():
        name = names.get(id_of(node.output(0)), "")
        if name not in shapes or node.get_type_name() == "Pad":  # a part of what comes after it
            continue
        stride, channels_last = _stride(shapes[name], sizes)
        if channels_last and node.get_type_name() == "Transpose":  # turns the map before it
            continue
        cells = shapes[name][0][1:3] if channels_last else shapes[name][0][2:]
        # One cell is what an average of the file's own size gives; without weights before it, a
        # map is the picture.
        if stride and cells != (1, 1) and _weighted(flow.until(node)):
            maps.append(_Map(name, stride, channels_last, _ends_block(node, flow), node))
    hint = f" ({frozen})" if frozen else ""
    if not maps:
        raise ExportError(
            f"{source.path} has no feature map [N, C, h, w] that follows the input size and that"
            f" all that comes after it is made from{hint}; export it with dynamic batch, height and"
            " width, or name the layers with --layers name=tensor,..."
        )
    last = maps[-1]
    after = flow.after(last.node)
    if _weighted(after) > _MAX_AFTER:
        raise ExportError(
            f"{source.path}: '{last.tensor}' is the last map [N, C, h, w] that follows the input"
            f" size and that all after it is made from, but {_weighted(after)} convolutions and"
            f" matrix products come after it{hint}, so it is not the map before pooling."
            f" {_advice(source, after, frozen)}"
        )
    layers = []
    for stride in sorted({m.stride for m in maps if 2 <= m.stride < last.stride}):
        same = [m for m in maps if m.stride == stride]
        best = ([m for m in same if m.ends_block] or same)[-1]
        layers.append(best.layer(f"stride{stride}"))
    return [*layers, last.layer("features")]


def _advice(source: OnnxModel, after: list[Any], frozen: str) -> str:
    """What to do where much comes after the last map that all of it is made from."""
    if frozen:
        return (
            "Export the file with dynamic batch, height and width, or name the layers with"
            " --layers name=tensor,..."
        )
    for node in after:
        output = node.output(0)
        if node.get_type_name() == "MatMul" and len_of(output) == 3:
            return (
                f"From '{node.get_friendly_name()}' on it works on tokens"
                f" {output.get_partial_shape()}, as a transformer does, and an ONNX file gives maps"
                " alone: export the PyTorch model instead, or name maps before the tokens with"
                " --layers name=tensor,..."
            )
    outputs = [output_name_of(result) for result in source.model.get_results()]
    choose = f"; --onnx-output chooses one of its outputs {', '.join(outputs)}"
    return (
        "The file goes on in several ways side by side, so name the layers with --layers"
        f" name=tensor,...{choose if len(outputs) > 1 else ''}"
    )


def named_layers(source: OnnxModel, layers: list[LayerRef], recipe: Recipe) -> list[TensorRef]:
    """The layers with the layout of their tensors. Refuses (ExportError) names that are no tensor
    [N, C, h, w] or [N, h, w, C] of the file, and one twice."""
    outputs = tensors_of(source.model)
    seen: dict[Any, str] = {}
    for layer in layers:
        output = outputs.get(layer.path)
        if output is None or layer.call >= 0:
            close = difflib.get_close_matches(str(layer), outputs, n=5, cutoff=0.4)
            known = ", ".join(close or list(outputs)[-5:])
            raise ExportError(
                f"layer '{layer.name}': the file has no tensor '{layer}' that a node gives; it has"
                f" {known}"
            )
        shape = output.get_partial_shape()
        if len_of(output) != 4 or (shape[1].is_dynamic and shape[3].is_dynamic):
            raise ExportError(
                f"layer '{layer.name}': tensor '{layer.path}' is {shape}, not a feature map"
                " [N, C, h, w]; name one before it"
            )
        first = seen.setdefault(id_of(output), layer.name)
        if first != layer.name:
            raise ExportError(f"layers '{first}' and '{layer.name}' are the same map; name it once")
    shapes, _ = _two_sizes(source, [layer.path for layer in layers], recipe)
    probed = _probed(source, recipe)
    return [
        TensorRef(
            layer.name,
            layer.path,
            channels_last=layer.path in shapes and _stride(shapes[layer.path], probed)[1],
        )
        for layer in layers
    ]


def id_of(output: Any) -> tuple[str, int]:
    return output.get_node().get_name(), output.get_index()


def len_of(output: Any) -> int:
    """Dimensions of an output's shape; 0 where their number is open."""
    shape = output.get_partial_shape()
    return 0 if shape.rank.is_dynamic else len(shape)


def _two_sizes(
    source: OnnxModel, tensors: list[str], recipe: Recipe
) -> tuple[dict[str, tuple[tuple[int, ...], tuple[int, ...]]], str]:
    """Shapes of the tensors [N, C, h, w] at the two sizes of _probed, and why the others have none:
    the graph up to the first that does not allow it is taken."""
    outputs = tensors_of(source.model)
    four = [t for t in tensors if len_of(outputs[t]) == 4 and _is_float(outputs[t])]
    own, other = _probed(source, recipe)
    reason = ""

    def shapes(count: int, size: Size) -> dict[str, tuple[int, ...]] | None:
        nonlocal reason
        try:
            return _shapes(source, four[:count], size)
        except RuntimeError as error:
            reason = reason_of(error)
            return None

    low, high = 0, len(four)
    while low < high:  # a longer part of the graph allows a size only if a shorter one does
        middle = (low + high + 1) // 2
        if shapes(middle, other) is not None:
            low = middle
        else:
            high = middle - 1
    small, large = shapes(low, own) or {}, shapes(low, other) or {}
    return {t: (small[t], large[t]) for t in small if t in large}, reason


def _shapes(source: OnnxModel, tensors: list[str], size: Size) -> dict[str, tuple[int, ...]]:
    import openvino as ov

    clone = source.model.clone()
    outputs = tensors_of(clone)
    cut = ov.Model([outputs[t] for t in tensors], clone.get_parameters())
    cut.reshape(source.input.shape(source.own_batch if source.fixed else 1, *size))
    found = {t: outputs[t].get_partial_shape() for t in tensors}
    return {t: tuple(shape.to_shape()) for t, shape in found.items() if shape.is_static}


def _is_float(output: Any) -> bool:
    return bool(output.get_element_type().is_real())


def _stride(shapes: Sequence[tuple[int, ...]], sizes: Sequence[Size]) -> tuple[int, bool]:
    """The stride of a tensor with these shapes at two sizes, 0 for what is no map, and whether its
    channels come last."""
    stride = stride_of(shapes, sizes)
    if stride:
        return stride, False
    stride = stride_of([(n, c, h, w) for n, h, w, c in shapes], sizes)
    return stride, stride > 0


def _probed(source: OnnxModel, recipe: Recipe) -> list[Size]:
    """The two sizes at which shapes are looked at: the recipe's and a larger one, where the file
    has more than one."""
    growths = (0, 0) if source.fixed else (0, _GROWTH)
    return [(recipe.height + growth, recipe.width + growth) for growth in growths]


def _weighted(nodes: list[Any]) -> int:
    return sum(node.get_type_name() in WEIGHTED for node in nodes)


def _ends_block(node: Any, flow: Flow) -> bool:
    """Whether a node gives a residual sum, or an activation right after one."""
    for _ in range(3):  # a clip may be two nodes
        node = before_rounding(node, flow)
        if node.get_type_name() not in (*_ACTIVATIONS, "Convert"):
            break
        node = flow.inputs(node)[0]
    return node.get_type_name() == "Add" and len(flow.inputs(node)) == 2
