"""Pooling heads in float64 numpy, written from the published formulas; one map [C, H, W] at a time.

They share nothing with the server: plain loops where those are clearest. ORACLES says which
spellings of heads are held to them, and on which kinds of maps.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np

from maps import EVERY, POSITIVE

RMAC_STEPS = range(2, 8)  # cirtorch: possible numbers of regions along the longer side
RMAC_EPS = 1e-6


def gem(x: np.ndarray, p: float = 3, eps: float = 1e-6) -> np.ndarray:
    """(mean(max(x, eps)^p))^(1/p); Radenovic, Tolias, Chum 2018."""
    lifted = np.maximum(np.float64(x), np.float64(np.float32(eps)))
    peak = lifted.max((1, 2), keepdims=True)
    return ((lifted / peak) ** p).mean((1, 2)) ** (1 / p) * peak[:, 0, 0]


def lse(x: np.ndarray, r: float = 10) -> np.ndarray:
    """(1/r) log(mean(exp(r x))); Pinheiro, Collobert 2015."""
    x = np.float64(x)
    peak = x.max((1, 2), keepdims=True)
    return (
        np.log1p(np.expm1(r * (x - peak)).mean((1, 2))) / r + peak[:, 0, 0]
    )  # right on tiny maps, too


def rmac_regions(
    height: int, width: int, levels: int = 3, overlap: float = 0.4
) -> list[tuple[int, int, int]]:
    """Regions as (y, x, side), in cirtorch's order, by rational arithmetic. The overlap is a
    decimal number: 0.4 as a float32 means 2/5.
    """
    wanted = Fraction(round(float(overlap) * 10**6), 10**6)
    short, long = min(height, width), max(height, width)
    # One step less than the number whose overlap is closest to the wanted; the first of several.
    extra = 1 + min(
        range(len(RMAC_STEPS)),
        key=lambda i: abs(1 - Fraction(long - short, (RMAC_STEPS[i] - 1) * short) - wanted),
    )
    regions = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side == 0:
            continue
        rows = _starts(level + (extra if height > width else 0), height - side)
        columns = _starts(level + (extra if width > height else 0), width - side)
        regions += [(y, x, side) for y in rows for x in columns]
    return regions


def _starts(count: int, room: int) -> list[int]:
    return [0] if count == 1 else [i * room // (count - 1) for i in range(count)]


def rmac(x: np.ndarray, levels: int = 3, overlap: float = 0.4) -> np.ndarray:
    """Sum of the normalised maxima of all regions and the whole map; Tolias, Sicre, Jegou 2015."""
    x = np.float64(x)
    _, height, width = x.shape
    vectors = [x.max((1, 2))]
    for top, left, side in rmac_regions(height, width, levels, overlap):
        vectors.append(x[:, top : top + side, left : left + side].max((1, 2)))
    return sum(v / (np.linalg.norm(v) + RMAC_EPS) for v in vectors)


def crow(x: np.ndarray, a: float = 2, b: float = 2) -> np.ndarray:
    """C_k * sum(S * x_k); Kalantidis, Mellina, Osindero 2016."""
    x = np.float64(x)
    sums = np.maximum(x.sum(0), 0)
    if not sums.any():
        return np.zeros(len(x))
    peak = sums.max()
    norm = peak * ((sums / peak) ** a).sum() ** (1 / a)
    spatial = (sums / norm) ** (1 / b)
    share = (x != 0).mean((1, 2))
    with np.errstate(divide="ignore"):
        channel = np.where(share == 0, 0, np.log(share.sum() / share))
    return (x * spatial).sum((1, 2)) * channel


def spoc(x: np.ndarray, sigma: float | None = None) -> np.ndarray:
    """Sum weighted by a Gaussian around the centre; Babenko, Lempitsky 2015."""
    _, height, width = x.shape
    sigma = sigma or min(height, width) / 6
    y, z = np.mgrid[0:height, 0:width]
    squared = (y - (height - 1) / 2) ** 2 + (z - (width - 1) / 2) ** 2
    return (np.float64(x) * np.exp(-squared / (2 * sigma**2))).sum((1, 2))


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected component of a mask, as a mask; the first in scan order of several as
    large.
    """
    height, width = mask.shape
    seen = np.zeros_like(mask)
    best: list[tuple[int, int]] = []
    for start in zip(*np.nonzero(mask), strict=True):
        if seen[start]:
            continue
        seen[start] = True
        component, queue = [], deque([start])
        while queue:
            y, x = queue.popleft()
            component.append((y, x))
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    if mask[v, u] and not seen[v, u]:
                        seen[v, u] = True
                        queue.append((v, u))
        if len(component) > len(best):
            best = component
    out = np.zeros_like(mask)
    for cell in best:
        out[cell] = True
    return out


def scda(x: np.ndarray) -> np.ndarray:
    """Mean and maximum over the largest component of the cells above the mean; Wei, Luo, Wu, Zhou
    2017.
    """
    x = np.float64(x)
    sums = x.sum(0)
    kept = largest_component(sums > sums.mean())
    if not kept.any() or np.ptp(sums) == 0:
        kept[:] = True
    cells = x[:, kept]
    return np.concatenate([cells.mean(1), cells.max(1)])


def spatial_pyramid(
    x: np.ndarray, levels: tuple[int, ...] = (1, 2, 4), average: bool = False
) -> np.ndarray:
    """Adaptive grids side by side; He, Zhang, Ren, Sun 2014."""
    channels, height, width = x.shape
    parts = []
    for n in levels:
        grid = np.empty((channels, n, n))
        for i in range(n):
            for j in range(n):
                rows = slice(i * height // n, -(-(i + 1) * height // n))
                columns = slice(j * width // n, -(-(j + 1) * width // n))
                cell = np.float64(x[:, rows, columns])
                grid[:, i, j] = cell.mean((1, 2)) if average else cell.max((1, 2))
        parts.append(grid.ravel())
    return np.concatenate(parts)


# Head -> (kinds of maps, its oracle on one map).
ORACLES = {
    "gem": (EVERY, gem),
    "gem:p=1": (EVERY, lambda x: gem(x, 1)),
    "gem:p=6.5,eps=0.001": (EVERY, lambda x: gem(x, 6.5, 1e-3)),
    "gem:p=20": (EVERY, lambda x: gem(x, 20)),
    "gem:p=0.5": (EVERY, lambda x: gem(x, 0.5)),
    "gem:p=100": (EVERY, lambda x: gem(x, 100)),
    "lse": (EVERY, lse),
    "lse:r=0.1": (EVERY, lambda x: lse(x, 0.1)),
    "lse:r=1000": (EVERY, lambda x: lse(x, 1000)),
    "rmac": (EVERY, rmac),
    "rmac:levels=1": (EVERY, lambda x: rmac(x, 1)),
    "rmac:levels=5,overlap=0.25": (EVERY, lambda x: rmac(x, 5, 0.25)),
    "crow": (POSITIVE, crow),
    "crow:a=1,b=3": (POSITIVE, lambda x: crow(x, 1, 3)),
    "spoc": (EVERY, spoc),
    "spoc:sigma=2.5": (EVERY, lambda x: spoc(x, 2.5)),
    "scda": (EVERY, scda),
    "spatial_pyramid": (EVERY, spatial_pyramid),
    "spatial_pyramid:levels=3x1x2,pooling=WINDOW_POOLING_AVG": (
        EVERY,
        lambda x: spatial_pyramid(x, (3, 1, 2), average=True),
    ),
}
