"""Finds the layers worth naming in a model that the user did not describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from pixpool.export.errors import ExportError
from pixpool.export.forms import Form, Tokens, follows, form_of
from pixpool.export.sizes import InputSizes, Size
from pixpool.export.trunk import Forward, LayerRef, run_model

_Shape = tuple[int, ...]


@dataclasses.dataclass
class _Call:
    path: str
    call: int
    form: Form
    shapes: list[_Shape]  # of the map, at the own size and at a larger one
    stride: int
    pools: bool  # it runs inside of a module that makes a vector of a map


@dataclasses.dataclass
class _Seen:
    """One run: what each call of a module gave, and the modules that make vectors of maps."""

    shapes: dict[tuple[str, int], _Shape] = dataclasses.field(default_factory=dict)
    pooling: set[str] = dataclasses.field(default_factory=set)


def stride_of(shapes: Sequence[_Shape], sizes: Sequence[Size]) -> int:
    """Input pixels between neighbouring cells of a map [N, C, h, w], from a run at the own size and
    one at a larger size; 0: it does not follow the size. Where both sizes are the same the network
    has only one, and a map is what has more than one cell and about the picture's shape."""
    small, large = shapes
    (height, width), (high, _) = sizes
    if high == height:
        return _one_stride(height, small[2]) if follows(small[2:], (height, width)) else 0
    cells = large[2] - small[2]
    if cells <= 0 or small[1] != large[1] or large[3] - small[3] != cells:
        return 0
    return max(round((high - height) / cells), 1)


def _one_stride(side: int, cells: int) -> int:
    """The stride of so many cells: of those that give as many, with the last cell cut off or
    padded, a power of two where there is one."""
    for power in (2, 4, 8, 16, 32, 64, 128):
        if cells in (side // power, -(-side // power)):
            return power
    return max(round(side / cells), 1)


@torch.no_grad()
def record_maps(
    model: nn.Module,
    own: Size,
    sizes: InputSizes,
    forward: Forward = run_model,
    channels: int = 3,
) -> list[_Call]:
    """Runs `forward` at the model's own size, and at a larger one where it takes any, and lists, in
    order, the calls of modules that give a feature map whose size follows the input's."""
    two = [own, sizes.larger(*own) or own]
    runs = {
        size: _record_once(model, torch.zeros(1, channels, *size), forward)
        for size in dict.fromkeys(two)
    }
    first, second = (runs[size] for size in two)
    calls = []
    for (path, call), shape in first.shapes.items():
        other = second.shapes.get((path, call))
        form = form_of(shape, own, Tokens.of(model, path))
        if other is None or form is None:
            continue
        maps = [form.shape_of(s, size) for s, size in zip((shape, other), two, strict=True)]
        pools = any(path == pool or path.startswith(pool + ".") for pool in first.pooling)
        calls.append(_Call(path, call, form, maps, stride_of(maps, two), pools))
    return [call for call in calls if call.stride > 0]


def find_layers(
    model: nn.Module,
    own: Size,
    sizes: InputSizes,
    hints: list[str],
    names: Mapping[str, str] | None = None,
    forward: Forward = run_model,
    channels: int = 3,
) -> list[LayerRef]:
    """The last map before pooling, called `features`, and before it one layer a stride: `hints`
    (module paths) where given, otherwise the last block of each stride. Of a transformer each
    block. `own` is a size that the model takes, `sizes` are all that it takes. `names` are those of
    layers by the paths of their modules; others are named by these paths. What `forward`, which
    gives the embedding, does not run is no layer: a classifier may work on positions too."""
    # What pools tokens works on them as blocks do; what pools a map does not end in a map.
    calls = [
        c
        for c in record_maps(model, own, sizes, forward, channels)
        if c.form.dims == "NCHW" or not c.pools
    ]
    if not calls:
        raise ExportError(
            "no module of the model gives a feature map [N, C, h, w] that follows the input size;"
            " name the layers with --layers name=module.path,..."
        )
    last = _outermost(calls, calls[-1])
    by_path = {call.path: call for call in calls}
    if hints:
        stages = [by_path[path] for path in hints if path in by_path]
    elif last.form.dims == "NTC":
        stages = _chain(model, by_path)
    else:
        depth = _block_depth(model, calls)
        blocks = [c for c in calls if c.path.count(".") == depth(c.path)]
        before = blocks[: blocks.index(last)] if last in blocks else blocks
        stages = list({c.stride: c for c in before if 2 <= c.stride < last.stride}.values())
    layers = []
    order = {id(call): at for at, call in enumerate(calls)}
    ends = [c.path for c in calls if c.path.startswith(last.path + ".")][-1:]
    for stage in sorted(stages, key=lambda c: order[id(c)]):
        is_other = stage.shapes != last.shapes or (
            stage.form.dims == "NTC" and not any(f"{e}.".startswith(stage.path + ".") for e in ends)
        )
        if order[id(stage)] < order[id(last)] and is_other:
            layers.append(
                _reference(stage, calls, (names or {}).get(stage.path) or _layer_name(stage.path))
            )
    return layers + [_reference(last, calls, "features")]


def _record_once(model: nn.Module, images: Tensor, forward: Forward) -> _Seen:
    seen = _Seen()
    counts: dict[str, int] = {}
    size = (images.shape[2], images.shape[3])

    def keep(path: str, given: tuple[object, ...], output: object) -> None:
        call = counts.get(path, 0)
        counts[path] = call + 1
        if not isinstance(output, Tensor) or output.shape[:1] != (1,):
            return
        if output.dim() in (3, 4):
            seen.shapes[path, call] = tuple(output.shape)
        elif given and isinstance(given[0], Tensor) and given[0].shape != images.shape:
            if form_of(given[0].shape, size, Tokens.of(model, path)) is not None:
                seen.pooling.add(path)

    handles = [
        module.register_forward_hook(lambda _m, given, out, path=path: keep(path, given, out))
        for path, module in model.named_modules()
        if path
    ]
    try:
        forward(model, images)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _chain(model: nn.Module, by_path: dict[str, _Call]) -> list[_Call]:
    """The blocks of a transformer: of the lists and chains of modules that all give tokens the
    outermost, of several the longest."""
    found: list[_Call] = []
    depth = 0
    for path, module in model.named_modules():
        if not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        names = [f"{path}.{name}" if path else name for name, _ in module.named_children()]
        chain = [by_path[name] for name in names if name in by_path]
        if len(chain) < len(names) or len(chain) < 2 or any(c.form.dims != "NTC" for c in chain):
            continue
        level = path.count(".") + bool(path)
        if not found or (-level, len(chain)) > (-depth, len(found)):
            found, depth = chain, level
    return found


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
