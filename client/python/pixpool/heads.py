"""Pooling heads as objects: `Gem(p=4, layer="stage5", l2_normalized=True)`.

One class a kind of the API; feature_service.proto and docs/heads.md say what each computes. None
means the server's default, and ranges are the server's to check. Wherever heads are wanted, a text
("gem:p=4,layer=stage5,l2", see `pixpool.parse_head`) or a protobuf `Head` will do as well. In
shapes, C is the number of the layer's channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from pixpool._head_base import Head, Size

__all__ = [
    "AdaptiveAvg",
    "AdaptiveMax",
    "AvgMax",
    "AvgPool",
    "CatAvgMax",
    "ClassActivationMap",
    "ClassScores",
    "ConvPool",
    "Crow",
    "FeatureMap",
    "Gem",
    "GlobalAvg",
    "GlobalMax",
    "Head",
    "Lp",
    "Lse",
    "MaxPool",
    "MaxUnpool",
    "Rmac",
    "Scda",
    "SpatialPyramid",
    "Spoc",
]


@dataclasses.dataclass(frozen=True)
class GlobalAvg(Head):
    """Mean over the whole map; [C]."""

    KIND = "global_avg"


@dataclasses.dataclass(frozen=True)
class GlobalMax(Head):
    """Maximum over the whole map; [C]."""

    KIND = "global_max"


@dataclasses.dataclass(frozen=True)
class AvgMax(Head):
    """Half the mean plus half the maximum; [C]."""

    KIND = "avg_max"


@dataclasses.dataclass(frozen=True)
class CatAvgMax(Head):
    """Mean, then maximum, side by side; [2C]."""

    KIND = "cat_avg_max"


@dataclasses.dataclass(frozen=True)
class Gem(Head):
    """Generalised mean; [C]. p: (0, 100], default 3. eps: (0, 1], default 1e-6."""

    KIND = "gem"
    p: float | None = None
    eps: float | None = None


@dataclasses.dataclass(frozen=True)
class Lse(Head):
    """Log-sum-exp; [C]. r: (0, 1000], default 10."""

    KIND = "lse"
    r: float | None = None


@dataclasses.dataclass(frozen=True)
class Lp(Head):
    """Power sum; [C]. p: [1, 100], default 2."""

    KIND = "lp"
    p: float | None = None


@dataclasses.dataclass(frozen=True)
class Rmac(Head):
    """Regional maxima; [C]. levels: [1, 8], default 3. overlap: [0, 1), default 0.4."""

    KIND = "rmac"
    levels: int | None = None
    overlap: float | None = None


@dataclasses.dataclass(frozen=True)
class Crow(Head):
    """Cross-dimensional weighting; [C]. a, b: (0, 100], default 2."""

    KIND = "crow"
    a: float | None = None
    b: float | None = None


@dataclasses.dataclass(frozen=True)
class Spoc(Head):
    """Centre-weighted sum; [C]. sigma in cells: (0, 10000], default min(H, W) / 6."""

    KIND = "spoc"
    sigma: float | None = None


@dataclasses.dataclass(frozen=True)
class Scda(Head):
    """Mean and maximum over the main object's region; [2C]."""

    KIND = "scda"


@dataclasses.dataclass(frozen=True)
class AdaptiveAvg(Head):
    """Mean over a grid; [C, oH, oW]. output_size: [1, 1024], one value or two."""

    KIND = "adaptive_avg"
    output_size: Size


@dataclasses.dataclass(frozen=True)
class AdaptiveMax(Head):
    """Maximum over a grid; [C, oH, oW]. return_indices: whether positions come too."""

    KIND = "adaptive_max"
    output_size: Size
    return_indices: bool = False


@dataclasses.dataclass(frozen=True)
class SpatialPyramid(Head):
    """Grids of several sizes, concatenated; [C * sum of n^2].

    levels: grid sides, [1, 32], at most 8, default 1, 2, 4. pooling: "avg" or "max" (default).
    """

    KIND = "spatial_pyramid"
    levels: Sequence[int] | None = None
    pooling: Literal["avg", "max"] | None = None


@dataclasses.dataclass(frozen=True)
class MaxPool(Head):
    """torch.nn.MaxPool2d, parameter for parameter; [C, oH, oW]."""

    KIND = "max_pool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size | None = None
    dilation: Size | None = None
    ceil_mode: bool = False
    return_indices: bool = False


@dataclasses.dataclass(frozen=True)
class AvgPool(Head):
    """torch.nn.AvgPool2d, parameter for parameter; [C, oH, oW]."""

    KIND = "avg_pool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size | None = None
    ceil_mode: bool = False
    count_include_pad: bool | None = None
    divisor_override: int | None = None


@dataclasses.dataclass(frozen=True)
class MaxUnpool(Head):
    """torch.nn.MaxPool2d, then torch.nn.MaxUnpool2d; [C, oH, oW]."""

    KIND = "max_unpool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size | None = None
    output_size: Size | None = None
    ceil_mode: bool = False


@dataclasses.dataclass(frozen=True)
class ConvPool(Head):
    """Strided convolution; [C, oH, oW]. Give mean_filter=True, or a filter of the bundle."""

    KIND = "conv_pool"
    kernel_size: Size | None = None
    stride: Size | None = None
    mean_filter: bool | None = None
    bundle_filter: str | None = None
    relu: bool = False


@dataclasses.dataclass(frozen=True)
class FeatureMap(Head):
    """The map itself; [C, H, W]."""

    KIND = "feature_map"


@dataclasses.dataclass(frozen=True)
class ClassScores(Head):
    """Labelled scores. top_k: default 5, 0 for all in class order. score_type: default softmax."""

    KIND = "class_scores"
    top_k: int | None = None
    score_type: Literal["softmax", "logits"] | None = None


@dataclasses.dataclass(frozen=True)
class ClassActivationMap(Head):
    """Where the evidence for a class lies; [H, W] in floats.

    class_index: default: the class with the highest score. format: "floats" (default), "png" or
    "png_overlay".
    """

    KIND = "class_activation_map"
    class_index: int | None = None
    format: Literal["floats", "png", "png_overlay"] | None = None
