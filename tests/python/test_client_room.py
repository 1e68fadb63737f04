"""Images that are too large for a message: what is sent of them, and what is said where nothing can
be.
"""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path

import grpc
import numpy as np
import PIL.Image
import pytest

from pixpool import AsyncClient, Client, Image, ImageError, PixpoolError
from pixpool.v1 import feature_service_pb2 as pb

MB = 1 << 20


def smooth(height: int, width: int) -> np.ndarray:
    """Pixels that PNG makes small."""
    rows = np.linspace(0, 255, height).astype(np.uint8)
    return np.repeat(np.repeat(rows[:, None], width, 1)[:, :, None], 3, 2)


def noise(height: int, width: int) -> np.ndarray:
    """Pixels that nothing makes small."""
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def waves(height: int, width: int) -> np.ndarray:
    """Pixels of which WebP makes less than PNG."""
    y, x = np.mgrid[:height, :width]
    grey = (np.sin(x / 9) + np.sin(y / 7) + np.sin((x + y) / 5)) * 40 + 128
    coarse = np.random.default_rng(4).integers(-35, 36, grey.shape)
    return np.stack([grey + coarse, grey + 20 + coarse, grey - 20 + coarse], 2).astype(np.uint8)


@pytest.fixture
def server(serve):
    return serve(models=[model(2 * MB, MB)])


def model(message: int, file: int, pixels: int = 0) -> pb.Model:
    limits = pb.Limits(max_message_bytes=message, max_image_bytes=file, max_image_pixels=pixels)
    return pb.Model(name="scripted", limits=limits)


def sent(server) -> list[pb.Image]:
    return [request.images[0] for request in server.script.requests]


def pixels(image: pb.Image) -> np.ndarray:
    if image.WhichOneof("source") == "raw":
        shape = image.raw.height_px, image.raw.width_px, 3
        return np.frombuffer(image.raw.pixels, np.uint8).reshape(shape)
    return np.asarray(PIL.Image.open(io.BytesIO(image.encoded)).convert("RGB"))


def extract(server, *images, **options):
    with Client(server.target) as client:
        return client.extract(list(images), **options)


@pytest.mark.parametrize("form", ["array", "grey array", "PIL", "grey PIL", "named"])
def test_pixels_that_do_not_fit_are_sent_as_png(server, form):
    large = smooth(1000, 900)  # 2.7 MB
    source = large[:, :, 0] if form.startswith("grey") else large
    if "PIL" in form:
        source = PIL.Image.fromarray(source)
    extract(server, Image(source, "x") if form == "named" else source)
    (image,) = sent(server)
    assert image.encoded.startswith(b"\x89PNG") and len(image.encoded) < MB
    np.testing.assert_array_equal(pixels(image), large)


def test_pixels_that_fit_are_sent_as_they_are(server):
    fitting = noise(800, 800)  # 1.9 MB
    extract(server, fitting, PIL.Image.fromarray(fitting))
    for image in sent(server):
        assert image.WhichOneof("source") == "raw"
        np.testing.assert_array_equal(pixels(image), fitting)


def test_what_png_does_not_make_small_enough_webp_may(server):
    large = waves(900, 800)
    png = io.BytesIO()
    PIL.Image.fromarray(large).save(png, "PNG")
    assert len(png.getvalue()) > MB  # else this shows nothing
    extract(server, large)
    (image,) = sent(server)
    assert image.encoded.startswith(b"RIFF") and len(image.encoded) < MB
    np.testing.assert_array_equal(pixels(image), large)


