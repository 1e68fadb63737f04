"""AVIF pictures for make_images.py."""

import base64
import pathlib
import struct

import numpy as np
from PIL import Image

from heif_bytes import box, find, replaced, with_box
from image_bytes import patched, picture, save, tiff
from reasons import LIMIT, UNDECODABLE

TEAL = (10, 120, 130)
SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:0:0")
# What Pillow does not write: 10 and 12 bits, grids, other matrices (make_deep_avif.c beside it says
# how they were made).
DEEP = pathlib.Path(__file__).parent / "avif_deep.txt"


def deep():
    """Name -> file, of the pictures that lie in a text file."""
    lines = DEEP.read_text().splitlines()
    return {name: base64.b64decode(data) for name, data in (line.split() for line in lines if line)}


def hidden_exif(block, tag=0x0112):
    """EXIF data whose orientation Pillow's writer does not see, and so does not take out."""
    return block.replace(struct.pack("<H", tag), struct.pack("<H", 0x0113), 1)


def with_orientation_tag(data):
    """The same data in a file, made whole again."""
    at = data.index(b"II*\0") + 10
    assert data[at : at + 2] == b"\x13\x01"
    return patched(data, at, 0x12)


def xmp(orientation):
    return f'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'


def av1_parts(data):
    """What comes before the frame in the data of a picture, and the frame: an OBU each."""
    at = find(data, b"mdat") + 8
    begin = at
    while data[at] >> 3 & 15 != 6:
        assert data[at] & 6 == 2 and data[at + 1] < 128
        at += 2 + data[at + 1]
    return data[begin:at], data[at:]


def with_data(data, new):
    """The file with other data of its only picture."""
    old = len(data) - find(data, b"mdat") - 8
    data = data[: find(data, b"mdat")] + box(b"mdat", new)
    at = find(data, b"iloc")
    end = at + int.from_bytes(data[at : at + 4], "big")
    return data[: end - 4] + replaced_size(data[end - 4 : end], old, len(new)) + data[end:]


def replaced_size(field, old, new):
    assert struct.unpack(">I", field) == (old,)
    return struct.pack(">I", new)


def avifs(out):
    for width, height in ((67, 45), (64, 64), (1, 1), (2, 1), (1, 3), (7, 130)):
        photo = Image.fromarray(picture(width, height))
        for subsampling in SUBSAMPLINGS:
            kind = subsampling.replace(":", "")
            data = save(photo, "AVIF", subsampling=subsampling, quality=80, speed=9)
            out.ok(f"avif_{kind}_{width}x{height}.avif", data)
    photo = Image.fromarray(picture(67, 45))
    for subsampling in SUBSAMPLINGS:
        kind = subsampling.replace(":", "")
        for quality in (10, 50, 100):
            data = save(photo, "AVIF", subsampling=subsampling, quality=quality, speed=9)
            out.ok(f"avif_{kind}_q{quality}.avif", data)
        data = save(photo, "AVIF", subsampling=subsampling, range="limited", speed=9)
        out.ok(f"avif_{kind}_limited.avif", data)
        out.ok(f"avif_{kind}_opaque_background.avif", data, background=TEAL)
        clear = Image.fromarray(picture(47, 31, 4))
        for premultiplied in (False, True):
            name = f"avif_{kind}_alpha{'_premultiplied' * premultiplied}"
            data = save(
                clear, "AVIF", subsampling=subsampling, alpha_premultiplied=premultiplied, speed=9
            )
            out.ok(name + ".avif", data)
            out.ok(name + "_background.avif", data, background=TEAL)
    out.ok("avif_grey.avif", save(photo.convert("L"), "AVIF", speed=9))
    out.ok("avif_profile.avif", save(photo, "AVIF", icc_profile=bytes(3000), speed=9))
    tiled = Image.fromarray(picture(700, 520))
    out.ok("avif_tiles.avif", save(tiled, "AVIF", tile_rows=1, tile_cols=1, speed=10))
    for name, data in deep().items():
        out.ok(f"avif_{name}.avif", data)
        if "alpha" in name:
            out.ok(f"avif_{name}_background.avif", data, background=TEAL)

    frames = [Image.fromarray(picture(40, 30, seed=n)[:: 1 - 2 * (n % 2)]) for n in range(3)]
    animated = save(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=9)
    out.ok("avif_animated.avif", animated)
    clear = [Image.fromarray(picture(40, 30, 4, seed=n)) for n in range(2)]
    data = save(clear[0], "AVIF", save_all=True, append_images=clear[1:], speed=9)
    out.ok("avif_animated_alpha.avif", data)
    out.ok("avif_animated_alpha_background.avif", data, background=TEAL)
    turned(out, photo)
    broken(out, photo, animated)


