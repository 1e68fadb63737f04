"""What the server makes of a picture before the network sees it, read through a network that gives
back its input.
"""

from __future__ import annotations

import numpy as np
from google.rpc import status_pb2

from api import Client, as_array


class Pixels:
    """A server that holds the bundles of tests/support/make_pixels_bundle.py."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.pb = client.pb

    def result(self, source, model: str = "pixels-bilinear", **options):
        """ImageResult of the map; `source` as for Client.image, options of InputOptions."""
        reply = self.client.extract(
            [source], ["feature_map"], model=model, input_options=self.pb.InputOptions(**options)
        )
        return reply.results[0]

    def resized(self, pixels: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
        """uint8 [H, W, 3] at `size` (height, width), whatever the aspect ratio."""
        height, width = size
        return network_input(
            self.result(
                pixels,
                f"pixels-{interpolation}",
                resize=self.pb.RESIZE_MODE_EXACT,
                crop=self.pb.CROP_MODE_NONE,
                input_height_px=height,
                input_width_px=width,
            )
        )

    def decoded(
        self, data: bytes, background=None, exif: bool = True
    ) -> np.ndarray | status_pb2.Status:
        """The picture itself, uint8 [H, W, 3], or the status that it got."""
        options = {"apply_exif": exif}
        if background is not None:
            options["background"] = self.pb.RgbColor(
                **dict(zip(("red", "green", "blue"), background, strict=True))
            )
        result = self.result(
            data, resize=self.pb.RESIZE_MODE_NONE, crop=self.pb.CROP_MODE_NONE, **options
        )
        return result.status if result.WhichOneof("outcome") == "status" else network_input(result)


def network_input(result) -> np.ndarray:
    assert result.WhichOneof("outcome") == "features", result.status.message
    planes = as_array(result.features.head_results[0])
    pixels = planes.astype(np.uint8)
    assert (pixels == planes).all(), "the network's input is not whole levels from 0 to 255"
    return pixels.transpose(1, 2, 0)