def test_a_picture_of_a_file_is_sent_as_its_file_where_that_is_the_same(server, tmp_path):
    """Turned by EXIF, too: the server turns it."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(noise(800, 1000)).save(tmp_path / "a.jpg", quality=60, exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    assert len(data) < MB
    picture = PIL.Image.open(tmp_path / "a.jpg")
    extract(server, picture)
    assert sent(server)[0].encoded == data
    # Changed in memory, or the file changed: no longer the same.
    picture.putpixel((500, 400), tuple(255 - c for c in picture.getpixel((500, 400))))
    with pytest.raises(ImageError, match="as pixels and .* as PNG"):
        extract(server, picture)
    again = PIL.Image.open(tmp_path / "a.jpg")
    again.load()
    PIL.Image.fromarray(noise(800, 1000)[::-1]).save(tmp_path / "a.jpg", quality=60, exif=exif)
    with pytest.raises(ImageError, match="too large to be sent"):
        extract(server, again)
    assert len(sent(server)) == 1


def test_what_nothing_makes_small_enough_fails_by_name(server):
    large = noise(900, 800)
    for source in (large, PIL.Image.fromarray(large)):
        with pytest.raises(ImageError) as caught:
            extract(server, source)
        error = caught.value
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT and error.reason == "LIMIT_EXCEEDED"
        assert "800 x 900 pixels is too large to be sent: 2,160,000 bytes as pixels" in str(error)
        for part in ("as PNG", "as lossless WebP", "2,097,152", "1,048,576", "--max-message-bytes",
                     "--max-image-bytes", "Send the file that it came from"):  # fmt: skip
            assert part in str(error)
    got = extract(server, large, noise(10, 10), on_error="return")  # alone
    assert list(got.ok) == [False, True]
    assert len(sent(server)) == 1


def test_more_pixels_than_the_server_takes_are_not_even_tried(serve):
    server = serve(models=[model(2 * MB, MB, 500_000)])
    with pytest.raises(
        ImageError, match="900 x 1,000 pixels.* 500,000 .--max-image-pixels"
    ) as caught:
        extract(server, smooth(1000, 900))
    assert caught.value.reason == "LIMIT_EXCEEDED"


def test_alpha_and_16_bits_that_do_not_fit(server):
    pil = PIL.Image.fromarray(np.dstack([noise(900, 800), smooth(900, 800)[:, :, :1]]))
    with pytest.raises(ImageError, match="too large to be sent"):
        extract(server, pil)
    deep = PIL.Image.fromarray(
        np.random.default_rng(5).integers(0, 1 << 16, (1100, 1000), np.uint16)
    )
    with pytest.raises(ImageError, match="as PNG, while"):
        extract(server, deep)
    clear = PIL.Image.fromarray(np.dstack([smooth(900, 800), noise(900, 800)[:, :, :1]]))
    extract(server, clear)  # as a file from the beginning
    assert sent(server)[0].encoded.startswith(b"\x89PNG")


def test_files_that_a_message_cannot_hold_fail_by_name(server, tmp_path):
    (tmp_path / "a.jpg").write_bytes(bytes(3 * MB))
    for source in (str(tmp_path / "a.jpg"), Path(tmp_path / "a.jpg"), bytes(3 * MB)):
        with pytest.raises(
            ImageError, match="has 3,145,728 bytes, .*--max-message-bytes"
        ) as caught:
            extract(server, source)
        assert caught.value.reason == "LIMIT_EXCEEDED"
    assert not sent(server)


def test_a_stream_and_asyncio_do_the_same(server):
    images = [smooth(1000, 900), noise(900, 800), noise(10, 10)]
    with Client(server.target) as client:
        results = list(client.stream(images))

    async def work():
        async with AsyncClient(server.target) as client:
            return [result async for result in client.stream(images)]

    for got in (results, asyncio.run(work())):
        assert [result.ok for result in got] == [True, False, True]
        assert got[1].error.reason == "LIMIT_EXCEEDED"
    assert sum(image.encoded.startswith(b"\x89PNG") for image in sent(server)) == 2


def test_limits_are_asked_for_once_in_a_while_and_only_where_they_matter(serve):
    server = serve(models=[model(2 * MB, MB)])
    asked = server.script.asked_models
    with Client(server.target) as client:
        client.extract([noise(100, 100)] * 3)
        assert not asked
        for _ in range(3):
            client.extract([smooth(1000, 900)], model="scripted")
    assert asked == ["scripted"]


def test_a_server_that_is_gone_is_not_waited_for_twice():
    began = time.monotonic()
    with (
        Client("127.0.0.1:1", timeout=1.5) as client,
        pytest.raises(PixpoolError) as caught,
    ):
        client.extract([bytes(3 * MB)] * 3)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began < 2.9  # twice would be 3


def test_without_limits_pixels_are_sent_as_they_are(serve):
    server = serve()  # describes no model
    extract(server, smooth(1000, 900))
    assert sent(server)[0].WhichOneof("source") == "raw"


def test_without_pillow_the_advice_is_to_install_it(server, monkeypatch):
    import builtins

    real = builtins.__import__

    def refuse(name, *arguments):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImageError, match="with Pillow installed it is sent as PNG"):
        extract(server, smooth(1000, 900))
