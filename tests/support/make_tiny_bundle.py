"""Writes a tiny model bundle, tiny/1, for tests: a random convolutional net with two layers.

    python make_tiny_bundle.py OUT [SEED]

The layer "early" (6 channels, stride 4) has negative activations, "late" (10 channels, stride 8)
has none; the classifier has 7 classes. The golden vector is computed here, by PyTorch and Pillow,
without any code of the server.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from torch import nn

RESIZE, SIDE = 40, 32
MEAN, STD = 120.0, 64.0
LABELS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.early = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 6, 3, stride=2, padding=1),
        )
        self.late = nn.Sequential(nn.Conv2d(6, 10, 3, stride=2, padding=1), nn.ReLU6())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if images.shape[1] < 16 or images.shape[2] < 16:
            raise ValueError("pictures must have at least 16 pixels a side")
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        early = self.early((x - 120.0) / 64.0)
        return early, self.late(early)


def make_net(seed=20):
    torch.manual_seed(seed)
    net = Tiny()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    nn.init.uniform_(net.early[1].running_var, 0.5, 1.5)
    nn.init.normal_(net.early[1].running_mean, std=0.2)
    return net.eval()


def make_picture():
    """Smooth colours with a few sharp edges, wider than high."""
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    pixels = np.array(small.resize((90, 60), Image.BICUBIC))
    pixels[10:20, 30:55] = (250, 30, 60)
    pixels[35:50, 40:45] = (5, 240, 20)
    return Image.fromarray(pixels)


def preprocess(picture):
    width, height = picture.size
    short = min(width, height)
    size = (int(RESIZE * width / short), int(RESIZE * height / short))
    resized = picture.resize(size, Image.BICUBIC)
    left = int(round((size[0] - SIDE) / 2.0))
    top = int(round((size[1] - SIDE) / 2.0))
    return np.array(resized.crop((left, top, left + SIDE, top + SIDE)))


def weights_digest(state):
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def main(out, seed="20"):
    folder = pathlib.Path(out) / "tiny" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    net = make_net(int(seed))
    torch.jit.script(net).save(str(folder / "backbone.ts"))
    weight, bias = torch.randn(7, 10), torch.randn(7)
    weight.numpy().astype("<f4").tofile(folder / "classifier.weight.f32")
    bias.numpy().astype("<f4").tofile(folder / "classifier.bias.f32")
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    picture = make_picture()
    picture.save(folder / "golden.png")
    with torch.inference_mode():
        maps = net(torch.from_numpy(preprocess(picture))[None])
    maps[1].mean((2, 3))[0].numpy().astype("<f4").tofile(folder / "golden.f32")

    files = [
        "backbone.ts",
        "classifier.bias.f32",
        "classifier.weight.f32",
        "golden.f32",
        "golden.png",
        "labels.txt",
    ]
    manifest = {
        "format_version": 1,
        "name": "tiny",
        "version": "1",
        "license": "CC0-1.0",
        "weights_sha256": weights_digest(net.state_dict()),
        "input": {
            "resize": "shorter_side",
            "resize_size": RESIZE,
            "interpolation": "bicubic",
            "crop": "center",
            "height": SIDE,
            "width": SIDE,
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
        },
        "layers": [
            {"name": "early", "channels": 6, "stride": 4, "non_negative": False},
            {"name": "late", "channels": 10, "stride": 8, "non_negative": True},
        ],
        "default_layer": "late",
        "engines": [{"engine": "torchscript", "precision": "float32", "path": "backbone.ts"}],
        "classifier": {
            "layer": "late",
            "class_count": 7,
            "weight": "classifier.weight.f32",
            "bias": "classifier.bias.f32",
            "labels": "labels.txt",
        },
        "golden": {
            "image": "golden.png",
            "layer": "late",
            "values": "golden.f32",
            "min_cosine": 0.9999,
        },
        "files": [
            {"path": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
            for name in files
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
