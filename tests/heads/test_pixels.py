"""Decoding and resize over gRPC, every byte against the installed Pillow."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageOps

from api import reason
from image_bytes import picture, save
from make_images import FORMATS
from make_pixels_bundle import FILTERS
from server_fixtures import run_script

RESIZES = 1500  # of each filter
LEAST_SIDE, MOST_SIDE = 16, 2048  # of the network's input


def sizes(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Height and width before and after; up, down, mixed, odd and extreme."""
    if rng.integers(10) == 0:
        source = (int(rng.integers(1, 4)), int(rng.integers(200, 600)))[:: int(rng.choice([-1, 1]))]
    else:
        most = int(rng.choice([40, 120, 260]))
        source = tuple(int(v) for v in rng.integers(1, most, 2))
    target = tuple(int(v) for v in rng.integers(LEAST_SIDE, int(rng.choice([20, 70, 180])), 2))
    return *source, *target


def drawn(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    if kind == 1:  # only black and white: the largest overshoot and rounding
        return rng.integers(0, 2, (height, width, 3), np.uint8) * np.uint8(255)
    return picture(width, height, seed=int(rng.integers(1 << 30)))


@pytest.mark.parametrize("interpolation", FILTERS)
def test_resize_is_pillows(pixels, ledger, interpolation):
    rng = np.random.default_rng(FILTERS.index(interpolation))
    kernel = getattr(Image.Resampling, interpolation.upper())
    samples = differing = 0
    with ledger(f"Pillow: {interpolation} resize") as row:
        for _ in range(RESIZES):
            height, width, new_height, new_width = sizes(rng)
            source = drawn(rng, height, width)
            got = pixels.resized(source, (new_height, new_width), interpolation)
            want = np.asarray(Image.fromarray(source).resize((new_width, new_height), kernel))
            levels = np.abs(got.astype(int) - want)
            samples += levels.size
            differing += int((levels > 0).sum())
            row.case(
                f"{width}x{height} to {new_width}x{new_height}",
                levels.max() == 0,
                f"off by {levels.max()} levels",
                float(levels.max()),
            )
        row.note = f"levels; {differing} of {samples} samples differ"


@dataclass(frozen=True)
class Picture:
    """A line of make_images.py's index."""

    name: str
    data: bytes
    reason: str  # "-" if it decodes
    wanted: np.ndarray | None
    background: tuple[int, ...] | None
    exif: bool


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Picture]:
    """The pictures of the decoders' unit tests, with what Pillow makes of each."""
    folder = tmp_path_factory.mktemp("pictures")
    run_script("make_images.py", folder)
    out = []
    for line in (folder / "index.tsv").read_text().splitlines():
        name, file, why, expected, width, height, color, exif, _ = line.split("\t")
        wanted = None
        if why == "-":
            wanted = np.fromfile(folder / expected, np.uint8).reshape(int(height), int(width), 3)
        background = None if color == "-" else tuple(map(int, color.split(",")))
        data = (folder / file).read_bytes()
        out.append(Picture(name, data, why, wanted, background, exif == "1"))
    return out


def fits(picture_: Picture) -> bool:
    """Whether the API takes the picture as the network's input without a resize."""
    height, width, _ = picture_.wanted.shape
    return min(height, width) >= LEAST_SIDE and max(height, width) <= MOST_SIDE


def compare(row, name: str, got, want: np.ndarray) -> None:
    if not isinstance(got, np.ndarray):
        row.case(name, False, f"refused: {got.message}")
    elif got.shape != want.shape:
        row.case(name, False, f"shape {got.shape}, wanted {want.shape}")
    else:
        levels = np.abs(got.astype(int) - want)
        row.case(
            name,
            levels.max() == 0,
            f"off by {levels.max()} levels, {levels.mean():.3f} on average",
            float(levels.max()),
        )


# How many pictures there are at least, where there are many.
LEAST = {"jpeg": 80, "png": 90, "webp": 15, "exif": 700}


@pytest.mark.parametrize("kind", [*FORMATS, "exif"])
def test_decoding_is_pillows(pixels, ledger, pictures, kind):
    chosen = [p for p in pictures if p.name.startswith(kind) and p.wanted is not None and fits(p)]
    assert len(chosen) >= LEAST.get(kind, 1)
    with ledger(f"Pillow: decoding, {kind}") as row:
        row.note = "levels"
        for p in chosen:
            compare(row, p.name, pixels.decoded(p.data, p.background, p.exif), p.wanted)


def test_damaged_pictures_get_their_reason(pixels, ledger, pictures):
    chosen = [p for p in pictures if p.wanted is None]
    assert len(chosen) >= 40
    with ledger("pictures that must not decode") as row:
        for p in chosen:
            result = pixels.result(p.data)
            why = reason(result.status) if result.WhichOneof("outcome") == "status" else "decoded"
            row.case(p.name, why == p.reason, f"{why}, wanted {p.reason}")


def test_photographs_decode_as_in_pillow(pixels, ledger, photos):
    with ledger("Pillow: decoding, photographs") as row:
        row.note = "levels"
        for name, path in photos.items():
            source = Image.open(path).convert("RGB")
            compare(row, name, pixels.decoded(path.read_bytes()), np.asarray(source))
            for subsampling in ("4:4:4", "4:2:0"):
                for options in ({"quality": 60}, {"quality": 95, "progressive": True}):
                    data = save(source, "JPEG", subsampling=subsampling, **options)
                    want = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                    compare(row, f"{name} {subsampling} {options}", pixels.decoded(data), want)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_exif_transpose(pixels, ledger, orientation):
    with ledger("Pillow: ImageOps.exif_transpose") as row:
        exif = Image.Exif()
        exif[0x0112] = orientation
        source = Image.fromarray(picture(53, 34))
        for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})):
            data = save(source, kind, exif=exif.tobytes(), **options)
            want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
            compare(row, f"{kind}, orientation {orientation}", pixels.decoded(data), want)
