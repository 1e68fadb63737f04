"""Where the network's input lies in a picture: torchvision's rules for size and crop, spelt out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Area:
    """Part of a picture, in its pixels."""

    left: float
    top: float
    right: float
    bottom: float


def cropped_area(height: int, width: int, resize: int, crop: int) -> Area:
    """The centre crop after the shorter side has become `resize`."""
    short = min(height, width)
    new_height, new_width = (int(resize * side / short) for side in (height, width))
    top, left = (int(round((side - crop) / 2.0)) for side in (new_height, new_width))
    down, across = height / new_height, width / new_width
    return Area(left * across, top * down, (left + crop) * across, (top + crop) * down)


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map [h, w], resized bilinearly."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]
    return F.interpolate(tensor, size, mode="bilinear", align_corners=False)[0, 0].numpy()


def over_picture(values: np.ndarray, height: int, width: int, area: Area) -> np.ndarray:
    """A map [h, w] spread over an area of a picture [height, width]; NaN outside of it."""
    out = np.full((height, width), np.nan)
    rows, columns = (np.arange(n) + 0.5 for n in (height, width))
    y = (rows - area.top) / (area.bottom - area.top)
    x = (columns - area.left) / (area.right - area.left)
    inside = np.ix_((y >= 0) & (y < 1), (x >= 0) & (x < 1))
    up, across = (
        np.clip(s[(s >= 0) & (s < 1)] * n - 0.5, 0, n - 1)
        for s, n in zip((y, x), values.shape, strict=True)
    )
    lower = np.stack([np.interp(across, np.arange(values.shape[1]), line) for line in values])
    out[inside] = np.stack([np.interp(up, np.arange(values.shape[0]), line) for line in lower.T], 1)
    return out
