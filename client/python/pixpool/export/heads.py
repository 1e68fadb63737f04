"""The server's vector heads in PyTorch: what a projection is fitted on must be what it will get.

Each function takes feature maps x, [N, C, H, W], and gives [N, D] in the type of x; `HeadSpec` in
head_spec.py runs them in double precision, with the ranges and defaults of their parameters that
pixpool.heads has. Formulas are per picture and channel c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_RMAC_EPS = 1e-6  # added to the norm of a region's vector
_RMAC_STEPS = range(1, 7)  # regions that the longer side may get beyond those of the shorter


def global_avg(x: Tensor) -> Tensor:
    """mean(x_c); D = C. Lin, Chen, Yan, "Network in Network", 2013."""
    return x.mean((2, 3))


def global_max(x: Tensor) -> Tensor:
    """max(x_c), MAC; D = C. Tolias, Sicre, Jegou, "Particular object retrieval with integral
    max-pooling of CNN activations", 2015."""
    return x.amax((2, 3))


def avg_max(x: Tensor) -> Tensor:
    """0.5 * mean(x_c) + 0.5 * max(x_c); D = C. Lee, Gallagher, Tu, "Generalizing Pooling Functions
    in Convolutional Neural Networks", 2016, with the mixture fixed at one half."""
    return 0.5 * global_avg(x) + 0.5 * global_max(x)


def cat_avg_max(x: Tensor) -> Tensor:
    """All means, then all maxima; D = 2C."""
    return torch.cat([global_avg(x), global_max(x)], 1)


def gem(x: Tensor, p: float, eps: float) -> Tensor:
    """mean(max(x_c, eps)^p)^(1/p), the generalised mean; D = C. Radenovic, Tolias, Chum,
    "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018."""
    lifted = x.clamp(min=eps)
    peak = lifted.amax((2, 3), keepdim=True)
    # The maximum is taken out, so that no power overflows, and expm1 keeps the digits of small p.
    mean = torch.expm1(p * torch.log(lifted / peak)).mean((2, 3))
    return peak.flatten(1) * torch.exp(torch.log1p(mean) / p)


def lse(x: Tensor, r: float) -> Tensor:
    """m + log(mean(exp(r * (x_c - m)))) / r with m = max(x_c), log-sum-exp; D = C. Pinheiro,
    Collobert, "From Image-level to Pixel-level Labeling with Convolutional Networks", 2015."""
    peak = x.amax((2, 3), keepdim=True)
    mean = torch.expm1(r * (x - peak)).mean((2, 3))
    return peak.flatten(1) + torch.log1p(mean) / r


def lp(x: Tensor, p: float) -> Tensor:
    """(sum(x_c^p))^(1/p); D = C. torch.nn.LPPool2d over the whole map: a sum, and x^p rather than
    |x|^p, so NaN where a negative value meets a p that has no power or root for it."""
    # Taken out against overflow; a power of two, so that sums which cancel still do.
    exponent = torch.frexp(x.abs().amax((2, 3), keepdim=True)).exponent
    root = torch.ldexp(x, -exponent).pow(p).sum((2, 3)).pow(1 / p)
    powers: Tensor = torch.ldexp(root, exponent.flatten(1))
    return powers


def rmac(x: Tensor, levels: int, overlap: float) -> Tensor:
    """n(max(x)) + sum over regions of n(max(region)) with n(v) = v / (|v| + 1e-6), v over the
    channels; D = C. Regions: see rmac_regions. Tolias, Sicre, Jegou, 2015, as in cirtorch."""
    total = _region_vector(x)
    for top, left, side in rmac_regions(x.shape[2], x.shape[3], levels, overlap):
        total = total + _region_vector(x[:, :, top : top + side, left : left + side])
    return total


def rmac_regions(
    height: int, width: int, levels: int, overlap: float
) -> list[tuple[int, int, int]]:
    """Square regions (top, left, side) of R-MAC, level by level, rows before columns.

    The rule is that of cirtorch (filipradenovic/cnnimageretrieval-pytorch, `rmac`): level l has
    regions of side floor(2 * short / (l + 1)), l of them along the shorter side and l + k along
    the longer, evenly spaced. k, of 1 to 6, is the step whose overlap of neighbours,
    1 - (long - short) / (short * k), is closest to `overlap`; the smaller of two as close. All in
    rational numbers, so that no rounding moves a region; `overlap` counts as the shortest decimal
    of its float32 (0.4 is 2/5). A square map has k = 0.
    """
    short, extra = min(height, width), abs(height - width)
    step = 0
    if extra:
        wanted = Fraction(str(np.float32(overlap)))
        step = min(_RMAC_STEPS, key=lambda k: abs(1 - Fraction(extra, short * k) - wanted))
    regions = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side == 0:
            continue
        tops = _starts(height - side, level + (step if height > width else 0))
        lefts = _starts(width - side, level + (step if width > height else 0))
        regions += [(top, left, side) for top in tops for left in lefts]
    return regions


