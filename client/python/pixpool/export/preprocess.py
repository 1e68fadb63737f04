"""The reference of the server's preprocessing: torchvision's semantics, computed by Pillow.

The server is tested against this module, so it favours plainness over speed.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pixpool.export.recipe import Recipe

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def load_image(path: str | os.PathLike[str], apply_exif: bool = True) -> Image.Image:
    """Decodes a picture to upright RGB. Alpha is dropped; 16-bit grey is shifted, not clipped."""
    with Image.open(path) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened) if apply_exif else opened
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
            return Image.fromarray(grey).convert("RGB")
        return image.convert("RGB")


def resized_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Width and height after the shorter side became `shorter`; the longer one is truncated."""
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def crop_offset(side: int, crop: int) -> int:
    """Offset of a centre crop. Python rounds halves to even: 0.5 -> 0, 1.5 -> 2."""
    return int(round((side - crop) / 2.0))


def center_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """Crops the centre; a picture smaller than the crop is padded with black first."""
    pad_x = max(width - image.width, 0)
    pad_y = max(height - image.height, 0)
    if pad_x or pad_y:
        padded = Image.new("RGB", (image.width + pad_x, image.height + pad_y))
        padded.paste(image, (pad_x // 2, pad_y // 2))
        image = padded
    left = crop_offset(image.width, width)
    top = crop_offset(image.height, height)
    return image.crop((left, top, left + width, top + height))


def preprocess(image: Image.Image, recipe: Recipe) -> NDArray[np.uint8]:
    """Network input of an RGB picture: uint8 [height, width, 3], of a grey recipe with three equal
    levels a pixel. The graph normalises it."""
    if recipe.color == "grey":
        image = image.convert("L").convert("RGB")
    size = image.size
    if recipe.resize == "shorter_side":
        size = resized_size(image.width, image.height, recipe.resize_size)
    elif recipe.resize == "exact":
        size = (recipe.resize_width or recipe.width, recipe.resize_height or recipe.height)
    if size != image.size:
        image = image.resize(size, _FILTERS[recipe.interpolation])
    if recipe.crop == "center":
        image = center_crop(image, recipe.width, recipe.height)
    return np.asarray(image, dtype=np.uint8).copy()
