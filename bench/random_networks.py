"""Untrained networks whose activations are as large as those of trained ones; models.py exports
them.

The weights are torchvision's initial ones, of a fixed seed, since no package carries learnt ones.
Batch normalisation is fitted on crops of the sample photographs, without which ranges shrink or
grow from layer to layer and int8 has nothing sensible to do. They cost what learnt networks cost.
What their vectors keep in int8 says little about learnt ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from pixpool.samples import sample_files

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from torchvision_operators import declare_torchvision_operators  # noqa: E402

declare_torchvision_operators()

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resnet50() -> nn.Module:
    return _fitted("resnet50")


def mobilenetv2() -> nn.Module:
    return _fitted("mobilenet_v2")


def nothing() -> nn.Module:
    """Maps as large as the default model's, 7 x 7 x 1280 from 28 x 28 pixels, for hardly any work:
    what is left is the server.
    """
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 1280, 4, 4), nn.ReLU()).eval()


def _fitted(name: str) -> nn.Module:
    from torchvision import models

    torch.manual_seed(0)
    model = models.get_model(name, weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average over the batches
    model.train()
    with torch.no_grad():
        for batch in _crops().split(8):
            model(batch)
    # What a classifier of random weights says is no label: its agreement would only be noise.
    setattr(model, "fc" if hasattr(model, "fc") else "classifier", nn.Identity())
    return model.eval()


def _crops(each: int = 6, side: int = 224) -> torch.Tensor:
    rng = np.random.default_rng(0)
    pictures = []
    for path in sample_files().values():
        image = Image.open(path).convert("RGB")
        for _ in range(each):
            part = round(min(image.size) * rng.uniform(0.5, 1))
            left, top = (round((length - part) * rng.uniform()) for length in image.size)
            pictures.append(
                np.asarray(image.resize((side, side), box=(left, top, left + part, top + part)))
            )
    order = rng.permutation(len(pictures))
    values = torch.from_numpy(np.stack(pictures)[order]).permute(0, 3, 1, 2) / 255
    return (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
