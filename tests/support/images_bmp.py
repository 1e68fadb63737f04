"""BMP pictures for make_images.py."""

import struct

import numpy as np
from PIL import Image

from image_bytes import patched, picture, save
from reasons import LIMIT, UNDECODABLE, UNSUPPORTED

TEAL = (10, 120, 130)
MASKS = (
    (0xFF0000, 0xFF00, 0xFF, 0),
    (0xFF000000, 0xFF0000, 0xFF00, 0),
    (0xFF000000, 0xFF00, 0xFF, 0),
    (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
    (0, 0, 0, 0),
)


def bmp(width, height, bits, data, compression=0, palette=b"", header_size=40, masks=b"", colors=0):
    header = struct.pack(
        "<IiiHHIIiiII",
        header_size, width, height, 1, bits, compression, len(data), 0, 0, colors, 0,
    )  # fmt: skip
    if header_size > 40:
        header = (header + masks + bytes(100))[:header_size]
        masks = b""
    offset = 14 + len(header) + len(masks) + len(palette)
    head = b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset)
    return head + header + masks + palette + data


def core_bmp(width, height, bits, data, palette=b""):
    offset = 26 + len(palette)
    head = b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset)
    return head + struct.pack("<IHHHH", 12, width, height, 1, bits) + palette + data


def runs(rows):
    """RLE8: each row as runs of (count, index)."""
    lines = [b"".join(bytes(run) for run in row) + b"\0\0" for row in rows]
    return b"".join(lines)[:-2] + b"\0\1"


def bmps(out):
    rng = np.random.default_rng(12)

    def noise(count):
        return rng.integers(0, 256, count, dtype=np.uint8).tobytes()

    photo = Image.fromarray(picture(67, 45))
    for mode in ("RGB", "L", "1", "P", "RGBA"):
        out.ok(f"bmp_pillow_{mode.lower()}.bmp", save(photo.convert(mode), "BMP"))
    out.ok("bmp_64x40.bmp", save(Image.fromarray(picture(64, 40)), "BMP"))
    strides = {1: 4, 4: 8, 8: 16, 16: 28, 24: 40, 32: 52}  # of 13 pixels
    for bits, stride in strides.items():
        palette = noise(4 << bits) if bits <= 8 else b""
        data = noise(stride * 9)
        out.ok(f"bmp_{bits}.bmp", bmp(13, 9, bits, data, palette=palette))
        out.ok(f"bmp_{bits}_top_down.bmp", bmp(13, -9, bits, data, palette=palette))
        if bits not in (16, 32):
            out.ok(
                f"bmp_{bits}_core.bmp", core_bmp(13, 9, bits, data, noise(3 * len(palette) // 4))
            )
    out.ok("bmp_8_of_40.bmp", bmp(13, 9, 8, noise(144), palette=noise(160), colors=40))
    grey = bytes(v for i in range(256) for v in (i, i, i, 0))
    out.ok("bmp_8_grey.bmp", bmp(13, 9, 8, noise(144), palette=grey))
    ends = b"\0\0\0\0\xff\xff\xff\0"
    out.ok("bmp_8_black_and_white.bmp", bmp(13, 9, 8, noise(144), palette=ends, colors=2))
    for name, masks in (("565", (0xF800, 0x7E0, 0x1F)), ("555", (0x7C00, 0x3E0, 0x1F))):
        packed = struct.pack("<III", *masks)
        out.ok(f"bmp_{name}.bmp", bmp(13, 9, 16, noise(28 * 9), 3, masks=packed))
    for at, masks in enumerate(MASKS):
        for header_size in (56, 108, 124):
            packed = struct.pack("<IIII", *masks)
            data = bmp(13, 9, 32, noise(52 * 9), 3, header_size=header_size, masks=packed)
            out.ok(f"bmp_masks{at}_{header_size}.bmp", data)
            out.ok(f"bmp_masks{at}_{header_size}_background.bmp", data, background=TEAL)
    out.ok("bmp_plain_background.bmp", bmp(13, 9, 32, noise(52 * 9)), background=TEAL)
    palette = noise(1024)
    plain = runs([[(7, y), (6, 200 - y)] for y in range(9)])
    out.ok("bmp_rle8.bmp", bmp(13, 9, 8, plain, 1, palette))
    out.ok("bmp_rle8_grey.bmp", bmp(13, 9, 8, plain, 1, grey))
    mixed = b"\0\2\5\2" + b"\3\x07\0\5\1\2\3\4\5\0" + runs([[(13, y)] for y in range(7)])
    out.ok("bmp_rle8_jumps.bmp", bmp(13, 9, 8, mixed, 1, palette))
    long = runs([[(200, y)] for y in range(9)])
    out.ok("bmp_rle8_long_runs.bmp", bmp(13, 9, 8, long, 1, palette))
    pairs = b"\6\x12\0\5\x34\x56\x70\0\2\x88\0\0" * 9 + b"\0\1"
    out.ok("bmp_rle4.bmp", bmp(13, 9, 4, pairs, 2, palette[:64]))
    whole = bmp(13, 9, 24, noise(40 * 9))
    out.ok("bmp_no_padding_at_the_end.bmp", whole[:-1])
    out.ok("bmp_trailing.bmp", whole + bytes(5000))

    out.bad("bmp_truncated.bmp", whole[:-2], UNDECODABLE)
    out.bad("bmp_rle8_ends_early.bmp", bmp(13, 10, 8, plain, 1, palette), UNDECODABLE)
    out.bad("bmp_rle8_truncated.bmp", bmp(13, 9, 8, plain[:-6], 1, palette), UNDECODABLE)
    out.bad("bmp_rle24.bmp", bmp(13, 9, 24, noise(360), 1), UNDECODABLE)
    out.bad("bmp_header_size.bmp", patched(whole, 14, 41), UNDECODABLE)
    out.bad("bmp_zero_width.bmp", bmp(0, 9, 24, noise(360)), UNDECODABLE)
    out.bad("bmp_64_bits.bmp", bmp(13, 9, 64, noise(936)), UNSUPPORTED)
    out.bad("bmp_of_a_png.bmp", bmp(13, 9, 0, noise(360), 5), UNSUPPORTED)
    odd = struct.pack("<III", 0xF0, 0xF, 0xF00)
    out.bad("bmp_odd_masks.bmp", bmp(13, 9, 16, noise(28 * 9), 3, masks=odd), UNSUPPORTED)
    out.bad("bmp_claims_60000.bmp", bmp(60000, 60000, 24, noise(360)), LIMIT)
    out.bad("bmp_claims_most.bmp", bmp(2**31 - 1, -1, 1, noise(360)), LIMIT)
