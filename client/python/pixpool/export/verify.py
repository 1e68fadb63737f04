"""Compares the graph as written with the model as the user runs it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pixpool.export.errors import ExportError, brief
from pixpool.export.quiet import quiet_jit

MIN_COSINE = 0.99999
MAX_DIFFERENCE = 1e-4  # of a layer's largest value


@dataclasses.dataclass(frozen=True)
class Check:
    """Result of one comparison over all layers."""

    images: str  # "1 x 224 x 224"
    cosine: float  # of the worst layer
    difference: float  # the largest, as a share of the layer's largest value
    seconds: float  # of one pass of the traced graph


@dataclasses.dataclass(frozen=True)
class Bounds:
    """How far two programs may be apart."""

    min_cosine: float
    max_difference: float  # of a layer's largest value


@dataclasses.dataclass(frozen=True)
class Wording:
    """How the refusals name the two sides, and what most likely is the matter."""

    thing: str = "layer"
    graph: str = "the traced graph"
    reference: str = "PyTorch"
    open_sizes: str = "load the model without a fixed batch"
    fails: str = "The model's code depends on the input size in a way that a trace cannot keep"
    other_shape: str = "The trace froze a size that depends on the input"
    other_values: str = (
        "The trace froze something that depends on the input, or the model is not deterministic in"
        " eval mode"
    )


_TRACED = Wording()


def load_graph(path: Path) -> torch.jit.ScriptModule:
    with quiet_jit():
        loaded: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            str(path), map_location="cpu"
        )
    return loaded


@torch.no_grad()
def compare(
    graph: Callable[[Tensor], tuple[Tensor, ...]],
    reference: Callable[[Tensor], tuple[Tensor, ...]],
    images: Tensor,
    names: list[str],
    wording: Wording = _TRACED,
    bounds: Bounds | None = None,
) -> Check:
    """Runs both on `images`; refuses with the layer that differs by more than `bounds` (None: those
    of programs that both compute in float32)."""
    bounds = bounds or Bounds(MIN_COSINE, MAX_DIFFERENCE)
    size = " x ".join(str(v) for v in images.shape[:3])
    try:
        wanted = reference(images)
    except Exception as error:
        raise ExportError(
            f"the model does not take a batch of {size} pixels: {brief(error)}. A bundle must"
            f" hold for any batch; {wording.open_sizes}"
        ) from error
    try:
        graph(images)  # the first run only profiles
        start = time.perf_counter()
        got = graph(images)
        seconds = time.perf_counter() - start
    except Exception as error:
        reason = str(error).strip().splitlines()[-1]
        raise ExportError(
            f"{wording.graph} fails at {size} where {wording.reference} does not: {reason}."
            f" {wording.fails}"
        ) from error
    worst_cosine, worst_difference = 1.0, 0.0
    for name, a, b in zip(names, got, wanted, strict=True):
        if a.shape != b.shape:
            raise ExportError(
                f"{wording.thing} '{name}' at {size}: {wording.graph} gives {list(a.shape)},"
                f" {wording.reference} {list(b.shape)}. {wording.other_shape}"
            )
        cosine, difference = _distance(a, b)
        if not (cosine >= bounds.min_cosine and difference <= bounds.max_difference):
            raise ExportError(
                f"{wording.thing} '{name}' at {size}: {wording.graph} differs from"
                f" {wording.reference} (cosine {cosine:.6f}, largest difference {difference:.2g} of"
                f" the largest value). {wording.other_values}"
            )
        worst_cosine = min(worst_cosine, cosine)
        worst_difference = max(worst_difference, difference)
    return Check(size, worst_cosine, worst_difference, seconds)


def _distance(a: Tensor, b: Tensor) -> tuple[float, float]:
    a, b = a.double().flatten(), b.double().flatten()
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        return float("nan"), float("nan")
    scale = b.abs().max().item()
    difference = (a - b).abs().max().item()
    if scale == 0.0:
        return (1.0, 0.0) if difference == 0.0 else (0.0, float("inf"))
    cosine = (a @ b / (a.norm() * b.norm()).clamp_min(1e-300)).item()
    return min(cosine, 1.0), difference / scale
