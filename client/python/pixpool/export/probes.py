"""The pictures that a graph is checked on, and what they show about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixpool.export import discover, verify
from pixpool.export.errors import ExportError
from pixpool.export.golden import golden_picture
from pixpool.export.manifest import LayerEntry
from pixpool.export.options import Progress
from pixpool.export.recipe import MIN_SIDE

# uint8 [N, H, W, 3] to the maps of the layers.
Run = Callable[[Tensor], tuple[Tensor, ...]]
# Besides the recipe's own size: wide, and odd on both sides.
_OTHER_SIZES = ((2, 160, 288), (3, 131, 97))
_GROWTH = 256


def batches(golden: Tensor) -> list[Tensor]:
    return [golden, *(pictures(*size) for size in _OTHER_SIZES)]


def report(engine: str, check: verify.Check, progress: Progress) -> None:
    progress(
        f"check {engine}{check.images}: cosine {check.cosine:.7f}, largest difference"
        f" {check.difference:.1e}, {1e3 * check.seconds:.0f} ms"
        f" (threads: {torch.get_num_threads()})"
    )


def describe_layer(entry: LayerEntry) -> str:
    """What is said of a layer in the exporter's lines."""
    sign = ", never negative" if entry["non_negative"] else ""
    return f"layer {entry['name']}: {entry['channels']} channels, stride {entry['stride']}{sign}"


def pictures(count: int, height: int, width: int) -> Tensor:
    """Different views of the golden picture at a size."""
    picture = golden_picture()
    views = [picture, picture[:, ::-1], picture[::-1], 255 - picture]
    sized = [Image.fromarray(np.ascontiguousarray(v)).resize((width, height)) for v in views]
    taken = itertools.islice(itertools.cycle(sized), count)
    return torch.from_numpy(np.stack([np.asarray(v) for v in taken]))


@torch.no_grad()
def smallest_side(graph: Run) -> int:
    for side in (MIN_SIDE, 24, 32, 48, 64):
        try:
            graph(pictures(1, side, side))
            return side
        except RuntimeError:
            continue
    return 96


@torch.no_grad()
def lowest_values(graph: Run, golden: Tensor) -> list[float]:
    """The lowest value of each layer over all batches."""
    lows = [[float(out.min()) for out in graph(images)] for images in batches(golden)]
    return [min(layer) for layer in zip(*lows, strict=True)]


@torch.no_grad()
def describe_layers(
    run: Run, golden: Tensor, names: list[str], signs: list[bool], lowest: list[float]
) -> list[LayerEntry]:
    """`layers` of the manifest. `signs` says which layers' operations rule out negative values,
    `lowest` what was seen."""
    _, height, width, _ = golden.shape
    small = run(pictures(1, height, width))
    large = run(pictures(1, height + _GROWTH, width + _GROWTH))
    described: list[LayerEntry] = []
    for name, a, b, sign, low in zip(names, small, large, signs, lowest, strict=True):
        stride = discover.stride_between(tuple(a.shape), tuple(b.shape), _GROWTH)
        if stride == 0:
            raise ExportError(
                f"layer '{name}' gives {list(a.shape)} for {height} x {width} pixels and"
                f" {list(b.shape)} for {_GROWTH} more each way; a layer must be a map [N, C, h, w]"
                " whose h and w follow the input size"
            )
        described.append(
            {
                "name": name,
                "channels": a.shape[1],
                "stride": stride,
                "non_negative": bool(sign and low >= 0),
            }
        )
    return described
