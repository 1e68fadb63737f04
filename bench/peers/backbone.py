"""What every peer does with a picture: Pillow's decode and resize, and OpenVINO, as good as Python
has them.
"""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from PIL import Image

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Bundle:
    """What a bundle's manifest says of its input and of its OpenVINO graph in a precision."""

    def __init__(self, folder: Path, precision: str = "float32") -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        recipe = manifest["input"]
        if (recipe["resize"], recipe["crop"]) != ("shorter_side", "center"):
            raise ValueError(
                f"{folder}: the peers know no resize {recipe['resize']} with crop {recipe['crop']}"
            )
        self.shorter_side, self.height, self.width = (
            recipe["resize_size"],
            recipe["height"],
            recipe["width"],
        )
        self.filter = FILTERS[recipe["interpolation"]]
        engine = next(
            e
            for e in manifest["engines"]
            if (e["engine"], e["precision"]) == ("openvino", precision)
        )
        self.graph = folder / engine["path"]
        self.layer = [layer["name"] for layer in manifest["layers"]].index(
            manifest["default_layer"]
        )

    def prepare(self, data: bytes, scaled: bool) -> np.ndarray:
        """uint8 [height, width, 3]. `scaled` lets libjpeg shrink large pictures while decoding
        (Image.draft).
        """
        image = Image.open(io.BytesIO(data))
        if scaled:
            image.draft("RGB", (2 * self.shorter_side, 2 * self.shorter_side))
        image = image.convert("RGB")
        width, height = image.size
        short = min(width, height)
        size = (self.shorter_side * width // short, self.shorter_side * height // short)
        # Only what the crop needs is resized.
        left, top = round((size[0] - self.width) / 2), round((size[1] - self.height) / 2)
        sx, sy = width / size[0], height / size[1]
        box = (left * sx, top * sy, (left + self.width) * sx, (top + self.height) * sy)
        return np.array(image.resize((self.width, self.height), self.filter, box=box))


class Backbone:
    """The default layer's average of a batch, with fixed shapes, which is the fastest way;
    thread-safe.
    """

    def __init__(self, bundle: Bundle, streams: int, threads: int, batch: int) -> None:
        core = ov.Core()
        model = core.read_model(bundle.graph)
        last = model.outputs[bundle.layer].node.input_value(0)
        mean = ov.opset13.reduce_mean(last, np.array([2, 3]), keep_dims=False)
        model = ov.Model([ov.opset13.result(mean)], model.get_parameters())
        self.shape = (batch, bundle.height, bundle.width, 3)
        model.reshape(ov.PartialShape(list(self.shape)))
        config: dict[str, Any] = {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(streams * threads),
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled = core.compile_model(model, "CPU", config)
        self._local = threading.local()

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 [N, height, width, 3] with N up to the batch -> float32 [N, C]."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        count = len(pictures)
        if count < self.shape[0]:
            pictures = np.concatenate(
                [pictures, np.zeros((self.shape[0] - count, *self.shape[1:]), np.uint8)]
            )
        self._local.request.set_input_tensor(
            ov.Tensor(np.ascontiguousarray(pictures), shared_memory=True)
        )
        self._local.request.infer()
        return self._local.request.get_output_tensor(0).data[:count].copy()
