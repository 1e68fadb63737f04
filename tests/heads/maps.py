"""Feature maps for the tests: many shapes, and values of many kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Channels, height, width. One cell, single rows and columns, squares, odd and even, wide and high.
SHAPES = [
    (16, 1, 1),
    (16, 1, 5),
    (16, 6, 1),
    (16, 2, 2),
    (8, 3, 3),
    (16, 7, 7),
    (16, 7, 10),
    (12, 10, 7),
    (4, 2, 13),
    (6, 14, 14),
    (1, 8, 5),
    (5, 31, 17),
]
POSITIVE = ("relu", "uniform", "sparse", "ties", "zeros", "constant", "small", "denormal", "large")
SIGNED = ("normal", "signed_ties", "negative")
EVERY = POSITIVE + SIGNED


@dataclass(frozen=True)
class Maps:
    """Maps of one shape and kind, float32 [N, C, H, W]."""

    kind: str
    values: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.kind} {'x'.join(map(str, self.values.shape[1:]))}"


def draw(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of one kind; those of POSITIVE are never negative."""
    normal = rng.normal(size=shape)
    values = {
        "relu": lambda: np.maximum(normal, 0),  # about half of it zeros
        "uniform": lambda: rng.uniform(0, 6, shape),  # as after ReLU6
        "sparse": lambda: np.where(rng.random(shape) < 0.05, rng.exponential(size=shape), 0),
        "ties": lambda: rng.integers(0, 4, shape),
        "zeros": lambda: np.zeros(shape),
        "constant": lambda: np.broadcast_to(rng.uniform(0.1, 3, (*shape[:2], 1, 1)), shape),
        "small": lambda: rng.uniform(0, 2e-6, shape),
        "denormal": lambda: rng.uniform(1e-39, 1e-38, shape),
        "large": lambda: rng.uniform(0, 1e6, shape),
        "normal": lambda: normal,
        "signed_ties": lambda: rng.integers(-3, 4, shape),
        "negative": lambda: -rng.exponential(size=shape) - 1e-3,
    }
    return values[kind]().astype(np.float32)


def maps(kinds: tuple[str, ...], count: int, seed: int = 0, shapes=tuple(SHAPES)) -> Iterator[Maps]:
    """`count` maps of every shape and kind."""
    rng = np.random.default_rng(seed)
    for shape in shapes:
        for kind in kinds:
            yield Maps(kind, draw(rng, kind, (count, *shape)))
