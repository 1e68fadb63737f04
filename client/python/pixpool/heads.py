"""Pooling heads as objects: `Gem(p=4, layer="stage5", l2_normalized=True)`.

One class per kind of the API; docs/heads.md says more of each. None means the server's default, and
ranges are the server's to check. Wherever heads are wanted, a text such as
"gem:p=4,layer=stage5,l2" (see `pixpool.parse_head`) or a protobuf `Head` will do as well. In
shapes, C is the number of the layer's channels, H and W are the sides of its map, D is the length
of the model's vector.

Made by scripts/make_heads.py from the server's table; do not edit.
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
    "BundleHead",
    "CatAvgMax",
    "ClassActivationMap",
    "ClassScores",
    "ClassToken",
    "ConvPool",
    "Crow",
    "Embedding",
    "FeatureMap",
    "Gem",
    "GlobalAvg",
    "GlobalMax",
    "Head",
    "Lp",
    "Lse",
    "MaxPool",
    "MaxUnpool",
    "MeanMap",
    "MeanToken",
    "Rmac",
    "Scda",
    "SpatialPyramid",
    "Spoc",
]


@dataclasses.dataclass(frozen=True)
class GlobalAvg(Head):
    """Mean over the whole map: global average pooling; values [C].

    Use it for the whole image: background, extent; what the classifier was trained with. Reference:
    Lin, Chen, Yan, "Network in Network", 2013."""

    KIND = "global_avg"


@dataclasses.dataclass(frozen=True)
class GlobalMax(Head):
    """Maximum over the whole map (MAC); values [C].

    Use it for the strongest response: texture or one salient part, wherever it is. Reference:
    Tolias, Sicre, Jegou, 2015."""

    KIND = "global_max"


@dataclasses.dataclass(frozen=True)
class AvgMax(Head):
    """Half the mean plus half the maximum; values [C].

    Use it for a compromise between average and max without parameters."""

    KIND = "avg_max"


@dataclasses.dataclass(frozen=True)
class CatAvgMax(Head):
    """Mean and maximum side by side, mean first; values [2C].

    Use it for average and max side by side, for a learnt layer that weighs both."""

    KIND = "cat_avg_max"


@dataclasses.dataclass(frozen=True)
class Gem(Head):
    """Generalised mean, (mean(max(x, eps)^p))^(1/p); values [C].

    Use it for image search: `p` moves it from average to max. Reference: Radenovic, Tolias, Chum,
    "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018.

    p: exponent: 1 is the average of a non-negative map, a large one the maximum (above 0 to 100;
        default 3).
    eps: lower bound of the values (above 0 to 1; default 1e-6)."""

    KIND = "gem"
    p: float | None = None
    eps: float | None = None


@dataclasses.dataclass(frozen=True)
class Lse(Head):
    """Log-sum-exp, log(mean(exp(r x))) / r: between mean and maximum; values [C].

    Use it for a max that also counts the runners-up. Reference: Pinheiro, Collobert, "From
    Image-level to Pixel-level Labeling with Convolutional Networks", 2015.

    r: sharpness: small is near the average, large near the maximum (above 0 to 1000; default 10).
    """

    KIND = "lse"
    r: float | None = None


@dataclasses.dataclass(frozen=True)
class Lp(Head):
    """Power sum, (sum(x^p))^(1/p), as torch.nn.LPPool2d over the whole map; values [C].

    Use it for the power sum of `torch.nn.LPPool2d`, which grows with the area. Reference:
    torch.nn.LPPool2d.

    p: exponent (1 to 100; default 2)."""

    KIND = "lp"
    p: float | None = None


@dataclasses.dataclass(frozen=True)
class Rmac(Head):
    """Sum of the L2-normalised maxima of square regions on a grid of scales; values [C].

    Use it for landmarks, products, logos: the maxima of regions, summed. Reference: Tolias, Sicre,
    Jegou, "Particular object retrieval with integral max-pooling of CNN activations", 2015.

    levels: number of scales (1 to 8; default 3).
    overlap: wanted overlap of neighbouring regions (0 to below 1; default 0.4)."""

    KIND = "rmac"
    levels: int | None = None
    overlap: float | None = None


@dataclasses.dataclass(frozen=True)
class Crow(Head):
    """Sum weighted by where much responds and by how rarely a channel does; values [C].

    Use it for landmarks and products too, with rare channels up and common ones down. Reference:
    Kalantidis, Mellina, Osindero, "Cross-dimensional Weighting for Aggregated Deep Convolutional
    Features", 2016.

    a: norm of the spatial weights (above 0 to 100; default 2).
    b: root of the spatial weights (above 0 to 100; default 2)."""

    KIND = "crow"
    a: float | None = None
    b: float | None = None


@dataclasses.dataclass(frozen=True)
class Spoc(Head):
    """Sum weighted by a Gaussian around the centre of the map; values [C].

    Use it for images whose subject is in the middle. Reference: Babenko, Lempitsky, "Aggregating
    Deep Convolutional Features for Image Retrieval", 2015.

    sigma: standard deviation in cells of the map (above 0 to 10000; default min(H, W) / 6)."""

    KIND = "spoc"
    sigma: float | None = None


@dataclasses.dataclass(frozen=True)
class Scda(Head):
    """Mean and maximum of the largest connected part that responds above average; values [2C].

    Use it for one object before a calm background. Reference: Wei, Luo, Wu, Zhou, "Selective
    Convolutional Descriptor Aggregation", 2017."""

    KIND = "scda"


