"""What every peer does with a picture: Pillow's decode and resize, and OpenVINO, as good as Python has them."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import openvino as ov
from PIL import Image

SHORTER_SIDE, CROP = 256, 224  # the recipe of the default bundle


def prepare(data: bytes, scaled: bool) -> np.ndarray:
    """uint8 [224, 224, 3]. `scaled` lets libjpeg shrink large pictures while decoding (Image.draft)."""
    image = Image.open(io.BytesIO(data))
    if scaled:
        image.draft("RGB", (2 * SHORTER_SIDE, 2 * SHORTER_SIDE))
    image = image.convert("RGB")
    width, height = image.size
    short = min(width, height)
    size = (SHORTER_SIDE * width // short, SHORTER_SIDE * height // short)
    # Only what the crop needs is resized.
    left, top = round((size[0] - CROP) / 2), round((size[1] - CROP) / 2)
    sx, sy = width / size[0], height / size[1]
    box = (left * sx, top * sy, (left + CROP) * sx, (top + CROP) * sy)
    return np.array(image.resize((CROP, CROP), Image.Resampling.BICUBIC, box=box))


class Backbone:
    """The default layer's average of a batch, from the bundle's IR with fixed shapes, which is the fastest way; thread-safe."""

    def __init__(self, path: Path, streams: int, threads: int, batch: int) -> None:
        core = ov.Core()
        model = core.read_model(path)
        last = model.outputs[-1].node.input_value(0)
        mean = ov.opset13.reduce_mean(last, np.array([2, 3]), keep_dims=False)
        model = ov.Model([ov.opset13.result(mean)], model.get_parameters())
        model.reshape(ov.PartialShape([batch, CROP, CROP, 3]))
        self.batch = batch
        self._compiled = core.compile_model(model, "CPU", {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(streams * threads),
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        })  # fmt: skip
        self._local = threading.local()

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 [N, 224, 224, 3] with N up to the batch -> float32 [N, C]."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        count = len(pictures)
        if count < self.batch:
            pictures = np.concatenate([pictures, np.zeros((self.batch - count, CROP, CROP, 3), np.uint8)])
        self._local.request.set_input_tensor(ov.Tensor(np.ascontiguousarray(pictures), shared_memory=True))
        self._local.request.infer()
        return self._local.request.get_output_tensor(0).data[:count].copy()
