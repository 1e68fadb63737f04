"""Pictures that say how they are turned in all the ways that Pillow knows, and in some that it does
not: EXIF of every type and shape, XMP, and the chunks of PNG and WebP that hold them.
"""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

from image_bytes import chunk, picture, riff_chunk, save, segment, webp_extended

SIZE = (21, 17)
SEED = 31
COUNT = 300  # of each format
TAG = 0x0112
# TIFF types: what struct calls them; None for bytes, and for what Pillow passes over.
TYPES = {
    1: None, 2: None, 3: "H", 4: "I", 5: "II", 6: "b", 7: None, 8: "h", 9: "i", 10: "ii",
    11: "f", 12: "d", 13: "I", 14: None, 16: "Q", 17: None, 0: None,
}  # fmt: skip
UNITS = {1: 1, 2: 1, 6: 1, 7: 1, 3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8, 16: 8}
METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MAGICS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"MM\0+", b"II+\0", b"IM*\0")


def value_bytes(rng, kind, order, number):
    """One value of a type that says `number`, or something next to it."""
    code = TYPES[kind]
    if code is None:
        return bytes([number]) if kind != 2 else str(number).encode()
    if len(code) == 2:
        scale = int(rng.choice([1, 1, 2, 3, 0] + ([-1] if code == "ii" else [])))
        return struct.pack(order + code, number * scale, scale)
    if code in "fd":
        return struct.pack(order + code, number + float(rng.choice([0, 0, 0, 0.5])))
    return struct.pack(order + code, number)


def block(rng):
    """EXIF data: a directory with the orientation somewhere in it, at times none or several."""
    magic = MAGICS[int(rng.choice(len(MAGICS), p=[0.4, 0.4, 0.05, 0.05, 0.04, 0.03, 0.03]))]
    order = "<" if magic[:1] == b"I" else ">"
    start = int(rng.choice([8, 8, 8, 12, 26]))
    entries = []
    for _ in range(int(rng.integers(0, 4))):
        kind = int(rng.choice(list(TYPES)))
        entries.append((0x010E + int(rng.integers(0, 3)), kind, int(rng.integers(0, 9)), None))
    tags = 0 if rng.random() < 0.15 else int(rng.choice([1, 1, 1, 2]))
    for _ in range(tags):
        kind = 3 if rng.random() < 0.3 else int(rng.choice(list(TYPES)))
        count = int(rng.choice([1, 1, 1, 1, 1, 2, 5, 0]))
        number = int(
            rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 0, 9], p=[0.04] + [0.13] * 7 + [0.03, 0.02])
        )
        entries.insert(int(rng.integers(0, len(entries) + 1)), (TAG, kind, count, number))
    body = b""
    values = b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, kind, count, number in entries:
        unit = UNITS.get(kind, 1)
        one = bytes(unit) if number is None else value_bytes(rng, kind, order, number)
        data = (one * count)[: unit * count]
        if unit * count <= 4:
            place = data.ljust(4, b"\0")
        else:
            at = behind + len(values)
            if rng.random() < 0.06:
                at = int(rng.choice([behind + 5000, 0xFFFFFFF0]))
            place = struct.pack(order + "I", at)
            values += data
        if rng.random() < 0.03:
            count = int(rng.choice([1000, 0x7FFFFFFF, 0xFFFFFFFF]))
        body += struct.pack(order + "HHI", tag, kind, count) + place
    claimed = len(entries) + int(rng.choice([0, 0, 0, 0, 1, 7]))
    whole = magic + struct.pack(order + "I", start) + bytes(start - 8)
    whole += struct.pack(order + "H", claimed) + body + struct.pack(order + "I", 0) + values
    if rng.random() < 0.06:
        whole = whole[: int(rng.integers(0, len(whole)))]
    return whole


def prefixed(rng, data):
    return b"Exif\0\0" * int(rng.choice([0, 0, 1, 2, 3], p=[0.4, 0.3, 0.2, 0.05, 0.05])) + data


def xmp(rng):
    number = int(rng.choice([3, 6, 8, 5, 1, 0, 9]))
    form = (
        f'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{number}"/>',
        f"<tiff:Orientation>{number}</tiff:Orientation>",
        f"<rdf:Description tiff:Orientation='{number}'/>",
        f'<tiff:Orientation rdf:parseType="x">{number}</tiff:Orientation>',
        f'<a tiff:Orientation="x"/><b tiff:Orientation="{number}2"/><c tiff:Orientation="2"/>',
        f'<rdf:Description tiff:Orientation = "{number}"/>',
        "<rdf:Description/>",
        "",
    )[int(rng.choice(8, p=[0.3, 0.3, 0.05, 0.05, 0.1, 0.05, 0.1, 0.05]))]
    return form.encode()


def pieces(rng, data):
    """Segments of a JPEG: EXIF data is at times split."""
    cut = int(rng.integers(0, len(data) + 1)) if rng.random() < 0.15 else len(data)
    parts = [data[:cut], data[cut:]] if cut < len(data) else [data]
    return [segment(0xE1, b"Exif\0\0" + part) for part in parts]


