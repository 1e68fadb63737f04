"""The pictures that are sent, made from a sample photograph."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = {"small": (600, 400), "large": (4000, 3000)}


def make(kind: str, samples: Path) -> bytes:
    """A JPEG of a kind."""
    return sized(*KINDS[kind], samples)


def sized(width: int, height: int, samples: Path) -> bytes:
    """A JPEG. Where the photograph is enlarged, with noise, without which it would compress and
    decode too easily.
    """
    image = Image.open(samples / "coffee.png").convert("RGB")
    enlarged = width > image.width
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    quality = 90
    if enlarged:
        noise = np.random.default_rng(0).normal(0, 6, (image.height, image.width, 3))
        image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
        quality = 88
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
