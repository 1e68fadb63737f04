"""TIFF pictures for make_images.py."""

import struct

import numpy as np
from PIL import Image

from image_bytes import picture, save
from reasons import LIMIT, UNDECODABLE, UNSUPPORTED

TEAL = (10, 120, 130)
COMPRESSIONS = {
    "none": None,
    "lzw": "tiff_lzw",
    "deflate": "tiff_adobe_deflate",
    "old_deflate": "tiff_deflate",
    "packbits": "packbits",
}


def tiff_file(fields, parts, order="<", magic=None):
    """A file of one directory; `fields`: tag -> list of numbers, `parts`: the data of its strips or
    tiles. SHORT where all numbers fit, else LONG; the last field is that of the offsets."""
    head = magic or (b"II*\0" if order == "<" else b"MM\0*")
    data = b"".join(parts)
    offsets, at = [], 8
    for part in parts:
        offsets.append(at)
        at += len(part)
    at += at % 2
    tags = dict(fields)
    place, sizes = (324, 325) if 322 in tags else (273, 279)
    tags[place] = offsets
    tags[sizes] = [len(part) for part in parts]
    entries, values = b"", b""
    behind = at + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        numbers = tags[tag]
        code, kind = ("H", 3) if max(numbers) < 65536 else ("I", 4)
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        entries += struct.pack(order + "HHI", tag, kind, len(numbers))
        if len(packed) <= 4:
            entries += packed.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", behind + len(values))
            values += packed + b"\0" * (len(packed) % 2)
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    start = struct.pack(order + "I", at)
    return (head + start + data).ljust(at, b"\0") + directory + values


def basic(width, height, bits, samples, photometric, **more):
    fields = {
        256: [width],
        257: [height],
        258: [bits] * samples,
        259: [1],
        262: [photometric],
        277: [samples],
        278: [height],
    }
    return fields | {int(tag[1:]): value for tag, value in more.items()}


