"""Writes pictures and what Pillow makes of them: `make_resize_goldens.py OUT_FILE`.

A case is nine little-endian int32 (width, height, new width, new height, left, top, region width,
region height, filter: 0 bilinear, 1 bicubic), the picture's RGB bytes, and those of the region of
the resized picture.
"""

import struct
import sys

import numpy as np
from PIL import Image

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
# (width, height, new width, new height): shrinking, growing, one axis only, one pixel, extreme
# shapes, and both sides of the rule that decides which pass is first.
CHOSEN = [
    (60, 40, 38, 25),
    (25, 38, 40, 60),
    (50, 50, 50, 20),
    (50, 50, 20, 50),
    (50, 50, 50, 50),
    (1, 1, 64, 64),
    (64, 64, 1, 1),
    (2, 900, 4, 50),
    (900, 2, 50, 4),
    (1, 300, 30, 7),
    (300, 1, 7, 30),
    (255, 257, 254, 256),
    (40, 60, 30, 40),
    (40, 60, 30, 39),
    (40, 61, 30, 40),
    (200, 3, 199, 1),
    (640, 480, 17, 13),
]


def write_case(out, rng, sizes, kind: int, whole: bool) -> None:
    width, height, new_width, new_height = sizes
    if rng.integers(4) == 0:  # only black and white: the largest rounding and clipping
        pixels = rng.integers(0, 2, (height, width, 3), np.uint8) * np.uint8(255)
    else:
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    resized = np.asarray(Image.fromarray(pixels).resize((new_width, new_height), FILTERS[kind]))
    left, top, region_width, region_height = 0, 0, new_width, new_height
    if not whole:
        left, top = int(rng.integers(new_width)), int(rng.integers(new_height))
        region_width = int(rng.integers(1, new_width - left + 1))
        region_height = int(rng.integers(1, new_height - top + 1))
    region = resized[top : top + region_height, left : left + region_width]
    out.write(struct.pack("<9i", *sizes, left, top, region_width, region_height, kind))
    out.write(pixels.tobytes())
    out.write(region.tobytes())


def main(path: str) -> None:
    rng = np.random.default_rng(20)
    with open(path, "wb") as out:
        for sizes in CHOSEN:
            for kind in (0, 1):
                for whole in (True, False):
                    write_case(out, rng, sizes, kind, whole)
        for _ in range(1200):
            sizes = tuple(int(v) for v in rng.integers(1, int(rng.choice([12, 60, 160])), 4))
            write_case(out, rng, sizes, int(rng.integers(2)), bool(rng.integers(2)))


if __name__ == "__main__":
    main(sys.argv[1])
