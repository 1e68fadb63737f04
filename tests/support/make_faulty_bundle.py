"""Writes the tiny bundle with a backbone that goes wrong at certain heights of its input.

    python make_faulty_bundle.py OUT [--hang-at-load]

Loading sees heights 32 and 65 only, so the bundle passes its checks. At each height of FAULTS the
graph does what its name says; anywhere else it is the tiny one. SLOW loops for as many units as
the first pixel's red says, 1000 times as many where its green is 255: for ever.
With --hang-at-load the golden picture is such a one, so that the load never ends.
"""

import argparse
import hashlib
import json
import pathlib

import torch
from PIL import Image
from torch import nn

import make_tiny_bundle

# Those that TorchScript reads below are numbers there: it knows no names of a file.
FAULTS = {
    "throws": 40,
    "gives too few channels": 48,
    "gives too many pictures": 56,
    "gives a map without rows": 64,
    "gives far too many cells": 72,
    "gives an empty map": 80,
    "asks for too much memory": 88,
}
SLOW = 96


class Faulty(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height = images.shape[1]
        early, late = self.net(images)
        if height == 40:
            raise ValueError("the secret of the backbone")
        elif height == 48:
            early, late = early[:, :3], late[:, :3]
        elif height == 56:
            early, late = torch.cat([early, early]), torch.cat([late, late])
        elif height == 64:
            early, late = early[:, :, 0], late[:, :, 0]
        elif height == 72:
            early, late = early.repeat(1, 1, 9, 9), late.repeat(1, 1, 9, 9)
        elif height == 80:
            early, late = early[:, :, :0], late[:, :, :0]
        elif height == 88:
            late = late + torch.zeros(1 << 50).sum()
        elif height == 96:
            loops = int(images[0, 0, 0, 0].item()) * 50_000
            if int(images[0, 0, 0, 1].item()) == 255:
                loops = loops * 1000
            nothing = torch.zeros(1)
            for _ in range(loops):
                nothing = nothing * 0.0
            late = late + nothing
        return early, late


def hang_at_load(bundle: pathlib.Path) -> None:
    golden = bundle / "golden.png"
    Image.new("RGB", (SLOW, SLOW), (255, 255, 0)).save(golden)
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["input"] |= {"resize_size": SLOW, "height": SLOW, "width": SLOW}
    for row in manifest["files"]:
        if row["path"] == golden.name:
            row["sha256"] = hashlib.sha256(golden.read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--hang-at-load", action="store_true")
    args = parser.parse_args()
    plain = make_tiny_bundle.make_net
    make_tiny_bundle.make_net = lambda seed: Faulty(plain(seed)).eval()
    make_tiny_bundle.main(args.out)
    if args.hang_at_load:
        hang_at_load(args.out / "tiny" / "1")
