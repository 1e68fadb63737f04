"""Recipes give the pixels of timm's own transforms, for every configuration of its registry."""

import numpy as np
import pytest
from PIL import Image

from pixpool.export.errors import ExportError
from pixpool.export.preprocess import preprocess
from pixpool.export.recipe import Recipe, apply_changes
from pixpool.export.timm_recipe import timm_recipe

KEYS = ("input_size", "crop_mode", "crop_pct", "interpolation", "mean", "std")


def picture(width: int, height: int) -> Image.Image:
    """Smooth with edges, and odd in both sides."""
    rng = np.random.default_rng(width)
    small = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


def registered(torchvision) -> dict[tuple, str]:
    """The distinct data configurations, each with the name of a model that has it."""
    pytest.importorskip("timm")
    from timm.data import resolve_data_config
    from timm.models._registry import _model_pretrained_cfgs

    found: dict[tuple, str] = {}
    for name, own in _model_pretrained_cfgs.items():
        config = resolve_data_config(pretrained_cfg=own.to_dict())
        found.setdefault(tuple(config[key] for key in KEYS), name)
    return found


def test_pixels_equal_timms_for_every_configuration(torchvision):
    from timm.data import create_transform

    pictures = [picture(401, 299), picture(187, 263)]
    equal, refused = set(), set()
    for values, name in registered(torchvision).items():
        config = dict(zip(KEYS, values, strict=True))
        try:
            recipe = timm_recipe(config, name)
        except ExportError as error:
            assert f"timm's crop mode '{config['crop_mode']}' of '{name}' is not" in str(error)
            refused.add(config["crop_mode"])
            continue
        transform = create_transform(**config, normalize=False)
        for image in pictures:
            wanted = transform(image).numpy().transpose(1, 2, 0)
            np.testing.assert_array_equal(preprocess(image, recipe), wanted, err_msg=name)
        np.testing.assert_allclose(recipe.mean, np.multiply(config["mean"], 255), rtol=1e-6)
        np.testing.assert_allclose(recipe.std, np.multiply(config["std"], 255), rtol=1e-6)
        equal.add((config["crop_mode"], config["crop_pct"]))
    assert refused == {"border"}
    assert {("squash", 0.9), ("squash", 1.0), ("center", 0.875), ("center", 1.15)} <= equal
    assert len(equal) > 30


def test_sides_of_their_own_for_a_centre_crop_are_refused():
    config = {
        "input_size": (3, 256, 192),
        "crop_mode": "center",
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
    }
    with pytest.raises(ExportError, match="'center' with the sides 256 x 192 of 'net' is not"):
        timm_recipe(config, "net")


def test_changes_of_a_squash_recipe():
    squash = Recipe(
        resize="exact", height=200, width=300, resize_height=222, resize_width=333, resize_size=222
    )
    assert squash.to_json()["resize_width"] == 333
    assert Recipe.from_json(squash.to_json()) == squash
    assert "resize_width" not in Recipe().to_json()
    larger = apply_changes(squash, {"height": 101, "width": 600})
    assert (larger.resize_height, larger.resize_width) == (112, 666)
    plain = apply_changes(squash, {"resize": "exact"})
    assert (plain.resize_height, plain.resize_width) == (None, None)
    both = apply_changes(squash, {"resize": "exact", "resize_size": 256})
    assert (both.resize_height, both.resize_width, both.height, both.width) == (256, 256, 200, 300)
    shorter = apply_changes(both, {"resize": "shorter_side", "resize_size": 256})
    assert (shorter.resize_height, shorter.resize_width) == (None, None)
    with pytest.raises(ExportError, match="resize_width is 0; it must be at least 1"):
        Recipe(resize="exact", resize_width=0).validate()
