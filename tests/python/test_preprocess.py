"""The reference preprocessing equals torchvision's transforms on PIL pictures."""

import numpy as np
import pytest
from PIL import Image

from pixpool.export.preprocess import center_crop, crop_offset, load_image, preprocess, resized_size
from pixpool.export.recipe import Recipe


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def test_crop_offsets_for_all_sizes():
    """Half to even: the sizes from 200 to 300 against a crop of 200."""
    for side in range(200, 301):
        half, odd = divmod(side - 200, 2)
        expected = half + (1 if odd and half % 2 == 1 else 0)
        assert crop_offset(side, 200) == expected, side


def test_resized_size_truncates_the_long_side():
    assert resized_size(320, 240, 256) == (341, 256)
    assert resized_size(240, 320, 256) == (256, 341)
    assert resized_size(451, 300, 256) == (384, 256)
    assert resized_size(256, 256, 256) == (256, 256)


def test_equals_torchvision(torchvision):
    from torchvision.transforms import v2

    modes = v2.InterpolationMode
    for width, height, resize_size, crop in [
        (320, 240, 256, 224),
        (241, 317, 256, 225),
        (224, 224, 224, 224),
        (90, 60, 64, 224),  # smaller than the crop: padded
        (300, 31, 32, 48),
        (33, 500, 100, 77),
    ]:
        for interpolation in ("bilinear", "bicubic"):
            image = picture(width, height)
            recipe = Recipe(
                resize_size=resize_size, height=crop, width=crop + 4, interpolation=interpolation
            )
            mode = modes.BILINEAR if interpolation == "bilinear" else modes.BICUBIC
            wanted = v2.CenterCrop((crop, crop + 4))(v2.Resize(resize_size, mode)(image))
            np.testing.assert_array_equal(preprocess(image, recipe), np.asarray(wanted))


def test_crops_equal_torchvision_for_all_sizes(torchvision):
    from torchvision.transforms import functional

    for side in range(20, 41):
        image = picture(side, 47 - side)
        wanted = np.asarray(functional.center_crop(image, [24, 31]))
        np.testing.assert_array_equal(np.asarray(center_crop(image, 31, 24)), wanted)


def test_exact_and_none():
    image = picture(50, 40)
    exact = Recipe(resize="exact", crop="none", height=32, width=48)
    wanted = np.asarray(image.resize((48, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(preprocess(image, exact), wanted)
    none = Recipe(resize="none", crop="none")
    np.testing.assert_array_equal(preprocess(image, none), np.asarray(image))


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_orientation_is_applied_unless_told_otherwise(tmp_path, orientation, turn):
    image = picture(30, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    upright = np.rot90(np.asarray(image), turn)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png")), upright)
    as_stored = np.asarray(load_image(tmp_path / "a.png", apply_exif=False))
    np.testing.assert_array_equal(as_stored, np.asarray(image))


def test_alpha_is_dropped_and_sixteen_bits_are_shifted(tmp_path):
    rgba = np.dstack([np.asarray(picture(8, 6)), np.full((6, 8), 3, np.uint8)])
    Image.fromarray(rgba, "RGBA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png")), rgba[..., :3])
    grey = (np.arange(48, dtype=np.uint16).reshape(6, 8) * 1300).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "g.png")
    got = np.asarray(load_image(tmp_path / "g.png"))
    np.testing.assert_array_equal(got, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, 2))
