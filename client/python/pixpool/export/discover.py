"""Finds the layers worth naming in a model that the user did not describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pixpool.export.errors import ExportError, brief, refuse_channels
from pixpool.export.trunk import LayerRef

_GROWTH = 256  # pixels between the two probing sizes


@dataclasses.dataclass
class _Call:
    path: str
    call: int
    shapes: list[tuple[int, ...]]

    @property
    def stride(self) -> int:
        return stride_between(self.shapes[0], self.shapes[1], _GROWTH)


def stride_between(small: tuple[int, ...], large: tuple[int, ...], growth: int) -> int:
    """Input pixels between neighbouring cells, from two runs; 0: the size does not follow."""
    cells = large[2] - small[2]
    if cells <= 0 or small[1] != large[1] or large[3] - small[3] != cells:
        return 0
    return max(round(growth / cells), 1)


@torch.no_grad()
def record_maps(model: nn.Module, height: int, width: int) -> list[_Call]:
    """Runs the whole model at two sizes and lists, in order, the calls of modules that give a
    feature map whose size follows the input's."""
    runs = [
        _record_once(model, torch.zeros(1, 3, height, width)),
        _record_once(model, torch.zeros(1, 3, height + _GROWTH, width + _GROWTH)),
    ]
    calls = [
        _Call(path, call, [shape, runs[1][path, call]])
        for (path, call), shape in runs[0].items()
        if (path, call) in runs[1]
    ]
    return [call for call in calls if call.stride > 0]


def find_layers(model: nn.Module, height: int, width: int, hints: list[str]) -> list[LayerRef]:
    """The last map before pooling, called `features`, and before it one layer a stride: `hints`
    (module paths) where given, otherwise the last block of each stride."""
    calls = record_maps(model, height, width)
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
    except Exception as error:
        refuse_channels(error)
        size = f"{images.shape[2]} x {images.shape[3]}"
        raise ExportError(
            f"the model does not take an input of {size} pixels: {brief(error)}. A bundle must"
            " hold for any input size; load the model without a fixed size or cut it with --layers"
        ) from error
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