def _starts(room: int, count: int) -> list[int]:
    return [i * room // (count - 1) for i in range(count)] if count > 1 else [0]


def _region_vector(region: Tensor) -> Tensor:
    peak = region.amax((2, 3))
    norm: Tensor = torch.linalg.vector_norm(peak, dim=1, keepdim=True)
    return peak / (norm + _RMAC_EPS)


def crow(x: Tensor, a: float, b: float) -> Tensor:
    """C_c * sum(S * x_c), S = (s / |s|_a)^(1/b) with s the sum over channels (negative: 0), C_c =
    log(sum of Q / Q_c) with Q_c the share of non-zeros in channel c, 0 where Q_c = 0; an all-zero
    map gives zeros; D = C. Kalantidis, Mellina, Osindero, "Cross-dimensional Weighting for
    Aggregated Deep Convolutional Features", 2016."""
    s = x.sum(1, keepdim=True).clamp(min=0)
    peak = s.amax((2, 3), keepdim=True)
    s = s / torch.where(peak > 0, peak, torch.ones_like(peak))  # S does not depend on the scale
    norm = s.pow(a).sum((2, 3), keepdim=True).pow(1 / a)
    weights = (s / torch.where(norm > 0, norm, torch.ones_like(norm))).pow(1 / b)
    share = (x != 0).to(x.dtype).mean((2, 3))
    rarity = share.sum(1, keepdim=True) / torch.where(share > 0, share, torch.ones_like(share))
    channel = torch.where(share > 0, torch.log(rarity), torch.zeros_like(share))
    return channel * (weights * x).sum((2, 3))


def spoc(x: Tensor, sigma: float | None = None) -> Tensor:
    """sum(exp(-d^2 / (2 sigma^2)) * x_c) with d the distance, in cells, from the centre
    ((H - 1) / 2, (W - 1) / 2) and sigma min(H, W) / 6 by default; D = C. Babenko, Lempitsky,
    "Aggregating Deep Convolutional Features for Image Retrieval", 2015."""
    height, width = x.shape[2:]
    sigma = min(height, width) / 6 if sigma is None else sigma
    rows, columns = (
        (torch.arange(side, dtype=x.dtype, device=x.device) - (side - 1) / 2).square()
        for side in (height, width)
    )
    weights = torch.exp(-(rows[:, None] + columns[None]) / (2 * sigma * sigma))
    return (x * weights).sum((2, 3))


def scda(x: Tensor) -> Tensor:
    """Mean, then maximum, of x_c over the kept cells: the largest 8-connected component of the
    cells whose sum over channels is above the mean of that sum, the first in scan order of several
    as large, all cells where none is above; D = 2C. Wei, Luo, Wu, Zhou, "Selective Convolutional
    Descriptor Aggregation for Fine-Grained Image Retrieval", 2017."""
    s = x.sum(1)
    kept = _largest_component(s > s.mean((1, 2), keepdim=True))[:, None]
    mean = (x * kept).sum((2, 3)) / kept.sum((2, 3))
    return torch.cat([mean, x.masked_fill(~kept, -torch.inf).amax((2, 3))], 1)


def _largest_component(mask: Tensor) -> Tensor:
    """The largest 8-connected component of each mask [N, H, W]; an empty mask becomes full."""
    count, height, width = mask.shape
    # Numbers fall in scan order and each spreads over its component, which ends up with that of
    # its first cell: the highest.
    numbers = torch.arange(height * width, 0, -1, dtype=torch.float64, device=mask.device)
    labels = torch.where(mask, numbers.view(height, width), 0.0)
    while True:
        grown = F.max_pool2d(labels[:, None], 3, stride=1, padding=1)[:, 0] * mask
        if torch.equal(grown, labels):
            break
        labels = grown
    kept = []
    for one in labels.long():
        sizes = torch.bincount(one.flatten(), minlength=height * width + 1)
        sizes[0] = 0
        best = height * width - int(sizes.flip(0).argmax())  # the highest of those as large
        kept.append(one == best if sizes.any() else torch.ones_like(one, dtype=torch.bool))
    return torch.stack(kept)


def spatial_pyramid(x: Tensor, levels: Sequence[int], pooling: str) -> Tensor:
    """Adaptive "max" or "avg" pooling to n x n for each n of `levels`, in that order, each
    flattened as C x n x n; D = C * sum of n^2. He, Zhang, Ren, Sun, "Spatial Pyramid Pooling in
    Deep Convolutional Networks for Visual Recognition", 2014."""
    pool = F.adaptive_max_pool2d if pooling == "max" else F.adaptive_avg_pool2d
    return torch.cat([pool(x, n).flatten(1) for n in levels], 1)


# By the name of their kind.
VECTOR_HEADS: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        global_avg,
        global_max,
        avg_max,
        cat_avg_max,
        gem,
        lse,
        lp,
        rmac,
        crow,
        spoc,
        scda,
        spatial_pyramid,
    )
}
