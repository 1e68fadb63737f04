"""RoIAlign and RoIPool in float64, by their definitions: what lies under a box of a map.

Which cells RoIPool's windows hold hangs on roundings, which are torchvision's, in float32.
"""

from __future__ import annotations

import numpy as np

Box = tuple[float, float, float, float]  # left, top, right, bottom


def _samples(start: float, length: float, outputs: int, ratio: int) -> np.ndarray:
    """Where the samples of each output lie on an axis, [outputs, samples]."""
    bins = length / outputs
    count = ratio if ratio > 0 else int(np.ceil(bins))
    steps = (np.arange(count) + 0.5) / max(count, 1)
    return start + (np.arange(outputs)[:, None] + steps) * bins


def _bilinear(x: np.ndarray, y: float, at: float) -> np.ndarray:
    """One sample of a map [C, h, w], [C]; zero more than a cell off the map."""
    h, w = x.shape[1:]
    if y < -1 or y > h or at < -1 or at > w:
        return np.zeros(len(x))
    y, at = min(max(y, 0), h - 1), min(max(at, 0), w - 1)
    top, left = int(y), int(at)
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    dy, dx = y - top, at - left
    upper = (1 - dx) * x[:, top, left] + dx * x[:, top, right]
    lower = (1 - dx) * x[:, bottom, left] + dx * x[:, bottom, right]
    return (1 - dy) * upper + dy * lower


def roi_align(
    x: np.ndarray, box: Box, stride: float, size: tuple[int, int], ratio: int = 0, aligned=True
) -> np.ndarray:
    """[C, *size] of a map [C, h, w]; the box in pixels of the network's input."""
    left, top, right, bottom = (edge / stride - (0.5 if aligned else 0) for edge in box)
    least = 0.0 if aligned else 1.0
    rows = _samples(top, max(bottom - top, least), size[0], ratio)
    columns = _samples(left, max(right - left, least), size[1], ratio)
    out = np.zeros((len(x), *size))
    for i, ys in enumerate(rows):
        for j, xs in enumerate(columns):
            cells = [_bilinear(x, y, at) for y in ys for at in xs]
            out[:, i, j] = np.sum(cells, 0) / max(len(cells), 1)
    return out


def _cell(edge: float, stride: float) -> int:
    """Rounded half away from zero, as C's round."""
    at = float(np.float32(edge) * np.float32(1 / stride))
    return int(np.copysign(np.floor(abs(at) + 0.5), at))


def roi_pool(x: np.ndarray, box: Box, stride: float, size: tuple[int, int]) -> np.ndarray:
    """[C, *size] of a map [C, h, w]; the box in pixels of the network's input."""

    def windows(start: float, end: float, outputs: int, cells: int) -> list[slice]:
        first = _cell(start, stride)
        each = np.float32(max(_cell(end, stride) - first + 1, 1)) / np.float32(outputs)
        edges = [
            (
                first + int(np.floor(np.float32(i) * each)),
                first + int(np.ceil(np.float32(i + 1) * each)),
            )
            for i in range(outputs)
        ]
        return [slice(*np.clip(edge, 0, cells)) for edge in edges]

    out = np.zeros((len(x), *size))
    for i, rows in enumerate(windows(box[1], box[3], size[0], x.shape[1])):
        for j, columns in enumerate(windows(box[0], box[2], size[1], x.shape[2])):
            window = x[:, rows, columns].reshape(len(x), -1)
            if window.size:
                out[:, i, j] = window.max(1)
    return out
