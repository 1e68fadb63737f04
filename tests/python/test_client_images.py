"""Images in every form: what is sent, and which fail."""

from __future__ import annotations

import io
import os

import grpc
import numpy as np
import PIL.Image
import pytest

from pixpool import Image, PixpoolError
from pixpool._images import image_name, image_to_proto, list_images
from pixpool.v1 import feature_service_pb2 as pb

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def sent(source, **options) -> np.ndarray:
    """The pixels that the server would see, by Pillow where a file is sent."""
    image = image_to_proto(source, "x", **options)
    if image.WhichOneof("source") == "encoded":
        return np.asarray(PIL.Image.open(io.BytesIO(image.encoded)))
    raw = image.raw
    return np.frombuffer(raw.pixels, np.uint8).reshape(raw.height_px, raw.width_px, 3)


def test_arrays_are_sent_as_pixels():
    np.testing.assert_array_equal(sent(PIXELS), PIXELS)
    np.testing.assert_array_equal(sent(PIXELS[:, ::-1]), PIXELS[:, ::-1])  # not contiguous
    for grey in (PIXELS[:, :, 0], PIXELS[:, :, :1]):
        np.testing.assert_array_equal(sent(grey), np.repeat(PIXELS[:, :, :1], 3, 2))
    assert image_to_proto(np.frombuffer(b"abc", np.uint8), "x").encoded == b"abc"


@pytest.mark.parametrize("shape", [(4, 5, 4), (4, 5, 2), (0, 5, 3), (2, 4, 5, 3), ()])
def test_arrays_of_other_shapes_fail(shape):
    with pytest.raises(PixpoolError, match=r"\[H, W, 3\] in RGB order") as caught:
        image_to_proto(np.zeros(shape, np.uint8), "x")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_arrays_of_other_types_fail():
    with pytest.raises(PixpoolError, match="must be uint8, 0 to 255, not float64"):
        image_to_proto(PIXELS / 255, "x")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
def test_pil_images_are_sent_as_pixels(mode):
    picture = PIL.Image.fromarray(PIXELS).convert(mode)
    np.testing.assert_array_equal(sent(picture), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16"])
def test_pil_images_keep_what_the_server_resolves(mode):
    if mode == "I;16":
        picture = PIL.Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 256 + 7)
    else:
        picture = PIL.Image.fromarray(PIXELS).convert(mode)
    image = image_to_proto(picture, "x")
    again = PIL.Image.open(io.BytesIO(image.encoded))
    assert again.mode == mode
    np.testing.assert_array_equal(np.asarray(again), np.asarray(picture))


@pytest.mark.parametrize(
    ("mode", "base", "kept"),
    [("RGBX", "RGB", None), ("PA", "RGBA", "RGBA"), ("RGBa", "RGBA", "RGBA"), ("La", "LA", "LA")],
)
def test_pil_images_of_rare_modes_are_converted(mode, base, kept):
    """To what the server gets of the same picture in a usual mode."""
    alpha = np.full((4, 5, 1), 255, np.uint8)
    alpha[0, 0] = 0
    alpha[1, 1] = 128
    rgba = PIL.Image.fromarray(np.dstack([PIXELS, alpha]))
    if mode == "PA":
        palette = PIL.Image.fromarray(PIXELS).convert("P")
        picture = palette.convert("PA")
        picture.putalpha(PIL.Image.fromarray(alpha[:, :, 0]))
    else:
        picture = rgba.convert(base).convert(mode)
    assert picture.mode == mode
    image = image_to_proto(picture, "x")
    if kept is None:
        assert image.WhichOneof("source") == "raw"
        np.testing.assert_array_equal(sent(picture), PIXELS)
        return
    again = PIL.Image.open(io.BytesIO(image.encoded))
    assert again.mode == kept
    wanted = picture.convert(kept)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(wanted))
    np.testing.assert_array_equal(np.asarray(again)[..., -1], alpha[:, :, 0])


@pytest.mark.parametrize(
    ("mode", "advice"), [("I", r'for 16 bits \.convert\("I;16"\)'), ("F", "scale them to 0 to 255")]
)
def test_pil_images_of_numbers_say_what_to_do(mode, advice):
    picture = PIL.Image.fromarray(PIXELS[:, :, 0]).convert(mode)
    with pytest.raises(PixpoolError, match=f"mode {mode} holds numbers.*{advice}") as caught:
        image_to_proto(picture, "x")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    if mode == "I":  # the advice works
        assert sent(picture.convert("I;16")).dtype == np.uint16


def test_what_is_no_file_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "link.jpg").symlink_to("fifo.jpg")
    for path, text in (
        (tmp_path / "fifo.jpg", "a FIFO"),
        (tmp_path / "link.jpg", "a FIFO"),
        ("/dev/zero", "a device"),
    ):
        with pytest.raises(PixpoolError, match=f"it is {text}, not a file") as caught:
            image_to_proto(path, "x")
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    with pytest.raises(PixpoolError, match="symbolic links") as caught:
        image_to_proto(tmp_path / "self.jpg", "x")


def test_pil_images_are_turned_upright_as_files_are():
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    PIL.Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    np.testing.assert_array_equal(sent(PIL.Image.open(file)), np.rot90(PIXELS, -1))
    np.testing.assert_array_equal(sent(PIL.Image.open(file), apply_exif=False), PIXELS)


def test_a_damaged_pil_image_fails_by_itself():
    file = io.BytesIO()
    PIL.Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)).save(
        file, "PNG"
    )
    picture = PIL.Image.open(io.BytesIO(file.getvalue()[:2000]))
    with pytest.raises(PixpoolError, match="Pillow cannot give the pixels"):
        image_to_proto(picture, "x")


def test_names():
    assert image_name("a/b.jpg", 3) == "a/b.jpg"
    assert image_name(b"x", 3) == "image 3"
    assert image_name(Image(b"x", "mine"), 3) == "mine"
    assert image_name(pb.Image(image_id="theirs"), 3) == "theirs"
    # Names may hold what a message or a log may not.
    assert image_to_proto(b"x", "caf\u00e9\n\udc80.jpg").image_id == "caf???.jpg"


def test_one_image_and_several():
    picture = PIL.Image.fromarray(PIXELS)
    for one in ("a.jpg", b"x", PIXELS, PIXELS[:, :, 0], picture, Image(b"x", "n"), pb.Image()):
        assert len(list_images(one)) == 1
    assert len(list_images(np.stack([PIXELS] * 4))) == 4
    assert len(list_images(("a.jpg", b"x"))) == 2
    with pytest.raises(TypeError, match="not int"):
        list_images(5)
