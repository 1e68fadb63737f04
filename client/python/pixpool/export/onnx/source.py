"""Reads an ONNX file and refuses what cannot become a bundle."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixpool._extras import how_to_install
from pixpool.export.digest import weights_sha256
from pixpool.export.errors import ExportError
from pixpool.export.names import ONNX_KIND, default_name
from pixpool.export.onnx.inputs import (
    SIDE,
    PictureInput,
    choose_outputs,
    output_name_of,
    picture_input,
)
from pixpool.export.onnx.rounding import narrow_node
from pixpool.export.onnx.widen import widened
from pixpool.export.openvino_graph import openvino_package
from pixpool.export.recipe import Recipe
from pixpool.export.trunk import LayerRef

_CROP = 224 / 256  # the usual share of the shorter side
# Operators whose very arithmetic is int8, as quantisation writes them in its older format.
_QOPERATOR = re.compile(r"\b(QLinear\w+|QGemm|ConvInteger|MatMulInteger|DynamicQuantizeLinear)\b")
_QOPERATOR_HINT = (
    ". The file is quantised in operators of their own; quantise it with pairs of QuantizeLinear"
    " and DequantizeLinear instead (quant_format=QuantFormat.QDQ of onnxruntime.quantization), or"
    " export the float32 model and add --int8"
)


@dataclasses.dataclass
class OnnxModel:
    """The file as OpenVINO reads it, and how it takes pictures."""

    path: Path
    model: Any  # openvino.Model of one input, never changed: work goes on clones
    input: PictureInput
    name: str
    origin: str
    recipe: Recipe
    license: str = "unknown"
    labels: list[str] | None = None
    imagenet: bool = False
    bgr: bool = False  # channels as blue, green, red; set before the graph is made
    # Whether it is taken at its own size alone, which its constants hold for; set likewise.
    fixed: bool = False
    # The file in float32 (an onnx.ModelProto), of one that computes in float16 or bfloat16.
    wide: Any = None
    remarks: list[str] = dataclasses.field(default_factory=list)

    @property
    def own_batch(self) -> int:
        """What the file as it is takes with one picture size."""
        return self.input.sides[0] or 1

    def digest(self, layers: Sequence[LayerRef]) -> str:
        """`weights_sha256` over the file's named constants (its initialisers) and the layers."""
        import torch

        def _tensor(values: NDArray[Any]) -> torch.Tensor:
            try:
                return torch.from_numpy(values)
            except TypeError:  # a type that torch lacks
                return torch.from_numpy(np.ascontiguousarray(values).view(np.uint8))

        state = {"channels": torch.tensor([2, 1, 0])} if self.bgr else {}
        for node in self.model.get_ops():
            if node.get_type_name() == "Constant":
                for name in node.output(0).get_names():
                    state[name] = _tensor(np.array(node.data))
        return weights_sha256(state, [(layer.name, str(layer)) for layer in layers])


def load_onnx(
    spec: str,
    weights: Path | None = None,
    random_weights: bool = False,
    *,
    input_name: str | None = None,
    output_name: str | None = None,
) -> OnnxModel:
    """`onnx:FILE`. Of several inputs `input_name` takes the pictures (None: the one that can), of
    several outputs `output_name` is the network's answer (None: all that follow from the pictures).
    Refuses (ExportError) what OpenVINO does not read, what does not take one batch of pictures, and
    other weights than the file's."""
    if weights is not None or random_weights:
        raise ExportError(
            f"{spec} has its weights in it; --weights and --random-weights are for other models"
        )
    path = Path(spec.removeprefix(ONNX_KIND + ":"))
    if not path.is_file():
        raise ExportError(f"there is no ONNX file '{path}'; write {ONNX_KIND}:FILE")
    if openvino_package() is None:
        raise ExportError(f"{spec} needs the package openvino: {how_to_install('onnx')}")
    model, wide, remarks = _read(path, str(path)), None, []
    narrow = narrow_node(model)
    if narrow is not None:
        why = f"computes in {narrow[1]} (node '{narrow[0]}')"
        wide = widened(path, why)
        model = _read(path, io.BytesIO(wide.SerializeToString()))
        remarks.append(f"remark: the file {why}; the bundle has the same weights in float32")
    whole = model
    model = choose_outputs(whole, path, input_name, output_name)
    remarks += _left_out(whole, model)
    taken = picture_input(model, path)
    if model.inputs[0].get_partial_shape() != taken.partial_shape():
        model = _with_channels(model, taken, path)
    _, height, width = taken.sides
    size = (height or width or SIDE, width or height or SIDE)
    recipe = Recipe(resize_size=round(min(size) / _CROP), height=size[0], width=size[1])
    if taken.pixels:
        recipe = dataclasses.replace(recipe, mean=(0.0,) * 3, std=(1.0,) * 3)
    return OnnxModel(
        path=path,
        model=model,
        input=taken,
        name=default_name(spec),
        origin=f"{path.name}, {taken.text()}",
        recipe=recipe,
        wide=wide,
        remarks=remarks,
    )


def _read(path: Path, content: str | io.BytesIO) -> Any:
    import openvino as ov

    try:
        return ov.Core().read_model(content)
    except Exception as error:
        hint = _QOPERATOR_HINT if _QOPERATOR.search(str(error)) else ""
        raise ExportError(f"OpenVINO does not read {path}: {reason_of(error)}{hint}") from error


def _left_out(whole: Any, model: Any) -> list[str]:
    """What is said of the inputs and outputs that are not taken."""
    kept = {output_name_of(result) for result in model.get_results()}
    named = {model.inputs[0].get_any_name()}
    parts = [
        *(f"input '{n}'" for i in whole.inputs if (n := i.get_any_name()) not in named),
        *(f"output '{n}'" for r in whole.get_results() if (n := output_name_of(r)) not in kept),
    ]
    return [f"left out: {', '.join(parts)}"] if parts else []


def _with_channels(model: Any, taken: PictureInput, path: Path) -> Any:
    """The model with three channels, where the file leaves them open."""
    changed = model.clone()
    try:
        changed.reshape({taken.name: taken.partial_shape()})
    except RuntimeError as error:
        raise ExportError(
            f"{path}: input '{taken.name}' does not take pictures of 3 channels: {reason_of(error)}"
        ) from error
    return changed


def reason_of(error: BaseException) -> str:
    """The line of OpenVINO's text that says what is wrong, and at which node; those before it are
    places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    # Operators that OpenVINO has no rule for come last, after all that lacks their outputs.
    found.sort(key=lambda line: not line.startswith("No conversion rule"))
    places = (
        "Exception from ",
        "Check '",
        "While validating",
        "FrontEnd API failed",
        "Shape inference",
    )
    others = [line for line in lines if not line.startswith(places)]
    # A Check without any text behind it still says more than nothing.
    reason = (found or others or lines or [type(error).__name__])[0].rstrip(".")
    if reason.endswith(" with a message:"):
        after = others[others.index("-- " + reason) + 1 :]
        reason = reason.removesuffix(" with a message:") + f": {after[0].rstrip('.')}"
    node = re.search(r"with friendly_name '([^']*)'|ONNX node '<Node\(\w+\): ([^>]*)>'", str(error))
    return f"node '{node[1] or node[2]}': {reason}" if node else reason
