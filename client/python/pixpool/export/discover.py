"""Finds the layers worth naming in a model that the user did not describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pixpool.export.errors import ExportError
from pixpool.export.sizes import InputSizes, Size
from pixpool.export.trunk import LayerRef


@dataclasses.dataclass
class _Call:
    path: str
    call: int
    shapes: list[tuple[int, ...]]  # at the own size, and at a larger one
    stride: int


def stride_of(shapes: Sequence[tuple[int, ...]], sizes: Sequence[Size]) -> int:
    """Input pixels between neighbouring cells of a map [N, C, h, w], from a run at the own size and
    one at a larger size; 0: it does not follow the size. Where both sizes are the same the network
    has only one, and a map is what has more than one cell and about the picture's shape."""
    small, large = shapes
    (height, width), (high, _) = sizes
    if high == height:
        rows, columns = small[2:]
        if min(rows, columns) < 2 or abs(rows * width - columns * height) > max(height, width):
            return 0
        return max(round(height / rows), 1)
    cells = large[2] - small[2]
    if cells <= 0 or small[1] != large[1] or large[3] - small[3] != cells:
        return 0
    return max(round((high - height) / cells), 1)


@torch.no_grad()
def record_maps(model: nn.Module, own: Size, sizes: InputSizes) -> list[_Call]:
    """Runs the whole model at its own size, and at a larger one where it takes any, and lists, in
    order, the calls of modules that give a feature map whose size follows the input's."""
    two = [own, sizes.larger(*own) or own]
    runs = {size: _record_once(model, torch.zeros(1, 3, *size)) for size in dict.fromkeys(two)}
    calls = []
    for (path, call), shape in runs[two[0]].items():
        other = runs[two[1]].get((path, call))
        if other is not None:
            shapes = [shape, other]
            calls.append(_Call(path, call, shapes, stride_of(shapes, two)))
    return [call for call in calls if call.stride > 0]


def find_layers(model: nn.Module, own: Size, sizes: InputSizes, hints: list[str]) -> list[LayerRef]:
    """The last map before pooling, called `features`, and before it one layer a stride: `hints`
    (module paths) where given, otherwise the last block of each stride. `own` is a size that the
    model takes, `sizes` are all that it takes."""
    calls = record_maps(model, own, sizes)
    if not calls:
        raise ExportError(
            "no module of the model gives a feature map [N, C, h, w] that follows the input size;"
            " name the layers with --layers name=module.path,..."
        )
    last = _outermost(calls, calls[-1])
    by_path = {call.path: call for call in calls}
    if hints:
        stages = [by_path[path] for path in hints if path in by_path]
    else:
        depth = _block_depth(model, calls)
        blocks = [c for c in calls if c.path.count(".") == depth(c.path)]
        before = blocks[: blocks.index(last)] if last in blocks else blocks
        stages = list({c.stride: c for c in before if 2 <= c.stride < last.stride}.values())
    layers = []
    order = {id(call): at for at, call in enumerate(calls)}
    for stage in sorted(stages, key=lambda c: order[id(c)]):
        if order[id(stage)] < order[id(last)] and stage.shapes != last.shapes:
            layers.append(_reference(stage, calls, _layer_name(stage.path)))
    return layers + [_reference(last, calls, "features")]


def _record_once(model: nn.Module, images: Tensor) -> dict[tuple[str, int], tuple[int, ...]]:
    shapes: dict[tuple[str, int], tuple[int, ...]] = {}
    counts: dict[str, int] = {}

    def keep(path: str, output: object) -> None:
        call = counts.get(path, 0)
        counts[path] = call + 1
        if isinstance(output, Tensor) and output.dim() == 4:
            shapes[path, call] = tuple(output.shape)

    handles = [
        module.register_forward_hook(lambda _m, _i, out, path=path: keep(path, out))
        for path, module in model.named_modules()
        if path
    ]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _outermost(calls: list[_Call], last: _Call) -> _Call:
    """Of the modules that end with the very last map, the one with the shortest path: hooks of a
    container fire after those of its children, so it is the last call itself."""
    same = [c for c in calls if c.shapes == last.shapes and last.path.startswith(c.path + ".")]
    return min([*same, last], key=lambda c: c.path.count("."))


def _block_depth(model: nn.Module, calls: list[_Call]) -> Callable[[str], int]:
    """Top-level modules are the blocks, except lists and chains (`features`, `blocks`), whose
    children are."""
    chains = {
        name
        for name, child in model.named_children()
        if isinstance(child, nn.ModuleList)
        or (isinstance(child, nn.Sequential) and _spans_strides(name, calls))
    }
    return lambda path: 1 if path.split(".")[0] in chains else 0


def _spans_strides(name: str, calls: list[_Call]) -> bool:
    inside = [c.stride for c in calls if c.path.count(".") == 1 and c.path.startswith(name + ".")]
    return len(set(inside)) > 2


def _reference(call: _Call, calls: list[_Call], name: str) -> LayerRef:
    count = sum(c.path == call.path for c in calls)
    return LayerRef(name, call.path, call.call if count > 1 else -1)


def _layer_name(path: str) -> str:
    return path.replace(".", "_").strip("_")
