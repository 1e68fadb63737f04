"""Building blocks of test pictures, and files that Pillow cannot write, such as interlaced PNG."""

import io
import struct
import zlib

import numpy as np


def save(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(width, height, channels=3, seed=0):
    """Gradients, edges and noise, different in each channel: no flip or swap goes unseen."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        plane = 255 * (x * (c + 1) + y * 2) / (width * (c + 1) + height * 2)
        plane += 60 * np.sin(x / (5 + 3 * c)) * np.cos(y / (4 + c))
        plane[height // 4 : height // 2, width // 3 : width // 2] = 255 if c % 2 == 0 else 0
        planes.append(plane + rng.normal(0, 4, plane.shape))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def find_segment(data, markers):
    """Start of the first segment with one of the markers, which must precede the first scan."""
    at = 2
    while data[at + 1] not in markers:
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return at


def without(data, marker):
    """A JPEG without the segments of this marker that lie before its first scan."""
    at = 2
    while data[at + 1] != 0xDA:
        size = 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] == marker:
            data = data[:at] + data[at + size :]
        else:
            at += size
    return data


def patched(data, at, value):
    out = bytearray(data)
    out[at] = value
    return bytes(out)


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # x and y of the first pixel, x and y steps


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_rows(samples, depth):
    """Filtered scanlines of an array of samples (height, width, channels)."""
    rows = []
    for row in samples:
        flat = row.reshape(-1)
        if depth == 16:
            rows.append(b"\0" + flat.astype(">u2").tobytes())
        else:
            shifts = np.arange(depth - 1, -1, -1, dtype=np.uint8)
            bits = (flat.astype(np.uint8)[:, None] >> shifts) & 1
            rows.append(b"\0" + np.packbits(bits.reshape(-1)).tobytes())
    return b"".join(rows)


def png(samples, depth, color, interlaced=False, extra=b"", late=b""):
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1)
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        rows = b"".join(png_rows(part, depth) for part in passes if part.size)
    else:
        rows = png_rows(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + late
        + chunk(b"IEND", b"")
    )


def riff_chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def riff(body):
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def u24(value):
    return struct.pack("<I", value)[:3]


def webp_extended(flags, width, height, body):
    return riff(
        riff_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + u24(width - 1) + u24(height - 1)) + body
    )


def tiff(orientation, order="<", kind=3, count=1, offset=8, entries=1):
    """An EXIF block whose first directory has `entries` entries, the last with the orientation."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    other = struct.pack(order + "HHII", 0x010E, 4, 1, 0)
    entry = struct.pack(order + "HHI", 0x0112, kind, count)
    entry += struct.pack(order + "HH", orientation, 0)
    directory = struct.pack(order + "H", entries) + other * (entries - 1) + entry
    return magic + struct.pack(order + "I", offset) + directory + struct.pack(order + "I", offset)


def jpeg_with_exif(plain, size, block):
    return plain[:2] + segment(0xE1, b"Exif\0\0" + block) + plain[2:]


def png_with_exif(plain, size, block):
    return plain[:33] + chunk(b"eXIf", block) + plain[33:]


def webp_with_exif(plain, size, block):
    return webp_extended(0x08, *size, plain[12:] + riff_chunk(b"EXIF", block))