def jpeg(rng, plain):
    segments = []
    if rng.random() < 0.8:
        segments += pieces(rng, prefixed(rng, block(rng)))
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        packet = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(rng))
        segments.insert(int(rng.integers(0, len(segments) + 1)), packet)
    if rng.random() < 0.1:
        segments.append(segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + xmp(rng)))
    return plain[:2] + b"".join(segments) + plain[2:]


def raw_profile(rng, data):
    digits = data.hex()
    width = int(rng.choice([72, 72, 71, 10_000]))
    lines = [digits[at : at + width] for at in range(0, len(digits), width)]
    text = f"\nexif\n{len(data):8}\n" + "\n".join(lines) + "\n"
    broken = rng.random()
    if broken < 0.04:
        text = text.replace("0", "g", 1)
    elif broken < 0.08:
        text = text[:-2]
    elif broken < 0.12:
        text = text.replace("00", "00 \t", 2)
    return text.encode()


def text_chunk(rng, name, text):
    form = int(rng.integers(0, 4))
    if form == 0:
        return chunk(b"tEXt", name + b"\0" + text)
    packed = zlib.compress(text)
    if rng.random() < 0.08:
        packed = packed[:-5] if rng.random() < 0.5 else b"x" + packed
    if form == 1:
        return chunk(b"zTXt", name + b"\0\0" + packed)
    language = b"en" if rng.random() < 0.95 else b"\xff"
    if rng.random() < 0.08:
        text += bytes([0xED, 0xA0, 0x80]) if rng.random() < 0.5 else "\u20ac".encode()
    if form == 2:
        return chunk(b"iTXt", name + b"\0\0\0" + language + b"\0\0" + text)
    return chunk(b"iTXt", name + b"\0\1\0" + language + b"\0key\0" + packed)


def png(rng, plain):
    chunks = []
    if rng.random() < 0.4:
        chunks.append(chunk(b"eXIf", prefixed(rng, block(rng))))
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        chunks.append(text_chunk(rng, b"Raw profile type exif", raw_profile(rng, block(rng))))
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        chunks.append(text_chunk(rng, b"XML:com.adobe.xmp", xmp(rng)))
    if rng.random() < 0.05:
        chunks.append(chunk(b"tEXt", b"exif\0" + block(rng)))
    rng.shuffle(chunks)
    late = int(rng.integers(0, len(chunks) + 1)) if rng.random() < 0.4 else len(chunks)
    end = len(plain) - 12
    early = plain[:33] + b"".join(chunks[:late]) + plain[33:end]
    return early + b"".join(chunks[late:]) + plain[end:]


def animated_png(rng, plain):
    """The second frame's chunks are not read, nor is what is behind them."""
    frames = [Image.fromarray(picture(*SIZE, seed=n)) for n in range(2)]
    default = bool(rng.integers(0, 2))
    whole = save(frames[0], "PNG", save_all=True, default_image=default, append_images=frames[1:])
    at = len(whole) - 12
    if rng.random() < 0.5:
        at = whole.rindex(b"fcTL") - 4
    return whole[:at] + chunk(b"eXIf", block(rng)) + whole[at:]


def webp(rng, plain):
    flags = int(rng.choice([0x0C, 0x0C, 0x08, 0x04, 0]))
    chunks = []
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        chunks.append(riff_chunk(b"EXIF", prefixed(rng, block(rng))))
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        chunks.append(riff_chunk(b"XMP ", xmp(rng)))
    rng.shuffle(chunks)
    return webp_extended(flags, *SIZE, plain[12:] + b"".join(chunks))


def upright(data):
    """What Pillow shows: turned by what getexif finds, and where it fails at that, as stored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        image.load()
        try:
            orientation = image.getexif().get(TAG, 1)
        except (SyntaxError, struct.error, ValueError, TypeError):
            orientation = 1
        method = METHODS.get(orientation)
        pixels = image.convert("RGB")
        turned = np.asarray(pixels if method is None else pixels.transpose(method))
        try:
            whole = ImageOps.exif_transpose(image)
        except (SyntaxError, struct.error, ValueError, TypeError, AttributeError, OverflowError):
            return turned  # it turns, and then fails at writing the metadata anew
    assert np.array_equal(turned, np.asarray(whole.convert("RGB")))
    return turned


def orientations(out):
    rng = np.random.default_rng(SEED)
    photo = Image.fromarray(picture(*SIZE))
    plain = {
        "jpeg": save(photo, "JPEG", quality=92, subsampling="4:4:4"),
        "png": save(photo, "PNG"),
        "webp": save(photo, "WEBP", lossless=True),
    }
    turned = 0
    for kind, make, count in (
        ("jpeg", jpeg, COUNT),
        ("png", png, COUNT),
        ("png", animated_png, COUNT // 10),
        ("webp", webp, COUNT),
    ):
        for i in range(count):
            data = make(rng, plain[kind])
            try:
                expected = upright(data)
            except OSError:  # a text that Pillow cannot bear
                continue
            turned += not np.array_equal(
                expected, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            )
            out.ok(f"exif_any_{make.__name__}_{i}", data, expected=expected)
    assert turned > COUNT, turned
