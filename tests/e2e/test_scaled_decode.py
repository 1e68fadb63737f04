"""DECODE_MODE_SCALED on the real model: close to the exact vectors, a space of its own, and no
effect on what is drawn.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from api import as_array

MIN_COSINE = 0.99  # photographs of which each is decoded at a quarter

CELL_PX = 150


@pytest.fixture(scope="module")
def large(photos) -> dict[str, bytes]:
    """The sample photographs as JPEGs with a shorter side of 1,200 pixels."""
    out = {}
    for name, path in photos.items():
        if path.suffix != ".jpg":
            continue
        image = Image.open(path)
        scale = 1200 / min(image.size)
        buffer = io.BytesIO()
        image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS).save(
            buffer, "JPEG", quality=92
        )
        out[name] = buffer.getvalue()
    assert len(out) >= 3
    return out


def extract(client, api, data: bytes, heads: list[str], decode: str):
    options = api.pb.InputOptions(decode=api.pb.DecodeMode.Value(decode))
    return client.extract([data], heads, input_options=options).results[0].features


def test_vectors_are_close_to_the_exact_ones_and_in_another_space(client, api, large):
    for name, data in large.items():
        exact = extract(client, api, data, ["global_avg"], "DECODE_MODE_EXACT").head_results[0]
        scaled = extract(client, api, data, ["global_avg"], "DECODE_MODE_SCALED").head_results[0]
        a, b = as_array(exact), as_array(scaled)
        cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert MIN_COSINE < cosine < 1 - 1e-9, (
            name
        )  # the same vector would mean that nothing was scaled
        assert exact.space_id != scaled.space_id


def test_what_is_drawn_is_the_picture_in_full(client, api, large):
    """An overlay changes no vector, and the scaled decode neither an overlay's size nor a box's
    coordinates.
    """
    heads = [
        "class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG_OVERLAY",
        "class_activation_map",
        "global_avg",
    ]
    for name, data in large.items():
        full = Image.open(io.BytesIO(data))
        features = extract(client, api, data, heads, "DECODE_MODE_SCALED")
        alone = extract(client, api, data, ["global_avg"], "DECODE_MODE_SCALED")
        overlay, floats, vector = features.head_results
        np.testing.assert_array_equal(as_array(vector), as_array(alone.head_results[0]))
        drawn = Image.open(io.BytesIO(overlay.activation_map.png))
        assert drawn.size == full.size, name
        exact = extract(
            client, api, data, ["class_activation_map"], "DECODE_MODE_EXACT"
        ).head_results[0]
        got, want = floats.activation_map.box, exact.activation_map.box
        for side in ("left_px", "top_px", "right_px", "bottom_px"):
            # Values near the box's threshold may move it by a cell of the map, 32 * 4.7 pixels; the
            # reduced picture's coordinates would be half of these.
            assert abs(getattr(got, side) - getattr(want, side)) <= CELL_PX, (name, side)
        assert got.right_px > full.width / 2
