"""The module that becomes the graph: uint8 NHWC pictures in, named feature maps out."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pixpool.export.errors import ExportError, brief, refuse_channels
from pixpool.export.quiet import quiet_jit
from pixpool.export.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class LayerRef:
    """A named output: what the module at `path` gives on its call number `call` (-1: the last)."""

    name: str
    path: str
    call: int = -1

    @staticmethod
    def parse(text: str) -> LayerRef:
        """`name=module.path`, or `name=module.path#k` for call number k, from 0."""
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)=([^=#]+)(?:#(\d+))?", text.strip())
        if not match:
            raise ExportError(
                f"layer '{text}' is not understood; write name=module.path, or name=module.path#k"
                " for the k-th call (from 0) of a module that runs several times"
            )
        call = -1 if match[3] is None else int(match[3])
        return LayerRef(match[1], match[2], call)

    def __str__(self) -> str:
        return self.path if self.call < 0 else f"{self.path}#{self.call}"


def refuse_same_names(layers: list[LayerRef]) -> None:
    names = [layer.name for layer in layers]
    for name in names:
        if names.count(name) > 1:
            raise ExportError(f"layer name '{name}' is used twice; give each layer its own name")


class _Stop(Exception):
    """Leaves the model's forward once every layer is there."""


class Trunk(nn.Module):
    """Runs a model up to its last named layer and returns the named maps.

    forward(images: uint8 [N, H, W, 3]) -> tuple of float32 [N, C, h, w]. Normalisation is inside,
    so that every engine that is made from the graph normalises alike.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, layers: list[LayerRef], recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(recipe.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(recipe.std).view(1, 3, 1, 1))
        modules = dict(model.named_modules())
        for layer in layers:
            if layer.path not in modules:
                raise ExportError(_unknown_module(layer, modules))
        self._modules_by_path = {layer.path: modules[layer.path] for layer in layers}
        self._layers = layers
        self._calls: dict[str, int] = {}
        self._copy: set[str] = set()
        self.eval()

    def prepare(self, images: Tensor) -> None:
        """Runs once to learn how often each module is called and which maps the model overwrites
        later on (an in-place activation): those are copied from then on."""
        try:
            with torch.no_grad():
                seen = self._run(images, watch=True)
        except Exception as error:
            refuse_channels(error)
            size = f"{images.shape[1]} x {images.shape[2]}"
            raise ExportError(
                f"the model fails on an input of {size} pixels: {brief(error)}. --input-size sets"
                " another"
            ) from error
        self._calls = {path: len(outputs) for path, outputs in seen.items()}
        for layer in self._layers:
            calls = self._calls.get(layer.path, 0)
            if calls == 0 or layer.call >= calls:
                times = "never" if calls == 0 else f"only {calls} time(s)"
                raise ExportError(
                    f"layer '{layer.name}': module '{layer.path}' runs {times} in the model's"
                    " forward; name a module that does"
                )
            output, version = seen[layer.path][layer.call]
            if not isinstance(output, Tensor) or output.dim() != 4:
                what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise ExportError(
                    f"layer '{layer.name}': module '{layer.path}' gives {what}, not a feature map"
                    " [N, C, h, w]; name a module inside or before it"
                )
            if output._version != version:
                self._copy.add(str(layer))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        seen = self._run(images, watch=False)
        return tuple(seen[layer.path][layer.call][0] for layer in self._layers)

    def normalize(self, images: Tensor) -> Tensor:
        """What the model itself takes: float32 [N, 3, H, W], in channels-last memory."""
        return (images.permute(0, 3, 1, 2).to(torch.float32) - self.mean) / self.std

    @torch.no_grad()
    def own_output(
        self,
        images: Tensor,
        at_layer: Callable[[int, Tensor], Tensor | None] = lambda _at, _map: None,
        at_input: Callable[[Tensor], None] = lambda _values: None,
    ) -> tuple[Tensor, ...]:
        """What the whole model returns for pictures: its float tensors. Of a prepared trunk.

        `at_input` gets what the model takes, `at_layer` the position and the map of each layer; a
        tensor that it returns takes the map's place."""
        counts = dict.fromkeys(self._modules_by_path, 0)

        def pass_on(path: str, output: Tensor) -> Tensor:
            call, counts[path] = counts[path], counts[path] + 1
            for at, layer in enumerate(self._layers):
                if layer.path == path and call == layer.call % self._calls[path]:
                    taken = at_layer(at, output)
                    output = output if taken is None else taken
            return output

        handles = [
            module.register_forward_hook(lambda _m, _i, out, path=path: pass_on(path, out))
            for path, module in self._modules_by_path.items()
        ]
        try:
            values = self.normalize(images)
            at_input(values)
            return tuple(_float_tensors(self.model(values)))
        finally:
            for handle in handles:
                handle.remove()

    def _run(self, images: Tensor, watch: bool) -> dict[str, list[tuple[Tensor, int]]]:
        seen: dict[str, list[tuple[Tensor, int]]] = {path: [] for path in self._modules_by_path}
        missing = 0 if watch else sum(self._calls.values())

        def keep(path: str, output: Tensor) -> None:
            nonlocal missing
            call = len(seen[path])
            last = call + 1 == self._calls.get(path)
            names = {f"{path}#{call}"} | ({path} if last else set())
            if not watch and names & self._copy:
                output = output.clone()
            seen[path].append((output, getattr(output, "_version", 0)))
            missing -= 1
            if missing == 0:
                raise _Stop

        handles = [
            module.register_forward_hook(lambda _m, _i, out, path=path: keep(path, out))
            for path, module in self._modules_by_path.items()
        ]
        try:
            self.model(self.normalize(images))
        except _Stop:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return seen


def trace(trunk: Trunk, images: Tensor) -> torch.jit.ScriptModule:
    """Traces a prepared trunk. Not frozen: the server does that on its own device."""
    with torch.no_grad(), quiet_jit():
        traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            trunk, images, check_trace=False
        )
    return traced


def _float_tensors(returned: object) -> list[Tensor]:
    """The float tensors of what a forward returned: one, or several in lists, dicts or objects."""
    if isinstance(returned, Tensor):
        return [returned] if returned.is_floating_point() else []
    parts: list[object] = []
    if isinstance(returned, Mapping):
        parts = list(returned.values())
    elif isinstance(returned, (list, tuple)):
        parts = list(returned)
    elif dataclasses.is_dataclass(returned):
        parts = list(vars(returned).values())
    return [tensor for part in parts for tensor in _float_tensors(part)]


def _unknown_module(layer: LayerRef, modules: dict[str, nn.Module]) -> str:
    close = difflib.get_close_matches(layer.path, [m for m in modules if m], n=5, cutoff=0.4)
    known = ", ".join(close or [m for m in modules if m and "." not in m])
    return f"layer '{layer.name}': the model has no module '{layer.path}'; it has {known}"
