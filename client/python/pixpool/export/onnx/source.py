"""Reads an ONNX file and refuses what cannot become a bundle."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from pixpool._extras import how_to_install
from pixpool.export.digest import weights_sha256
from pixpool.export.errors import ExportError
from pixpool.export.names import ONNX_KIND, default_name
from pixpool.export.openvino_graph import openvino_package
from pixpool.export.recipe import Recipe
from pixpool.export.trunk import LayerRef

# ImageNet's usual side, and the share of the shorter side that the crop keeps.
_SIDE, _CROP = 224, 224 / 256


@dataclasses.dataclass
class OnnxModel:
    """The file as OpenVINO reads it, and how it takes pictures."""

    path: Path
    model: Any  # openvino.Model, never changed: work goes on clones
    channels_first: bool  # [N, 3, H, W], else [N, H, W, 3]
    own_batch: int  # what the file as it is takes with one picture size
    name: str
    origin: str
    recipe: Recipe
    license: str = "unknown"
    labels: list[str] | None = None
    imagenet: bool = False
    bgr: bool = False  # channels as blue, green, red; set before the graph is made

    def input_shape(self, count: int, height: int, width: int) -> list[int]:
        """The network's own input for pictures of a size; -1 for one that is open."""
        return [count, 3, height, width] if self.channels_first else [count, height, width, 3]

    def half_node(self) -> str | None:
        """The first node that gives float16, if there is one."""
        for node in self.model.get_ordered_ops():
            for output in node.outputs():
                if output.get_element_type().get_type_name() == "f16":
                    return str(node.get_friendly_name())
        return None

    def digest(self, layers: list[LayerRef]) -> str:
        """`weights_sha256` over the file's named constants (its initialisers) and the layers."""
        import torch

        state = {"channels": torch.tensor([2, 1, 0])} if self.bgr else {}
        for node in self.model.get_ops():
            if node.get_type_name() == "Constant":
                for name in node.output(0).get_names():
                    state[name] = torch.from_numpy(np.array(node.data))
        return weights_sha256(state, [(layer.name, str(layer)) for layer in layers])


def load_onnx(spec: str, weights: Path | None = None, random_weights: bool = False) -> OnnxModel:
    """`onnx:FILE`. Refuses (ExportError) what OpenVINO does not read, what does not take one batch
    of pictures, and other weights than the file's."""
    if weights is not None or random_weights:
        raise ExportError(
            f"{spec} has its weights in it; --weights and --random-weights are for other models"
        )
    path = Path(spec.removeprefix(ONNX_KIND + ":"))
    if not path.is_file():
        raise ExportError(f"there is no ONNX file '{path}'; write {ONNX_KIND}:FILE")
    ov = openvino_package()
    if ov is None:
        raise ExportError(f"{spec} needs the package openvino: {how_to_install('onnx')}")
    try:
        model = ov.Core().read_model(str(path))
    except Exception as error:
        raise ExportError(f"OpenVINO does not read {path}: {reason_of(error)}") from error
    channels_first, sides = _input_of(model, path)
    batch, height, width = sides
    size = (height or width or _SIDE, width or height or _SIDE)
    layout = "[N, 3, H, W]" if channels_first else "[N, H, W, 3]"
    open_or_fixed = " x ".join(str(side or "any") for side in sides)
    return OnnxModel(
        path=path,
        model=model,
        channels_first=channels_first,
        own_batch=batch or 1,
        name=default_name(spec),
        origin=f"{path.name}, {layout} of {open_or_fixed}",
        recipe=Recipe(resize_size=round(min(size) / _CROP), height=size[0], width=size[1]),
    )


def reason_of(error: BaseException) -> str:
    """The line of OpenVINO's text that says what is wrong, and at which node; those before it are
    places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
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
    node = re.search(r"with friendly_name '([^']*)'", str(error))
    return f"node '{node[1]}': {reason}" if node else reason


def _input_of(model: Any, path: Path) -> tuple[bool, tuple[int, int, int]]:
    """Whether channels come first; batch, height and width (0: open)."""
    if len(model.inputs) != 1:
        names = ", ".join(f"'{i.get_any_name()}'" for i in model.inputs) or "none"
        raise ExportError(
            f"{path} has {len(model.inputs)} inputs ({names}); a bundle's network takes pictures"
            " alone"
        )
    (taken,) = model.inputs
    shape, kind = taken.get_partial_shape(), taken.get_element_type().get_type_name()
    if shape.rank.is_dynamic or len(shape) != 4:
        raise ExportError(
            f"{path}: input '{taken.get_any_name()}' is {shape}; pictures are [N, 3, H, W] or"
            " [N, H, W, 3]"
        )
    sides = [0 if side.is_dynamic else side.get_length() for side in shape]
    if sides[1] == 3:
        layout = (True, (sides[0], sides[2], sides[3]))
    elif sides[3] == 3:
        layout = (False, (sides[0], sides[1], sides[2]))
    else:
        raise ExportError(
            f"{path}: input '{taken.get_any_name()}' is {shape}; it must have 3 channels (red,"
            " green, blue), as [N, 3, H, W] or [N, H, W, 3]"
        )
    if kind != "f32":
        raise ExportError(
            f"{path}: input '{taken.get_any_name()}' is {kind}; export the model in float32, since"
            " normalised pictures are"
        )
    return layout
