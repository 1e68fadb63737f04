"""Pictures as large as phones make them are taken, in little memory; what would take much memory is
refused from its header.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from api import reason

MEBIBYTE = 1 << 20


def picture(mode: str, width: int, height: int, **options) -> bytes:
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).convert(mode)
    out = io.BytesIO()
    small.resize((width, height), Image.Resampling.BILINEAR).save(out, "JPEG", **options)
    return out.getvalue()


def peak(server) -> int:
    """Bytes that were resident at most, in the server and the workers that decode."""
    pids = [server.process.pid]
    for children in Path(f"/proc/{pids[0]}/task").glob("*/children"):
        pids += [int(pid) for pid in children.read_text().split()]
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as lines:
            (line,) = [line for line in lines if line.startswith("VmHWM:")]
        total += int(line.split()[1]) * 1024
    return total


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    "mode, width, height",
    [("RGB", 8160, 6144), ("RGB", 9248, 6936), ("RGB", 12000, 9000), ("L", 16320, 12240)],
)
def test_phones_pictures_are_taken(client, server, mode, width, height):
    data = picture(mode, width, height, quality=60, exif=turned(6))
    before = peak(server)
    vector = client.features(data, "gem")[0]
    assert np.isfinite(vector).all()
    # The file, twice while it arrives and once in the memory that server and worker share, which
    # counts for both, and the window of rows; never 3 bytes a pixel.
    assert peak(server) - before < 4 * len(data) + 48 * MEBIBYTE


def test_what_takes_much_memory_is_refused_from_its_header(client, server):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 15_000, 15_000, 8, 2, 0, 0, 1)  # interlaced
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )
    before = peak(server)
    result = client.extract([data]).results[0]
    assert result.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert reason(result.status) == "LIMIT_EXCEEDED"
    assert "--max-image-memory" in result.status.message
    assert "not interlaced" in result.status.message
    assert peak(server) - before < 64 * MEBIBYTE
