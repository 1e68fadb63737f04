"""Small pictures of formats with few kinds, for mutants.py."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from image_bytes import picture, save
from images_bmp import bmp, core_bmp, runs
from images_gif import codes, frame_of, gif
from images_tiff import basic, tiff_file


def gif_bases() -> Iterator[bytes]:
    rng = np.random.default_rng(7)
    photo = Image.fromarray(picture(37, 29))
    for interlaced in (0, 1):
        for colors in (2, 5, 16, 100, 256):
            yield save(photo.quantize(colors), "GIF", interlace=interlaced)
        yield save(photo.convert("L"), "GIF", interlace=interlaced)
    yield save(photo.convert("1"), "GIF")
    yield save(photo.quantize(9), "GIF", transparency=3, comment=b"a comment")
    yield save(Image.new("L", (60, 40), 7), "GIF")
    # A full table of codes, and the clearing of it.
    yield save(Image.fromarray(rng.integers(0, 256, (80, 90), np.uint8)), "GIF")
    frames = [Image.fromarray(picture(20, 15, seed=n)[:: 1 - 2 * (n % 2)]) for n in range(3)]
    yield save(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0)
    colors = rng.bytes(12)
    four = codes([4, 1, 2, 4, 3, 0, 5], 3)
    control = b"!\xf9\x04\x01\0\0\x02\0"
    yield gif(7, 5, frame_of(3, 1, 2, 2, four), colors, control)
    yield gif(2, 2, frame_of(0, 0, 2, 2, four, flags=0x81, palette=colors[::-1]), colors)
    extensions = b"!\xfe\x02hi\0!\xff\x0bNETSCAPE2.0\x03\1\0\0\0!\x01\x02ab\0"
    yield gif(2, 2, frame_of(0, 0, 2, 2, four), extensions=extensions)


def bmp_bases() -> Iterator[bytes]:
    rng = np.random.default_rng(8)
    photo = Image.fromarray(picture(37, 29))
    for mode in ("RGB", "L", "1", "P", "RGBA"):
        yield save(photo.convert(mode), "BMP")
    strides = {1: 4, 4: 8, 8: 16, 16: 28, 24: 40, 32: 52}  # of 13 pixels
    for bits, stride in strides.items():
        palette = rng.bytes(4 << bits) if bits <= 8 else b""
        height = -9 if bits in (4, 24) else 9
        yield bmp(13, height, bits, rng.bytes(stride * 9), palette=palette)
    yield core_bmp(13, 9, 4, rng.bytes(8 * 9), rng.bytes(48))
    yield core_bmp(13, 9, 24, rng.bytes(40 * 9))
    yield bmp(13, 9, 8, rng.bytes(16 * 9), palette=rng.bytes(160), colors=40)
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    yield bmp(13, 9, 16, rng.bytes(28 * 9), 3, masks=masks)
    with_alpha, without = (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0)
    for header_size, of_samples in ((56, with_alpha), (124, without)):
        masks = struct.pack("<IIII", *of_samples)
        data = rng.bytes(52 * 9)
        yield bmp(13, 9, 32, data, 3, header_size=header_size, masks=masks)
    palette = rng.bytes(1024)
    jumps = b"\0\2\5\2" + b"\3\x07\0\5\1\2\3\4\5\0" + runs([[(13, y)] for y in range(7)])
    yield bmp(13, 9, 8, runs([[(7, y), (6, 200 - y)] for y in range(9)]), 1, palette)
    yield bmp(13, 9, 8, jumps, 1, palette)
    yield bmp(13, 9, 4, b"\6\x12\0\5\x34\x56\x70\0\2\x88\0\0" * 9 + b"\0\1", 2, palette[:64])


def tiff_bases() -> Iterator[bytes]:
    rng = np.random.default_rng(9)
    photo = Image.fromarray(picture(37, 29))
    yield save(photo, "TIFF")
    yield save(photo.convert("L"), "TIFF", compression="tiff_lzw")
    yield save(photo.convert("P"), "TIFF", compression="packbits")
    yield save(Image.fromarray(picture(37, 29, 4)), "TIFF", compression="tiff_adobe_deflate")
    yield save(photo.convert("LA"), "TIFF")
    yield save(photo.convert("CMYK"), "TIFF", compression="tiff_lzw")
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield save(photo.convert("1"), "TIFF", compression=compression)
    for mode in ("RGB", "YCbCr"):
        yield save(photo.convert(mode), "TIFF", compression="jpeg", quality=85)
    yield save(photo, "TIFF", compression="tiff_lzw", tiffinfo={278: 7, 317: 2, 274: 6})
    yield save(photo, "TIFF", big_tiff=True)
    pages = [Image.fromarray(picture(20, 15, seed=n)) for n in range(2)]
    yield save(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    deep = rng.integers(0, 65536, (13, 11), np.uint16)
    yield save(Image.fromarray(deep), "TIFF")
    for order in "<>":
        colors = rng.integers(0, 65536, 3 << 4).tolist()
        yield tiff_file(basic(13, 9, 4, 1, 3, _320=colors), [rng.bytes(7 * 9)], order)
    yield tiff_file(basic(13, 9, 16, 3, 2), [rng.bytes(13 * 9 * 6)], ">")
    yield tiff_file(basic(13, 9, 8, 3, 2, _284=[2]), [rng.bytes(13 * 9) for _ in range(3)])
    fields = basic(40, 20, 8, 3, 2, _322=[16], _323=[16])
    del fields[278]
    yield tiff_file(fields, [rng.bytes(16 * 16 * 3) for _ in range(6)])
