"""Small pictures of each format, and damaged copies of them, the same for the same seed.

Every copy has one fault, or a few of the same sort: bits flipped, bytes changed, a cut, or an edit
of one part (marker segment or chunk) of the file.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from PIL import Image, PngImagePlugin

import heif_bytes
import images_avif
import images_heic
from image_bytes import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    chunk,
    picture,
    png,
    riff,
    riff_chunk,
    save,
    segment,
    tiff,
    u24,
    webp_extended,
)
from more_bases import bmp_bases, gif_bases, tiff_bases

Part = tuple[int, int]  # where a part of a file begins and ends


def jpeg_bases() -> Iterator[bytes]:
    photo = Image.fromarray(picture(61, 43))
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            yield save(photo, "JPEG", subsampling=subsampling, progressive=progressive)
    yield save(photo, "JPEG", quality=95, optimize=True)
    yield save(photo, "JPEG", quality=20, keep_rgb=True)
    yield save(photo.convert("L"), "JPEG")
    yield save(photo.convert("L"), "JPEG", progressive=True)
    yield save(photo, "JPEG", restart_marker_blocks=1)
    yield save(photo, "JPEG", restart_marker_rows=1)
    yield save(photo, "JPEG", progressive=True, restart_marker_blocks=3)
    cmyk = Image.fromarray(picture(40, 31, 4), "CMYK")
    yield save(cmyk, "JPEG")
    yield save(cmyk, "JPEG", progressive=True)
    exif = segment(0xE1, b"Exif\0\0" + tiff(6))
    noted = save(photo, "JPEG", comment=b"a comment", dpi=(72, 72), icc_profile=bytes(200))
    yield (
        noted[:2]
        + exif
        + segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\4abcd")
        + noted[2:]
    )
    yield save(Image.fromarray(picture(17, 130)), "JPEG", quality=60)
    yield save(Image.fromarray(picture(8, 8)), "JPEG")
    # More than the 64 KiB that Pillow reads at a time.
    yield save(Image.fromarray(picture(260, 210)), "JPEG", quality=100, subsampling="4:4:4")
    yield save(Image.fromarray(picture(240, 210)), "JPEG", quality=100, progressive=True)


def png_bases() -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    photo = Image.fromarray(picture(37, 29))
    yield save(photo, "PNG")
    yield save(photo.convert("L"), "PNG")
    yield save(photo.convert("1"), "PNG")
    yield save(photo.quantize(37), "PNG")
    yield save(Image.fromarray(picture(37, 29, 4)), "PNG")
    yield save(Image.fromarray(picture(37, 29, 2), "LA"), "PNG")
    for interlaced in (False, True):
        for depth, color, channels in (
            (2, GREY, 1),
            (8, RGB, 3),
            (16, RGBA, 4),
            (8, GREY_ALPHA, 2),
        ):
            samples = rng.integers(0, 2**depth, (13, 11, channels))
            yield png(samples, depth, color, interlaced)
        table = chunk(b"PLTE", rng.integers(0, 256, 48, np.uint8).tobytes())
        yield png(rng.integers(0, 16, (13, 11, 1)), 4, PALETTE, interlaced, extra=table)
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "x" * 40)
    info.add_text("packed", "y" * 400, zip=True)
    info.add_itxt("title", "z" * 60, zip=True)
    head = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"pHYs", struct.pack(">IIB", 2, 2, 1))
    noted = save(photo, "PNG", pnginfo=info, icc_profile=bytes(300), transparency=(3, 4, 5))
    yield noted[:33] + head + noted[33:-12] + chunk(b"tEXt", b"late\0text") + noted[-12:]
    frames = [Image.fromarray(picture(40, 30, seed=n)[:: 1 - 2 * (n % 2)]) for n in range(3)]
    yield save(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield save(frames[0], "PNG", save_all=True, default_image=True, append_images=frames[1:])
    # More than one chunk of pixels, and more than the 64 KiB that Pillow reads at a time.
    yield save(Image.fromarray(rng.integers(0, 256, (150, 160, 3), np.uint8)), "PNG")


def webp_bases() -> Iterator[bytes]:
    rng = np.random.default_rng(5)
    photo = Image.fromarray(picture(61, 43))
    for quality in (10, 50, 80, 100):
        for method in (0, 4):
            yield save(photo, "WEBP", quality=quality, method=method)
    for method in (0, 4):
        yield save(photo, "WEBP", lossless=True, method=method)
    yield save(photo.quantize(7).convert("RGB"), "WEBP", lossless=True)
    yield save(Image.fromarray(rng.integers(0, 256, (21, 23, 3), np.uint8)), "WEBP", lossless=True)
    smooth = Image.fromarray(picture(47, 31, 4))
    ragged = Image.fromarray(rng.integers(0, 256, (31, 47, 4), np.uint8))
    yield save(smooth, "WEBP", quality=80, exact=True)
    small = save(ragged, "WEBP", lossless=True, exact=True)
    yield small
    yield save(smooth, "WEBP", exif=tiff(6), xmp=b"<x/>", icc_profile=bytes(100))
    yield webp_extended(0, 61, 43, save(photo, "WEBP")[12:])
    frames = [Image.fromarray(picture(40, 30, seed=n)) for n in range(3)]
    yield save(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    yield save(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    place = u24(10 // 2) + u24(6 // 2) + u24(47 - 1) + u24(31 - 1) + u24(100) + b"\2"
    frame = riff_chunk(b"ANMF", place + small[12:])
    yield webp_extended(0x12, 70, 50, riff_chunk(b"ANIM", bytes(6)) + frame + frame)
    yield riff(save(photo, "WEBP", quality=70)[12:] + riff_chunk(b"ABCD", bytes(9)))


def avif_bases() -> Iterator[bytes]:
    photo = Image.fromarray(picture(61, 43))
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        yield save(photo, "AVIF", subsampling=subsampling, speed=9)
    for quality in (20, 100):
        yield save(photo, "AVIF", quality=quality, speed=9)
    yield save(photo, "AVIF", range="limited", speed=9)
    yield save(photo, "AVIF", exif=tiff(6), xmp=b"<x/>", icc_profile=bytes(200), speed=9)
    yield save(photo, "AVIF", exif=tiff(5), speed=9)
    yield save(Image.fromarray(picture(8, 8)), "AVIF", speed=9)
    yield save(Image.fromarray(picture(17, 130)), "AVIF", quality=60, speed=9)
    clear = Image.fromarray(picture(47, 31, 4))
    yield save(clear, "AVIF", speed=9)
    yield save(clear, "AVIF", alpha_premultiplied=True, subsampling="4:4:4", speed=9)
    frames = [Image.fromarray(picture(40, 30, seed=n)) for n in range(3)]
    animated = save(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=9)
    yield heif_bytes.without_times(animated)
    frames = [Image.fromarray(picture(40, 30, 4, seed=n)) for n in range(2)]
    animated = save(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=9)
    yield heif_bytes.without_times(animated)
    deep = images_avif.deep()
    for name in ("10_bit_420", "12_bit_444", "10_bit_444_alpha", "grid_3x2", "identity"):
        yield deep[name]


def heic_bases() -> Iterator[bytes]:
    heic = images_heic.heic
    photo = Image.fromarray(picture(61, 43))
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        yield heic(photo, subsampling=subsampling)
    yield heic(photo.convert("L"))
    for quality in (20, 95):
        yield heic(photo, quality=quality)
    yield heic(photo, exif=tiff(6), xmp=b"<x/>", icc_profile=bytes(200))
    yield heic(photo, exif=tiff(5), quality=80)
    yield heic(Image.fromarray(picture(16, 16)))
    yield heic(Image.fromarray(picture(17, 130)), quality=60)
    clear = Image.fromarray(picture(48, 32, 4))
    yield heic(clear)
    yield heic(clear.convert("RGBa"), subsampling="4:4:4")
    plain = heic(photo)
    yield images_heic.with_colors(plain, 9, False)
    yield images_heic.renamed(plain, b"colr")
    yield heif_bytes.with_property(plain, images_heic.clap(31, 21, (-3, 2), (5, 2)))
    yield heif_bytes.with_property(plain, images_heic.imir(1))
    yield heic(Image.fromarray(picture(120, 100)), tile_size=64)
    yield heic(Image.fromarray(picture(130, 70)), tile_size=64, exif=tiff(8))
    deep = dict(images_heic.deep())
    for name in ("10_bit_422", "12_bit_420_alpha"):
        yield deep[name]


# --- The parts of a file ----------------------------------------------------------------------


def jpeg_parts(data: bytes) -> list[Part]:
    """Segments, and restart and end markers. Those behind the first scan are looked for."""
    parts = []
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0, 0xFF):
            at += 1
            continue
        alone = 0xD0 <= data[at + 1] <= 0xD9
        end = at + 2 + (0 if alone else int.from_bytes(data[at + 2 : at + 4], "big"))
        parts.append((at, min(end, len(data))))
        at = end
    return [*parts, (len(data) - 2, len(data))]


def png_parts(data: bytes) -> list[Part]:
    parts = []
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        parts.append((at, end))
        at = end
    return parts


def webp_parts(data: bytes) -> list[Part]:
    parts = []
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append((at, at + 8 + size + size % 2))
        at = parts[-1][1]
    return parts


def gif_blocks(data: bytes, at: int) -> int:
    """Where the blocks that begin there end."""
    while at < len(data) and data[at] > 0:
        at += 1 + data[at]
    return min(at + 1, len(data))


def gif_parts(data: bytes) -> list[Part]:
    """The screen and its palette, then extensions, and of each frame head, palette and data."""

    def palette(at: int, flags: int) -> list[Part]:
        return [(at, at + (6 << (flags & 7)))] if flags & 0x80 else []

    parts = [(6, 13), *palette(13, data[10])]
    while (at := parts[-1][1]) < len(data) and data[at] in b"!,":
        if data[at : at + 1] == b"!":
            parts.append((at, gif_blocks(data, at + 2)))
        else:
            parts += [(at, at + 10), *palette(at + 10, data[at + 9])]
            parts.append((parts[-1][1], gif_blocks(data, parts[-1][1] + 1)))
    return [*parts, (at, len(data))]


def bmp_parts(data: bytes) -> list[Part]:
    """The head of the file, that of the picture, masks and palette, and the pixels."""
    end = 14 + int.from_bytes(data[14:18], "little")
    pixels = int.from_bytes(data[10:14], "little")
    return [(0, 14), (14, end), *([(end, pixels)] if end < pixels else []), (pixels, len(data))]


def tiff_order(data: bytes) -> Literal["little", "big"]:
    return "little" if data[:1] == b"I" else "big"


def tiff_parts(data: bytes) -> list[Part]:
    """The head, the entries of the first directory, and what is before it and behind."""
    order = tiff_order(data)

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    big = number(2, 2) == 43
    head, count_size, size = (16, 8, 20) if big else (8, 2, 12)
    directory = number(8, 8) if big else number(4, 4)
    first = directory + count_size
    entries = [first + size * i for i in range(number(directory, count_size))]
    end = entries[-1] + size
    parts = [(0, head), (head, directory), *((at, at + size) for at in entries), (end, len(data))]
    return [(begin, end) for begin, end in parts if begin < end]


def fix_png(part: bytes) -> bytes:
    """The chunk with the checksum that fits."""
    return part[:-4] + struct.pack(">I", zlib.crc32(part[4:-4])) if len(part) >= 12 else part


def fix_riff(data: bytes) -> bytes:
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def changed(part: bytes, at: int, value: int) -> bytes:
    return part[:at] + bytes([value & 255]) + part[at + 1 :] if at < len(part) else part


HEIF = ("avif", "heic")

# Where a part says what it is, and how much of it there is.
NAME_AND_SIZE = {
    "jpeg": (slice(1, 2), slice(2, 4)),
    "png": (slice(4, 8), slice(0, 4)),
    "webp": (slice(0, 4), slice(4, 8)),
    "gif": (slice(0, 2), slice(2, 3)),
    "bmp": (slice(14, 20), slice(0, 4)),  # depth and compression; the size of a header
    "tiff": (slice(0, 4), slice(4, 8)),  # tag and type
    "avif": (slice(4, 8), slice(0, 4)),
    "heic": (slice(4, 8), slice(0, 4)),
}


def order_of(fmt: str, data: bytes) -> Literal["little", "big"]:
    if fmt == "tiff":
        return tiff_order(data)
    return "big" if fmt in ("jpeg", "png", "avif", "heic") else "little"


def edit_part(fmt: str, data: bytes, parts: list[Part], random_: random.Random) -> bytes:
    """One part removed, repeated, moved, renamed, resized or changed."""
    n = random_.randrange(len(parts))
    begin, end = parts[n]
    part = data[begin:end]
    name, size = NAME_AND_SIZE[fmt]
    order = order_of(fmt, data)
    kind = random_.randrange(9)
    other = data[slice(*parts[random_.randrange(len(parts))])]
    if kind == 0:
        new = b""
    elif kind == 1:
        new = part + part
    elif kind == 2:
        new = other + part
    elif kind == 3:
        new = random_.choice((part + other, other))
    elif kind == 4:
        new = random_.choice((bytes(random_.randrange(1, 40)), b"\xff", b"\xff\xff", b"\0")) + part
    elif kind == 5:
        width = name.stop - name.start
        at = min(name.start + (random_.randrange(width) if width > 1 else 0), len(part) - 1)
        code = random_.randrange(256) if random_.random() < 0.7 else part[at] ^ 0x20
        new = changed(part, at, code)
    elif kind == 6:
        value = int.from_bytes(part[size], order) + random_.choice((-2, -1, 1, 2, 100, -100))
        if len(part) < size.stop:
            new = part + b"\0"
        else:
            width = size.stop - size.start
            value %= 256**width
            new = part[: size.start] + value.to_bytes(width, order) + part[size.stop :]
    elif kind == 7:
        new = changed(part, random_.randrange(len(part)), random_.randrange(256))
    else:
        new = part[: random_.randrange(len(part) + 1)]
    if fmt == "png" and random_.random() < 0.6:
        new = fix_png(new)
    out = data[:begin] + new + data[end:]
    if fmt == "webp" and random_.random() < 0.6:
        return fix_riff(out)
    if fmt in HEIF and random_.random() < 0.6:
        return heif_bytes.replaced(data, begin, end, new)
    return out


def insert_marker(data: bytes, random_: random.Random) -> bytes:
    at = random_.randrange(2, len(data))
    marker = random_.choice((*range(0xD0, 0xDA), random_.randrange(1, 255)))
    return data[:at] + bytes([0xFF, marker]) + data[at:]


def flip(data: bytes, count: int, random_: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(count):
        out[random_.randrange(len(out))] ^= 1 << random_.randrange(8)
    return bytes(out)


def scramble(data: bytes, random_: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(random_.randrange(1, 6)):
        out[random_.randrange(len(out))] = random_.randrange(256)
    return bytes(out)


BASES: dict[str, Callable[[], Iterator[bytes]]] = {
    "jpeg": jpeg_bases,
    "png": png_bases,
    "webp": webp_bases,
    "gif": gif_bases,
    "bmp": bmp_bases,
    "tiff": tiff_bases,
    "avif": avif_bases,
    "heic": heic_bases,
}
PARTS = {
    "jpeg": jpeg_parts,
    "png": png_parts,
    "webp": webp_parts,
    "gif": gif_parts,
    "bmp": bmp_parts,
    "tiff": tiff_parts,
    "avif": heif_bytes.boxes,
    "heic": heif_bytes.boxes,
}


def repaired(fmt: str, data: bytes, base: bytes) -> bytes:
    """Half of the damage would stop at a checksum."""
    if fmt != "png":
        return data
    for begin, end in png_parts(base):
        if (
            data[begin:end] != base[begin:end]
            and data[begin : begin + 8] == base[begin : begin + 8]
        ):
            data = data[:begin] + fix_png(data[begin:end]) + data[end:]
    return data


PNG_NAMES = (
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB pHYs iCCP tEXt zTXt iTXt eXIf acTL fcTL fdAT DDAT"
    b" bKGD tIME prVt PRVT id_1 ID-1"
).split()
WEBP_NAMES = (
    b"VP8 ",
    b"VP8L",
    b"VP8X",
    b"ALPH",
    b"ANIM",
    b"ANMF",
    b"EXIF",
    b"XMP ",
    b"ICCP",
    b"abcd",
)
HEIF_NAMES = (
    b"ftyp meta hdlr pitm iloc iinf infe iprp ipco ipma ispe pixi av1C hvcC colr irot imir clap"
    b" pasp auxC iref dimg idat mdat free moov trak tkhd stbl stsd uuid abcd"
).split()


# Those of pictures, and some that are read all the same.
TIFF_TAGS = (*range(254, 300), 301, *range(315, 345), 347, 512, 513, 529, 530, 531, 532, 700, 34665)


def renamed(fmt: str, part: bytes, order: str) -> Iterator[bytes]:
    """The part under every other name: all 256 markers, or the chunks, fields and ways to compress
    that there are. order: of bytes, "<" or ">".
    """
    if fmt == "jpeg":
        if 0xD0 <= part[1] <= 0xD7:  # of many restarts a few
            yield from (changed(part, 1, code) for code in (*range(0xC0, 0xE0), 0, 1, 0xFE, 0xFF))
        else:
            yield from (changed(part, 1, code) for code in range(256))
    elif fmt == "png":
        yield from (fix_png(part[:4] + name + part[8:]) for name in PNG_NAMES)
    elif fmt in HEIF:
        yield from (part[:4] + name + part[8:] for name in HEIF_NAMES)
    elif fmt == "webp":
        yield from (name + part[4:] for name in WEBP_NAMES)
    elif fmt == "gif":
        yield from (bytes([a, b]) + part[2:] for a in b"!,;\0\1G" for b in b"\0\1\xf9\xfe\xff\x04")
    elif fmt == "bmp":
        depths = [struct.pack("<H", bits) for bits in (0, 1, 2, 4, 8, 16, 24, 32, 48, 64)]
        yield from (part[:14] + bits + part[16:] for bits in depths)
        yield from (part[:16] + bytes([way]) + part[17:] for way in range(14))
    else:
        yield from (struct.pack(order + "H", tag) + part[2:] for tag in TIFF_TAGS)
        yield from (part[:2] + struct.pack(order + "H", kind) + part[4:] for kind in range(20))


def resized(fmt: str, part: bytes, order: Literal["little", "big"]) -> Iterator[bytes]:
    """The part with every length near its own, and with some extreme ones."""
    place = NAME_AND_SIZE[fmt][1]
    at, width = place.start, place.stop - place.start
    if len(part) < at + width:
        return
    size = int.from_bytes(part[at : at + width], order)
    most = 256**width - 1
    for value in {*range(size - 4, size + 5), 0, 1, 2, 3, size // 2, size * 2, most // 2, most}:
        if 0 <= value <= most:
            yield part[:at] + value.to_bytes(width, order) + part[at + width :]


def edits(fmt: str) -> Iterator[tuple[str, bytes]]:
    """Every edit of a single part of every base: removed, repeated, swapped with the next, renamed,
    resized, cut off within and behind it, with junk in front of it, and each of its first bytes
    changed; where the format has sizes around it, both with these as they were and with them
    right.
    """
    for b, data in enumerate(BASES[fmt]()):
        parts = PARTS[fmt](data)
        order = order_of(fmt, data)
        sign = "<" if order == "little" else ">"
        for n, (begin, end) in enumerate(parts):
            part, rest = data[begin:end], data[end:]
            new = [b"", part + part, *renamed(fmt, part, sign), *resized(fmt, part, order)]
            new += [
                junk + part for junk in (b"\0", bytes(9), b"\xff", b"\xff\0", b"\xff\xd9", b"junk")
            ]
            for at in range(min(len(part), 24)):
                new += [changed(part, at, part[at] ^ mask) for mask in (1, 0x80, 0xFF)]
            if fmt == "png":
                new += [fix_png(one) for one in new[-72:]]
            outs = [data[:begin] + one + rest for one in new]
            outs += [data[:begin] + part[: len(part) // 2], data[:end]]
            if n + 1 < len(parts):
                second = parts[n + 1]
                outs.append(data[:begin] + data[second[0] : second[1]] + part + data[second[1] :])
            if fmt == "webp":
                outs += [fix_riff(out) for out in outs]
            if fmt in HEIF:
                longer = [one for one in new if len(one) != len(part)]  # or shorter
                outs += [heif_bytes.replaced(data, begin, end, one) for one in longer]
            for i, out in enumerate(outs):
                yield f"{fmt} base {b} part {n} edit {i}", out


def mutants(fmt: str, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files, each with a name that says what was done to which base."""
    random_ = random.Random(f"{fmt} {seed}")
    bases = list(BASES[fmt]())
    parts = [PARTS[fmt](base) for base in bases]
    for i in range(count):
        b = random_.randrange(len(bases))
        base = bases[b]
        kind = random_.choice(("flip", "flip", "flips", "bytes", "cut", "part", "part", "insert"))
        if kind == "flip":
            data = flip(base, 1, random_)
        elif kind == "flips":
            data = flip(base, random_.randrange(2, 9), random_)
        elif kind == "bytes":
            data = scramble(base, random_)
        elif kind == "cut":
            data = base[: random_.randrange(len(base))]
            if random_.random() < 0.2:
                data += b"\xff\xd9" if fmt == "jpeg" else bytes(random_.randrange(1, 2000))
        elif kind == "part" or fmt != "jpeg":
            data = edit_part(fmt, base, parts[b], random_)
        else:
            data = insert_marker(base, random_)
        if kind in ("flip", "flips", "bytes") and random_.random() < 0.5:
            data = repaired(fmt, data, base)
        yield f"{fmt} base {b} {kind} {i}", data
