"""The golden: a small picture, drawn here, and the vector that it must give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240


def golden_picture() -> NDArray[np.uint8]:
    """A picture [240, 320, 3] that punishes the usual mistakes: colours (swapped channels), fine
    texture (a resize without antialiasing), off-centre shapes (a wrong crop or flip), a wide
    range of brightness (a wrong mean)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    u, v = x / (WIDTH - 1), y / (HEIGHT - 1)
    # Sky to sand, warmer to the right.
    picture = np.stack([70 + 130 * v + 40 * u, 120 + 60 * v - 30 * u, 220 - 150 * v], axis=-1)
    # Fine stripes: a chirp that nears the pixel grid at the right.
    stripes = 0.5 + 0.5 * np.sin(2 * np.pi * (8 * u + 40 * u * u))
    picture += np.where((v > 0.72) & (v < 0.86), 70 * stripes - 35, 0)[..., None]
    # A shaded orange ball, a dark green box, a pale ring.
    ball = (x - 105) ** 2 + (y - 100) ** 2
    shade = np.clip(1.1 - ((x - 90) ** 2 + (y - 80) ** 2) / 9000.0, 0.25, 1.0)[..., None]
    picture = np.where((ball < 55**2)[..., None], np.array([250, 130, 30]) * shade, picture)
    box = (x > 190) & (x < 275) & (y > 60) & (y < 165)
    weave = 12.0 * (((x // 3).astype(int) + (y // 3).astype(int)) % 2)
    picture = np.where(box[..., None], np.array([25, 90, 45]) + weave[..., None], picture)
    grain = np.where(v > 0.9, _grain(), 0)  # noise does not compress, so only a strip of it
    ring = np.abs(np.sqrt((x - 235) ** 2 + (y - 112) ** 2) - 28)
    picture = np.where((ring < 6)[..., None], np.array([235, 230, 210]), picture)
    drawn: NDArray[np.uint8] = np.clip(np.rint(picture + grain[..., None]), 0, 255).astype(np.uint8)
    return drawn


def _grain() -> NDArray[np.int64]:
    """Noise of -8 to 7 from integer arithmetic, the same on every machine."""
    at = np.arange(HEIGHT * WIDTH, dtype=np.uint64)
    at = (at * np.uint64(2654435761) + np.uint64(97)) & np.uint64(0xFFFFFFFF)
    at = ((at ^ (at >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    noise: NDArray[np.int64] = (at >> np.uint64(28)).astype(np.int64) - 8
    return noise.reshape(HEIGHT, WIDTH)