def turned(out, photo):
    """By boxes, by EXIF and by XMP, and by several that do not agree."""
    for orientation in range(1, 9):
        data = save(photo, "AVIF", exif=tiff(orientation), speed=9)
        out.ok(f"avif_turned_{orientation}.avif", data)
        out.ok(f"avif_turned_{orientation}_ignored.avif", data, exif=False)
        other = tiff(orientation % 8 + 1)
        both = Image.Exif()
        both[0x0112] = orientation
        both[0x010E] = "x" * 20
        data = save(photo, "AVIF", exif=both, xmp=xmp(6), speed=9)
        out.ok(f"avif_turned_{orientation}_with_xmp.avif", data)
        exif = with_orientation_tag(save(photo, "AVIF", exif=hidden_exif(other), speed=9))
        out.ok(f"avif_exif_{orientation % 8 + 1}_alone.avif", exif)
        out.ok(f"avif_xmp_{orientation}.avif", save(photo, "AVIF", xmp=xmp(orientation), speed=9))
    without = hidden_exif(tiff(6))
    out.ok("avif_exif_without.avif", save(photo, "AVIF", exif=without, speed=9))
    out.ok("avif_exif_without_xmp_6.avif", save(photo, "AVIF", exif=without, xmp=xmp(6), speed=9))
    bad = save(photo, "AVIF", exif=tiff(6) + b"Exif-ends", speed=9)
    out.ok("avif_exif_tail.avif", bad)


def broken(out, photo, animated):
    plain = save(photo, "AVIF", speed=9)
    out.ok("avif_trailing.avif", plain + b"PK\3\4" + bytes(9000))
    out.ok("avif_free_first.avif", replaced(plain, find(plain, b"meta"), find(plain, b"meta"),
                                            box(b"free", bytes(40))))  # fmt: skip
    brand = plain.index(b"avif")
    for major in (b"mif1", b"msf1"):
        out.ok(f"avif_major_{major.decode()}.avif", plain[:brand] + major + plain[brand + 4 :])
    for name, width, height in (
        ("side", 70000, 1),
        ("pixels", 12000, 10000),
        ("more_pixels", 60000, 60000),
        ("most_pixels", 0xFFFFFFFF, 0xFFFFFFFF),
    ):
        at = find(plain, b"ispe") + 12
        claims = plain[:at] + struct.pack(">II", width, height) + plain[at + 8 :]
        out.bad(f"avif_claims_{name}.avif", claims, LIMIT)
    at = find(plain, b"ispe") + 12
    out.bad("avif_zero_width.avif", plain[:at] + bytes(4) + plain[at + 4 :], UNDECODABLE)
    out.ok("avif_scaled.avif", plain[:at] + struct.pack(">II", 50, 40) + plain[at + 8 :])
    for kind in (b"pitm", b"iloc", b"iinf", b"iprp", b"ipma", b"av1C", b"hdlr", b"meta", b"ispe"):
        at = find(plain, kind)
        size = int.from_bytes(plain[at : at + 4], "big")
        out.bad(
            f"avif_without_{kind.decode().lower()}.avif", replaced(plain, at, at + size, b""),
            UNDECODABLE,
        )  # fmt: skip
    at = find(animated, b"moov")
    out.bad("avif_animated_cut.avif", animated[: at + 200], UNDECODABLE)
    out.bad("avif_no_boxes.avif", plain[: find(plain, b"meta")], UNDECODABLE)
    noise = np.random.default_rng(3).integers(0, 256, 400, np.uint8).tobytes()
    at = find(plain, b"mdat") + 8
    out.bad("avif_noise.avif", plain[:at] + noise[: len(plain) - at], UNDECODABLE)

    # Frames behind the one that is shown are not decoded; in front of it, they would be.
    sequence, frame = av1_parts(plain)
    out.ok("avif_8_frames.avif", with_data(plain, sequence + frame * 8))
    out.bad("avif_9_frames.avif", with_data(plain, sequence + frame * 9), UNDECODABLE)

    # Indices that would have a library work out of proportion.
    padded = with_box(plain, b"ipco", lambda body: body + box(b"free", b"") * 20_000)
    out.bad("avif_long_index.avif", padded, UNDECODABLE)
    item = box(b"infe", b"\2\0\0\0\0\1\0\0Exif\0")
    many = with_box(plain, b"iinf", lambda body: body[:4] + struct.pack(">H", 10) + body[6:]
                    + item * 9)  # fmt: skip
    out.bad("avif_much_metadata.avif", many, UNDECODABLE)
    size = len(plain)
    pieces = struct.pack(">HHH", 1, 0, 3) + struct.pack(">II", 0, size) * 3
    overlap = with_box(plain, b"iloc", lambda body: body[:6] + struct.pack(">H", 1) + pieces)
    out.bad("avif_overlapping_pieces.avif", overlap, UNDECODABLE)
    none = with_box(plain, b"iloc", lambda body: b"\0\0\0\0\0\0\0\1" + struct.pack(">HHH", 1, 0, 9))
    out.bad("avif_pieces_without_size.avif", none, UNDECODABLE)
    grid = deep()["grid_3x2"]
    for name, kind, count in (("tiles", b"dimg", 251), ("references", b"cdsc", 4091)):
        more = struct.pack(">HH", 1, count) + struct.pack(">H", 1) * count
        full = with_box(grid, b"iref", lambda body, kind=kind, more=more: body + box(kind, more))
        out.bad(f"avif_many_{name}.avif", full, UNDECODABLE)
