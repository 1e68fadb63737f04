"""The input recipe of timm's data configurations: the pixels of its create_transform."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pixpool.export.errors import ExportError
from pixpool.export.recipe import Recipe


def timm_recipe(config: Mapping[str, Any], name: str) -> Recipe:
    """Of what timm's resolve_model_data_config gives for the model `name`. Refuses (ExportError)
    what the server's recipes cannot do."""
    _, height, width = config["input_size"]
    mode, share = config["crop_mode"], config["crop_pct"]
    # As timm rounds: each side by itself.
    resized = (math.floor(height / share), math.floor(width / share))
    common = {
        "interpolation": config["interpolation"],
        "height": height,
        "width": width,
        "mean": scaled(config["mean"]),
        "std": scaled(config["std"]),
        "resize_size": min(resized),
    }
    if mode == "squash":
        if resized == (height, width):
            return Recipe(resize="exact", crop="none", **common)
        return Recipe(
            resize="exact",
            crop="center",
            resize_height=resized[0],
            resize_width=resized[1],
            **common,
        )
    if mode == "center" and resized[0] == resized[1]:
        return Recipe(resize="shorter_side", crop="center", **common)
    what = f"crop mode '{mode}'"
    if mode == "center":
        what += f" with the sides {height} x {width}"
    raise ExportError(
        f"timm's {what} of '{name}' is not among the server's recipes, which resize the shorter"
        " side or both and crop the centre"
    )


def scaled(values: Iterable[float]) -> tuple[float, float, float]:
    """From timm's and torchvision's 0..1 scale to 0..255."""
    # Through float32's 7 digits: 0.485 * 255 is 123.675, not 123.67499999999998.
    red, *others = (float(f"{value * 255:.7g}") for value in values)
    green, blue = others or (red, red)  # of a network of one channel
    return red, green, blue
