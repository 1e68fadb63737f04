"""Scaled decoding over gRPC: Pillow's Image.draft with twice the wanted size, and its resize."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from image_bytes import jpeg_with_exif, picture, save, tiff
from pixels import Pixels, network_input

CASES = 300
KINDS = {
    "420": {"quality": 90, "subsampling": "4:2:0"},
    "422": {"quality": 75, "subsampling": "4:2:2"},
    "444 progressive": {"quality": 95, "subsampling": "4:4:4", "progressive": True},
    "420 progressive": {"quality": 85, "subsampling": "4:2:0", "progressive": True},
    "grey": {"quality": 90},
    "cmyk": {"quality": 90},
}
MODES = {"grey": "L", "cmyk": "CMYK"}


def photograph(rng: np.random.Generator) -> tuple[str, bytes, int]:
    """Name, JPEG of an odd size and its EXIF orientation."""
    kind = str(rng.choice(list(KINDS)))
    width, height = (int(side) for side in rng.integers(120, 900, 2))
    image = Image.fromarray(picture(width, height, seed=int(rng.integers(1 << 30)))).convert(
        MODES.get(kind, "RGB")
    )
    orientation = int(rng.integers(1, 9))
    data = jpeg_with_exif(save(image, "JPEG", **KINDS[kind]), (width, height), tiff(orientation))
    return f"{kind} {width}x{height} orientation {orientation}", data, orientation


def drafted(data: bytes, size: tuple[int, int], orientation: int) -> tuple[np.ndarray, int]:
    """Pillow's way to `size` (height, width), and what it divided the sides by."""
    height, width = size
    least = (2 * width, 2 * height)
    image = Image.open(io.BytesIO(data))
    full = image.width
    image.draft(None, least[::-1] if orientation >= 5 else least)
    divisor = round(full / image.width)
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(upright.resize((width, height), Image.Resampling.BICUBIC)), divisor


def test_scaled_decode_is_pillows_draft(pixels: Pixels, ledger):
    rng = np.random.default_rng(7)
    divisors: list[int] = []
    with ledger("Pillow: draft, then resize") as row:
        row.note = "levels"
        for _ in range(CASES):
            name, data, orientation = photograph(rng)
            size = tuple(int(side) for side in rng.integers(16, 200, 2))
            want, divisor = drafted(data, size, orientation)
            got = network_input(
                pixels.result(
                    data,
                    "pixels-bicubic",
                    resize=pixels.pb.RESIZE_MODE_EXACT,
                    crop=pixels.pb.CROP_MODE_NONE,
                    input_height_px=size[0],
                    input_width_px=size[1],
                    decode=pixels.pb.DECODE_MODE_SCALED,
                )
            )
            levels = np.abs(got.astype(int) - want)
            row.case(
                f"{name} to {size[1]}x{size[0]}",
                levels.max() == 0,
                f"off by {levels.max()} levels, {levels.mean():.3f} on average",
                float(levels.max()),
            )
            divisors.append(divisor)
    assert {1, 2, 4, 8} <= set(divisors), "not every scale came up"


def test_what_is_no_jpeg_is_taken_in_full(pixels: Pixels, ledger):
    source = picture(640, 480, seed=3)
    options = {
        "resize": pixels.pb.RESIZE_MODE_EXACT,
        "crop": pixels.pb.CROP_MODE_NONE,
        "input_height_px": 32,
        "input_width_px": 32,
    }
    with ledger("scaled decoding: PNG, WebP and raw pixels in full") as row:
        for name, image in {
            "png": save(Image.fromarray(source), "PNG"),
            "raw": source,
            "webp": save(Image.fromarray(source), "WEBP", lossless=True),
        }.items():
            exact = network_input(pixels.result(image, **options))
            scaled = network_input(
                pixels.result(image, decode=pixels.pb.DECODE_MODE_SCALED, **options)
            )
            row.case(name, np.array_equal(exact, scaled), "differs")
