"""Writes the tiny bundle with a backbone that goes wrong at certain heights of its input.

    python make_faulty_bundle.py OUT

Loading sees heights 32 and 65 only, so the bundle passes its checks. At each height of FAULTS the
graph does what its name says; anywhere else it is the tiny one. SLOW loops for as many units as
the first pixel's red says, 1000 times as many where its green is 255: for ever.
"""

import sys

import torch
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


if __name__ == "__main__":
    plain = make_tiny_bundle.make_net
    make_tiny_bundle.make_net = lambda: Faulty(plain()).eval()
    make_tiny_bundle.main(sys.argv[1])