@dataclasses.dataclass(frozen=True)
class AdaptiveAvg(Head):
    """Mean over a grid of near-equal windows, as torch.nn.AdaptiveAvgPool2d; values [C, oH, oW].

    Use it for a coarse grid of averages that keeps some layout. Reference:
    torch.nn.AdaptiveAvgPool2d.

    output_size: height and width of the grid, one value or two (1 to 1024; required)."""

    KIND = "adaptive_avg"
    output_size: Size


@dataclasses.dataclass(frozen=True)
class AdaptiveMax(Head):
    """Maximum over a grid of near-equal windows, as torch.nn.AdaptiveMaxPool2d; values [C, oH, oW].

    Use it for a coarse grid of maxima that keeps some layout. Reference:
    torch.nn.AdaptiveMaxPool2d.

    output_size: height and width of the grid, one value or two (1 to 1024; required).
    return_indices: whether the positions of the maxima are returned (default false)."""

    KIND = "adaptive_max"
    output_size: Size
    return_indices: bool = False


@dataclasses.dataclass(frozen=True)
class SpatialPyramid(Head):
    """Adaptive grids n x n of several sizes, one after another; values [C, sum of n^2].

    Use it for layout: grids of several sizes as one vector. Reference: He et al., "Spatial Pyramid
    Pooling", 2014.

    levels: sides n of the grids, in the order of the result (1 to 32, at most 8 of them; default 1,
        2, 4).
    pooling: pooling within a cell (avg, max; default max)."""

    KIND = "spatial_pyramid"
    levels: Sequence[int] | None = None
    pooling: Literal["avg", "max"] | None = None


@dataclasses.dataclass(frozen=True)
class MaxPool(Head):
    """Windowed maximum, as torch.nn.MaxPool2d; values [C, oH, oW].

    Use it for `torch.nn.MaxPool2d`, parameter for parameter. Reference: torch.nn.MaxPool2d.

    kernel_size: window, one value or two (1 to 1024; required).
    stride: step, one value or two (1 to 1024; default kernel_size).
    padding: padding on both sides, one value or two; at most half the kernel (0 to 512; default 0).
    dilation: distance of neighbouring window elements, one value or two (1 to 1024; default 1).
    ceil_mode: whether the output size is rounded up (default false).
    return_indices: whether the positions of the maxima are returned (default false)."""

    KIND = "max_pool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size | None = None
    dilation: Size | None = None
    ceil_mode: bool = False
    return_indices: bool = False


@dataclasses.dataclass(frozen=True)
class AvgPool(Head):
    """Windowed mean, as torch.nn.AvgPool2d; values [C, oH, oW].

    Use it for `torch.nn.AvgPool2d`, parameter for parameter. Reference: torch.nn.AvgPool2d.

    kernel_size: window, one value or two (1 to 1024; required).
    stride: step, one value or two (1 to 1024; default kernel_size).
    padding: zero padding on both sides, one value or two; at most half the kernel (0 to 512;
        default 0).
    ceil_mode: whether the output size is rounded up (default false).
    count_include_pad: whether padding counts in the divisor (default true).
    divisor_override: divisor in place of the window's size; not 0 (any whole number; default the
        window's size)."""

    KIND = "avg_pool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size | None = None
    ceil_mode: bool = False
    count_include_pad: bool | None = None
    divisor_override: int | None = None


