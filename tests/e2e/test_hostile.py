"""Bad pictures and bad requests: the right error, and the next good request gets the same answer as
before.
"""

from __future__ import annotations

import io
import struct
import zlib

import grpc
import numpy as np
import pytest
from PIL import Image

from api import reason
from make_images import OTHERS


@pytest.fixture(autouse=True)
def same_answer_afterwards(client, photos):
    """Around every case: a good request gets bit for bit what it got before."""
    before = client.features(photos["cat.png"], "global_avg")[0]
    yield
    np.testing.assert_array_equal(client.features(photos["cat.png"], "global_avg")[0], before)


def status_of(client, data: bytes):
    result = client.extract([data]).results[0]
    assert result.WhichOneof("outcome") == "status", "features of a bad picture"
    assert result.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    return result.status


def encode(fmt: str, **options) -> bytes:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((160, 120))
    out = io.BytesIO()
    small.save(out, fmt, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8\xff", b"hello", b"<html></html>", bytes(1 << 20)]
)
def test_not_a_picture(client, data):
    assert reason(status_of(client, data)) in {"IMAGE_UNDECODABLE", "IMAGE_UNSUPPORTED_FORMAT"}


@pytest.mark.parametrize("fmt", OTHERS)
def test_formats_that_are_not_ours(client, fmt):
    options = {"append_images": []} if fmt == "ICNS" else {}
    assert reason(status_of(client, encode(fmt, **options))) == "IMAGE_UNSUPPORTED_FORMAT"


@pytest.mark.parametrize(
    "fmt, options",
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_truncation_never_gives_features(client, fmt, options):
    data = encode(fmt, **options)
    # A JPEG without its last two bytes, the end marker, still has all of its rows, and so has a PNG
    # without its last chunk and the checksums of its pixels, and a few bytes.
    last = len(data) - {"JPEG": 3, "PNG": 25}.get(fmt, 1)
    for cut in np.linspace(1, last, 64).astype(int):
        status = status_of(client, data[:cut])
        assert reason(status) in {"IMAGE_UNDECODABLE", "IMAGE_UNSUPPORTED_FORMAT"}, cut


def png(width: int, height: int, depth: int = 8, color: int = 2) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    row = bytes(1 + (width * depth + 7) // 8)
    body = zlib.compress(row * min(height, 100), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def test_a_bomb_is_refused_from_its_header(client, server):
    before = resident(server)
    status = status_of(client, png(60_000, 60_000, 1, 0))
    assert reason(status) == "LIMIT_EXCEEDED"
    assert "--max-image-side" in status.message and "60000" in status.message
    assert reason(status_of(client, png(16_000, 16_000))) == "LIMIT_EXCEEDED"
    assert resident(server) - before < 64 << 20


def resident(server) -> int:
    with open(f"/proc/{server.process.pid}/statm") as f:
        return int(f.read().split()[1]) * 4096


def test_too_many_bytes(client):
    data = encode("JPEG") + bytes(61 << 20)
    status = status_of(client, data)
    assert reason(status) == "LIMIT_EXCEEDED" and "--max-image-bytes" in status.message


def test_a_bad_picture_leaves_its_neighbours_alone(client, photos):
    alone = client.features(photos["coffee.png"], "gem")[0]
    results = client.extract([photos["coffee.png"], b"junk", photos["coffee.png"]], ["gem"]).results
    assert results[1].WhichOneof("outcome") == "status"
    for i in (0, 2):
        np.testing.assert_allclose(
            results[i].features.head_results[0].values, alone, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("color", [0, 127, 255])
def test_one_colour_pictures_have_finite_features(client, color):
    pixels = np.full((300, 400, 3), color, np.uint8)
    for vector in client.features(pixels, "global_avg:l2", "gem", "global_max"):
        assert np.isfinite(vector).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes_work(client, size):
    vector = client.features(np.zeros((*size, 3), np.uint8), "global_avg")[0]
    assert vector.shape == (1280,) and np.isfinite(vector).all()


@pytest.mark.parametrize("p", [0.0, -1.0, float("nan"), float("inf"), 1e30])
def test_gem_exponents_out_of_range(client, photos, p):
    head = client.pb.Head(gem=client.pb.Gem(p=p))
    request = client.pb.ExtractFeaturesRequest(
        images=[client.image(photos["cat.png"])], heads=[head]
    )
    with pytest.raises(grpc.RpcError) as error:
        client.stub.ExtractFeatures(request)
    assert reason(error.value) == "HEAD_INVALID" and "gem.p" in error.value.details()


def test_a_window_larger_than_the_map(client, photos):
    result = client.extract([photos["cat.png"]], ["max_pool:kernel_size=100"]).results[0]
    assert reason(result.status) == "HEAD_INVALID"
    assert "100" in result.status.message and "7" in result.status.message


def test_a_response_that_would_be_too_large_is_refused_before_any_work(client, api):
    pixels = np.zeros((2048, 2048, 3), np.uint8)
    options = api.pb.InputOptions(resize=api.pb.RESIZE_MODE_NONE, crop=api.pb.CROP_MODE_NONE)
    with pytest.raises(grpc.RpcError) as error:
        client.extract([pixels], ["feature_map:layer=stem"], input_options=options)
    assert (
        reason(error.value) == "LIMIT_EXCEEDED" and "--max-response-bytes" in error.value.details()
    )


def test_exif_orientation_is_applied_and_can_be_turned_off(client, api, photos):
    upright = Image.open(photos["cat.png"]).convert("RGB")
    wanted = client.features(np.asarray(upright), "global_avg")[0]
    stored = upright.transpose(Image.Transpose.ROTATE_90)  # as a camera held sideways writes it
    exif = Image.Exif()
    exif[0x0112] = 6
    for fmt, options in (
        ("JPEG", {"quality": 97, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
    ):
        out = io.BytesIO()
        stored.save(out, fmt, exif=exif, **options)
        turned = client.features(out.getvalue(), "global_avg")[0]
        assert _cosine(turned, wanted) > 0.999, fmt
        off = api.pb.InputOptions(apply_exif=False)
        as_stored = client.features(out.getvalue(), "global_avg", input_options=off)[0]
        assert _cosine(as_stored, client.features(np.asarray(stored), "global_avg")[0]) > 0.999, fmt
        assert _cosine(as_stored, wanted) < 0.99, fmt


def _cosine(a, b) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))
