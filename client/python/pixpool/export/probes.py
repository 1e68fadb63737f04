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
from pixpool.export.forms import Form
from pixpool.export.golden import golden_picture
from pixpool.export.manifest import LayerEntry, VectorEntry
from pixpool.export.options import Progress
from pixpool.export.recipe import MIN_SIDE
from pixpool.export.sizes import InputSizes
from pixpool.export.trunk import Trunk

# uint8 [N, H, W, 3] to the maps of the layers, and what else the bundle has.
Run = Callable[[Tensor], tuple[Tensor, ...]]


def batches(golden: Tensor, sizes: InputSizes) -> list[Tensor]:
    """The golden picture, and others at sizes that the network takes."""
    return [golden, *(pictures(*size) for size in sizes.batches())]


def report(engine: str, check: verify.Check, progress: Progress) -> None:
    progress(
        f"check {engine}{check.images}: cosine {check.cosine:.7f}, largest difference"
        f" {check.difference:.1e}, {1e3 * check.seconds:.0f} ms"
        f" (threads: {torch.get_num_threads()})"
    )


def describe_layer(entry: LayerEntry) -> str:
    """What is said of a layer in the exporter's lines."""
    sign = ", never negative" if entry["non_negative"] else ""
    tokens = f", prefix tokens: {entry['prefix_tokens']}" if "prefix_tokens" in entry else ""
    tokens += ", the first the class token" if entry.get("class_token") else ""
    return (
        f"layer {entry['name']}: {entry['channels']} channels, stride {entry['stride']}{sign}"
        f"{tokens}"
    )


def describe_tokens(entry: LayerEntry, form: Form) -> None:
    """Adds to a layer's entry what the form in which its module gives it has beside the map."""
    if form.prefix:
        entry["prefix_tokens"] = form.prefix
    if form.class_token:
        entry["class_token"] = True


@torch.no_grad()
def describe_vectors(trunk: Trunk, golden: Tensor) -> list[VectorEntry]:
    """`vectors` of the manifest."""
    outputs = trunk(golden)[-len(trunk.vectors) :] if trunk.vectors else ()
    return [
        {"name": vector.name, "dimensions": int(output.shape[1])}
        for vector, output in zip(trunk.vectors, outputs, strict=True)
    ]


def pictures(count: int, height: int, width: int) -> Tensor:
    """Different views of the golden picture at a size."""
    picture = golden_picture()
    views = [picture, picture[:, ::-1], picture[::-1], 255 - picture]
    sized = [Image.fromarray(np.ascontiguousarray(v)).resize((width, height)) for v in views]
    taken = itertools.islice(itertools.cycle(sized), count)
    return torch.from_numpy(np.stack([np.asarray(v) for v in taken]))


@torch.no_grad()
def say_sizes(graph: Run, sizes: InputSizes, progress: Progress) -> None:
    """Says which sizes the bundle takes where not all are, and what else a graph needs."""
    if sizes != InputSizes():
        progress(f"input: the bundle takes {sizes.text()}")
    sides = sizes.smallest_sides(MIN_SIDE)
    for side in sides:
        try:
            graph(pictures(1, side, side))
            break
        except RuntimeError:
            continue
    if sides and side > sides[0]:
        progress(f"remark: the graph needs at least {side} x {side} pixels; smaller input fails")


@torch.no_grad()
def lowest_values(graph: Run, golden: Tensor, sizes: InputSizes) -> list[float]:
    """The lowest value of each output over all batches."""
    lows = [[float(out.min()) for out in graph(images)] for images in batches(golden, sizes)]
    return [min(layer) for layer in zip(*lows, strict=True)]


@torch.no_grad()
def describe_layers(
    run: Run,
    golden: Tensor,
    names: list[str],
    signs: list[bool],
    lowest: list[float],
    sizes: InputSizes,
) -> list[LayerEntry]:
    """`layers` of the manifest. `signs` says which layers' operations rule out negative values,
    `lowest` what was seen."""
    own = (int(golden.shape[1]), int(golden.shape[2]))
    two = [own, sizes.larger(*own) or own]
    runs = [run(pictures(1, *size)) for size in two]
    described: list[LayerEntry] = []
    # Vectors may come after the maps.
    for name, a, b, sign, low in zip(names, *runs, signs, lowest, strict=False):
        shapes = (tuple(a.shape), tuple(b.shape))
        stride = discover.stride_of(shapes, two)
        if stride == 0:
            seen = " and ".join(
                f"{list(shape)} for {height} x {width} pixels"
                for (height, width), shape in dict(zip(two, shapes, strict=True)).items()
            )
            raise ExportError(
                f"layer '{name}' gives {seen}; a layer must be a map [N, C, h, w] whose h and w"
                " follow the input size"
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
