"""Writes bundles whose network gives back its input: `make_pixels_bundle.py OUT` makes
pixels-bilinear/1 and pixels-bicubic/1.

The layer "pixels" (3 channels, stride 1) is the picture after decoding, resize and crop, 0 to 255,
as float32: what a server does to pictures can be compared value by value. The recipe resizes to 32
x 32 with the filter of the name.
"""

import hashlib
import json
import pathlib
import sys

import torch
from torch import nn

from make_tiny_bundle import weights_digest

FILTERS = ("bilinear", "bicubic")
SIDE = 32


class Pixels(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (images.permute(0, 3, 1, 2).to(torch.float32),)


def write_bundle(models: pathlib.Path, interpolation: str) -> str:
    """Writes one bundle into a model repository; returns its name."""
    name = f"pixels-{interpolation}"
    folder = models / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    net = Pixels().eval()
    torch.jit.script(net).save(str(folder / "backbone.ts"))
    manifest = {
        "format_version": 1,
        "name": name,
        "version": "1",
        "license": "CC0-1.0",
        "weights_sha256": weights_digest(net.state_dict()),
        "input": {
            "resize": "exact",
            "interpolation": interpolation,
            "crop": "none",
            "height": SIDE,
            "width": SIDE,
            "mean": [0.0] * 3,
            "std": [1.0] * 3,
        },
        "layers": [{"name": "pixels", "channels": 3, "stride": 1, "non_negative": True}],
        "default_layer": "pixels",
        "engines": [{"engine": "torchscript", "precision": "float32", "path": "backbone.ts"}],
        "files": [
            {
                "path": "backbone.ts",
                "sha256": hashlib.sha256((folder / "backbone.ts").read_bytes()).hexdigest(),
            }
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return name


def main(out: str) -> None:
    for interpolation in FILTERS:
        write_bundle(pathlib.Path(out), interpolation)


if __name__ == "__main__":
    main(sys.argv[1])