@dataclasses.dataclass(frozen=True)
class MaxUnpool(Head):
    """Max pooling undone, as torch.nn.MaxUnpool2d: the maxima in place, else 0; values [C, oH, oW].

    Use it for `torch.nn.MaxUnpool2d`, parameter for parameter. Reference: torch.nn.MaxUnpool2d.

    kernel_size: window, one value or two (1 to 1024; required).
    stride: step, one value or two (1 to 1024; default kernel_size).
    padding: padding on both sides, one value or two; at most half the kernel (0 to 512; default 0).
    output_size: height and width of the output, one value or two (1 to 65536; default torch's, (in
        - 1) * stride - 2 * padding + kernel).
    ceil_mode: whether the output size of the pooling is rounded up (default false)."""

    KIND = "max_unpool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size | None = None
    output_size: Size | None = None
    ceil_mode: bool = False


@dataclasses.dataclass(frozen=True)
class ConvPool(Head):
    """A strided convolution in place of pooling: mean filter or a trained one; values [C', oH, oW].

    Use it for a trained convolution in place of pooling. Reference: Springenberg et al., "Striving
    for Simplicity: The All Convolutional Net", 2015.

    kernel_size: window, one value or two; required with the mean filter (1 to 1024; default the
        filter's own).
    stride: step, one value or two (1 to 1024; default the filter's own, else kernel_size).
    mean_filter: the mean filter, which makes it avg_pool; this or bundle_filter.
    bundle_filter: name of a filter of the bundle.
    relu: whether negative results become 0 (default false)."""

    KIND = "conv_pool"
    kernel_size: Size | None = None
    stride: Size | None = None
    mean_filter: bool | None = None
    bundle_filter: str | None = None
    relu: bool = False


@dataclasses.dataclass(frozen=True)
class FeatureMap(Head):
    """The map itself; values [C, H, W].

    Use it for the raw map, for pooling of your own."""

    KIND = "feature_map"


@dataclasses.dataclass(frozen=True)
class ClassScores(Head):
    """Scores of the model's classifier, for any input size; values [K].

    Use it for labels, at any input size. Reference: Lin, Chen, Yan, "Network in Network", 2013.

    top_k: number of highest scores; 0 gives all in class order (0 to 100000; default 5).
    score_type: what the scores are (softmax, logits; default softmax)."""

    KIND = "class_scores"
    top_k: int | None = None
    score_type: Literal["softmax", "logits"] | None = None


@dataclasses.dataclass(frozen=True)
class ClassActivationMap(Head):
    """Where on the picture the evidence for a class lies; values [H, W, or a PNG].

    Use it for where the evidence for a class lies, as values or a drawn heatmap. Reference: Zhou et
    al., "Learning Deep Features for Discriminative Localization", 2016.

    class_index: class, below the number of classes (0 or more; default the best of each picture).
    format: form of the map (floats, png, png_overlay; default floats)."""

    KIND = "class_activation_map"
    class_index: int | None = None
    format: Literal["floats", "png", "png_overlay"] | None = None


@dataclasses.dataclass(frozen=True)
class ClassToken(Head):
    """The class token of a transformer's block, or one of its registers; values [C].

    Use it for transformers: the picture as one vector, at any block. Reference: Dosovitskiy et al.,
    "An Image is Worth 16x16 Words", 2021.

    register: register in place of the class token, counted after it, or from the first prefix token
        where there is no class token (1 to 1024; default the class token)."""

    KIND = "class_token"
    register: int | None = None


@dataclasses.dataclass(frozen=True)
class MeanToken(Head):
    """Mean over all tokens of a transformer's block, those before the map's too; values [C].

    Use it for transformers whose own pooling counts the class token; on a map alone, global_avg."""

    KIND = "mean_token"


@dataclasses.dataclass(frozen=True)
class Embedding(Head):
    """The model's own embedding: what the call of its authors returns; values [D].

    Use it for the vector that the model was trained to give, at one size of input."""

    KIND = "embedding"


@dataclasses.dataclass(frozen=True)
class BundleHead(Head):
    """A trained head of the bundle, such as attention pooling or NetVLAD; values [D].

    Use it for pooling that was learnt with the network or after it.

    name: name of the trained head (required)."""

    KIND = "bundle_head"
    name: str


@dataclasses.dataclass(frozen=True)
class MeanMap(Head):
    """Mean over the channels of a layer; of attention, where a transformer looks; values [H, W, or
    a PNG].

    Use it for where a layer responds, and with `layer=attention` where a transformer looks.
    Reference: of attention: Caron et al., "Emerging Properties in Self-Supervised Vision
    Transformers", 2021.

    format: form of the map (floats, png, png_overlay; default floats)."""

    KIND = "mean_map"
    format: Literal["floats", "png", "png_overlay"] | None = None