def tiffs(out):
    rng = np.random.default_rng(21)
    photo = Image.fromarray(picture(67, 45))
    for name, compression in COMPRESSIONS.items():
        for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK"):
            data = save(photo.convert(mode), "TIFF", compression=compression)
            out.ok(f"tiff_{name}_{mode.lower()}.tif", data)
        for mode in ("RGBA", "LA"):
            data = save(Image.fromarray(picture(47, 31, 4)), "TIFF", compression=compression)
            if mode == "LA":
                data = save(photo.convert("LA"), "TIFF", compression=compression)
            out.ok(f"tiff_{name}_{mode.lower()}_background.tif", data, background=TEAL)
        deep = rng.integers(0, 65536, (31, 45), np.uint16)
        # Pillow clips shades of 16 bits; the upper byte is what is wanted.
        upper = np.repeat((deep >> 8)[:, :, None], 3, axis=2)
        data = save(Image.fromarray(deep), "TIFF", compression=compression)
        out.ok(f"tiff_{name}_grey16.tif", data, expected=upper)
    for name in ("group3", "group4", "tiff_ccitt"):
        out.ok(f"tiff_{name}.tif", save(photo.convert("1"), "TIFF", compression=name))
    for mode in ("RGB", "L", "YCbCr", "CMYK"):
        data = save(photo.convert(mode), "TIFF", compression="jpeg", quality=85)
        out.ok(f"tiff_jpeg_{mode.lower()}.tif", data)
    for rows in (1, 7, 16):
        data = save(photo, "TIFF", compression="tiff_lzw", tiffinfo={278: rows})
        out.ok(f"tiff_strips_of_{rows}.tif", data)
    predictor = save(photo, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    out.ok("tiff_predictor.tif", predictor)
    pages = [Image.fromarray(picture(40, 30, seed=n)) for n in range(2)]
    out.ok("tiff_pages.tif", save(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    out.ok("tiff_big.tif", save(photo, "TIFF", big_tiff=True))

    small = Image.fromarray(picture(23, 17))
    stored = np.asarray(small)
    for orientation in range(1, 9):
        for big in (False, True):
            data = save(small, "TIFF", tiffinfo={274: orientation}, big_tiff=big)
            name = f"tiff_orientation_{orientation}{'_big' if big else ''}"
            out.ok(f"{name}.tif", data)
            out.ok(f"{name}_ignored.tif", data, expected=stored, exif=False)
    xmp = b"<tiff:Orientation>8</tiff:Orientation>"
    turned = save(small, "TIFF", tiffinfo={700: xmp})
    wanted = np.asarray(small.transpose(Image.Transpose.ROTATE_90))
    out.ok("tiff_orientation_xmp.tif", turned, expected=wanted)

    for order, name in (("<", "little"), (">", "big")):
        for bits in (1, 2, 4, 8):
            row = (13 * bits + 7) // 8
            for photometric in (0, 1, 3):
                more = {}
                if photometric == 3:
                    more["_320"] = rng.integers(0, 65536, 3 << bits).tolist()
                fields = basic(13, 9, bits, 1, photometric, **more)
                data = tiff_file(fields, [rng.bytes(row * 9)], order)
                out.ok(f"tiff_{name}_{photometric}_{bits}.tif", data)
            reverse = tiff_file(basic(13, 9, bits, 1, 1, _266=[2]), [rng.bytes(row * 9)], order)
            out.ok(f"tiff_{name}_fill_order_{bits}.tif", reverse)
        for samples, extra in ((3, []), (4, [0]), (4, [1]), (4, [2]), (5, [2, 0]), (6, [0, 0, 0])):
            for bits in (8, 16):
                if bits == 16 and samples > 4:
                    continue
                more = {"_338": extra} if extra else {}
                fields = basic(13, 9, bits, samples, 2, **more)
                data = tiff_file(fields, [rng.bytes(13 * 9 * samples * bits // 8)], order)
                tail = f"{samples}_{'_'.join(map(str, extra))}_{bits}.tif"
                out.ok(f"tiff_{name}_rgb_{tail}", data)
                if extra and extra[0] == 2:
                    out.ok(f"tiff_{name}_rgb_background_{tail}", data, background=TEAL)
        shades = rng.integers(0, 65536, (9, 13), np.uint16)
        grey16 = tiff_file(basic(13, 9, 16, 1, 1), [shades.astype(order + "u2").tobytes()], order)
        upper = np.repeat((shades >> 8)[:, :, None], 3, axis=2)
        out.ok(f"tiff_{name}_grey_16.tif", grey16, expected=upper)
        cmyk = tiff_file(basic(13, 9, 16, 4, 5), [rng.bytes(13 * 9 * 8)], order)
        out.ok(f"tiff_{name}_cmyk_16.tif", cmyk)
        planes = [rng.bytes(13 * 9) for _ in range(3)]
        fields = basic(13, 9, 8, 3, 2, _284=[2])
        out.ok(f"tiff_{name}_planes.tif", tiff_file(fields, planes, order))
        tiles = [rng.bytes(16 * 16 * 3) for _ in range(6)]
        fields = basic(40, 20, 8, 3, 2, _322=[16], _323=[16])
        del fields[278]
        out.ok(f"tiff_{name}_tiles.tif", tiff_file(fields, tiles, order))

    whole = tiff_file(basic(13, 9, 8, 3, 2), [rng.bytes(13 * 9 * 3)])
    # Rows that run into what follows them are there, as Pillow sees it.
    out.ok("tiff_wrong_byte_count.tif", tiff_file(basic(13, 10, 8, 3, 2), [rng.bytes(13 * 9 * 3)]))
    # The JPEG within is narrower than the directory says.
    narrow = save(photo, "TIFF", compression="jpeg", quality=85)
    width = narrow.index(struct.pack("<HHIH", 256, 3, 1, 67)) + 8
    wide = narrow[:width] + struct.pack("<H", 900) + narrow[width + 2 :]
    out.ok("tiff_jpeg_too_narrow.tif", wide)
    # libtiff takes such pictures for grey ones.
    indexed = save(photo.quantize(9), "TIFF")
    entry = indexed.index(b"\x40\x01\x03\0")  # of the palette, which lies behind the pixels
    out.bad("tiff_palette_missing.tif", indexed.replace(b"\x40\x01", b"\x41\x01"), UNDECODABLE)
    far = indexed[: entry + 8] + b"\0\0\1\0" + indexed[entry + 12 :]
    out.bad("tiff_palette_beyond_the_end.tif", far, UNDECODABLE)
    out.bad("tiff_no_directory.tif", whole[:8] + bytes(100), UNDECODABLE)
    out.bad("tiff_offset_beyond_the_end.tif", whole[:4] + b"\0\xff\xff\0" + whole[8:], UNDECODABLE)
    jpeg = save(photo, "TIFF", compression="jpeg", quality=85)
    scan = jpeg.index(b"\xff\xda") + 300
    out.bad(
        "tiff_jpeg_cut.tif", jpeg[:scan] + b"\xff\xd9" + bytes(len(jpeg) - scan - 2), UNDECODABLE
    )
    lzw = bytearray(save(photo, "TIFF", compression="tiff_lzw"))
    lzw[40:60] = b"\xff" * 20
    out.bad("tiff_damaged_lzw.tif", bytes(lzw), UNDECODABLE)
    out.bad("tiff_claims_60000.tif", tiff_file(basic(60000, 60000, 8, 3, 2), [bytes(500)]), LIMIT)
    huge = basic(40, 20, 8, 3, 2, _322=[65520], _323=[65520])
    del huge[278]
    out.bad("tiff_huge_tile.tif", tiff_file(huge, [bytes(500)]), UNDECODABLE)
    zero = basic(13, 9, 8, 3, 2)
    zero[256] = [0]
    out.bad("tiff_zero_width.tif", tiff_file(zero, [bytes(400)]), UNDECODABLE)
    for name, fields, size in (
        ("float", basic(13, 9, 32, 1, 1, _339=[3]), 13 * 9 * 4),
        ("signed", basic(13, 9, 16, 1, 1, _339=[2]), 13 * 9 * 2),
        ("32", basic(13, 9, 32, 1, 1), 13 * 9 * 4),
        ("12", basic(13, 9, 12, 1, 1), 20 * 9),
        ("lab", basic(13, 9, 8, 3, 8), 13 * 9 * 3),
        ("ycbcr", basic(13, 9, 8, 3, 6, _530=[1, 1]), 13 * 9 * 3),
    ):
        out.bad(f"tiff_{name}.tif", tiff_file(fields, [bytes(size)]), UNSUPPORTED)
    # Camera raw, which begins with a small picture of what it holds.
    preview = {"_254": [1], "_330": [70000]}
    nef = tiff_file(basic(13, 9, 8, 3, 2, **preview), [bytes(13 * 9 * 3)], ">")
    out.bad("tiff_raw_nef.tif", nef, UNSUPPORTED)
    dng = tiff_file(basic(13, 9, 8, 3, 2, _50706=[1, 4, 0, 0]), [bytes(13 * 9 * 3)])
    out.bad("tiff_raw_dng.tif", dng, UNSUPPORTED)
    cr2 = tiff_file(basic(13, 9, 8, 3, 2), [b"CR\2\0" + bytes(13 * 9 * 3)])
    out.bad("tiff_raw_cr2.tif", cr2, UNSUPPORTED)
