"""The module that becomes the graph: uint8 NHWC pictures in, named feature maps and vectors out."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from pixpool.export.attention import NAME as ATTENTION
from pixpool.export.attention import WatchAttention, attention_map, last_among
from pixpool.export.errors import ExportError, brief, refuse_channels
from pixpool.export.forms import Form, Tokens, form_of
from pixpool.export.plain import plain_attention, traced_sizes
from pixpool.export.quiet import quiet_jit
from pixpool.export.recipe import Recipe
from pixpool.export.returned import float_tensors, vector_in
from pixpool.export.taps import Tap, Taps, unknown_module

# The whole model, or what its authors call to have its embedding: normalised float32
# [N, 3, H, W] in.
Forward = Callable[[nn.Module, Tensor], object]


@dataclasses.dataclass(frozen=True)
class LayerRef:
    """A named output: what the module at `path` gives on its call number `call` (-1: the last)."""

    name: str
    path: str
    call: int = -1

    names: ClassVar[str] = r"[A-Za-z0-9_.-]+"

    @classmethod
    def parse(cls, text: str) -> Self:
        """`name=module.path`, or `name=module.path#k` for call number k, from 0."""
        match = re.fullmatch(rf"({cls.names})=([^=#]+)(?:#(\d+))?", text.strip())
        if not match:
            raise ExportError(
                f"{cls.what()} '{text}' is not understood; write name=module.path, or"
                " name=module.path#k for the k-th call (from 0) of a module that runs several times"
            )
        call = -1 if match[3] is None else int(match[3])
        return cls(match[1], match[2], call)

    @staticmethod
    def what() -> str:
        return "layer"

    def __str__(self) -> str:
        return self.path if self.call < 0 else f"{self.path}#{self.call}"


@dataclasses.dataclass(frozen=True)
class VectorRef(LayerRef):
    """A named vector a picture: what the module at `path` gives or, of `taken`, what it takes. An
    empty path is what the model's forward returns."""

    names: ClassVar[str] = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
    taken: bool = False
    is_own: bool = False  # found as the model's embedding, not named by the user

    @staticmethod
    def what() -> str:
        return "vector"


def refuse_same_names(layers: Sequence[LayerRef]) -> None:
    names = [layer.name for layer in layers]
    for layer in layers:
        if names.count(layer.name) > 1:
            raise ExportError(
                f"{layer.what()} name '{layer.name}' is used twice; give each {layer.what()} its"
                " own name"
            )


def run_model(model: nn.Module, values: Tensor) -> object:
    return model(values)


class Trunk(nn.Module):
    """Runs a model up to its last named output and returns what is named.

    forward(images: uint8 [N, H, W, 3]) -> tuple of float32: a map [N, C, h, w] for each layer, then
    that of the class token's attention, [N, heads, h, w], where it is wanted and the model has it,
    then for each layer whose module gives tokens before those of the patches these, [N, P, C], then
    a [N, D] for each vector. Normalisation is inside, so that every engine that is made from the
    graph normalises alike.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[LayerRef],
        recipe: Recipe,
        vectors: Sequence[VectorRef] = (),
        forward: Forward = run_model,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        count = self._channels = recipe.channels
        self.register_buffer("mean", torch.tensor(recipe.mean[:count]).view(1, count, 1, 1))
        self.register_buffer("std", torch.tensor(recipe.std[:count]).view(1, count, 1, 1))
        modules = dict(model.named_modules())
        for ref in [*layers, *vectors]:
            if ref.path not in modules:
                raise ExportError(unknown_module(ref.what(), ref.name, ref.path, modules))
        self.layers = list(layers)
        self.vectors = list(vectors)
        self._forward = forward
        self._taps = Taps([_tap(ref) for ref in [*layers, *vectors] if ref.path])
        self.forms: list[Form] = []
        self._wants_attention = attention and ATTENTION not in [layer.name for layer in layers]
        self._attention: int | None = None  # the number of the operator that computes it
        self.eval()

    def map_names(self) -> list[str]:
        """Of the maps among the tensors that it returns, in order."""
        own = [] if self._attention is None else [ATTENTION]
        return [*(layer.name for layer in self.layers), *own]

    def output_names(self) -> list[str]:
        """Of the tensors that it returns, in order."""
        return [
            *self.map_names(),
            *(f"prefix_tokens:{self.layers[at].name}" for at in self._with_prefix()),
            *(f"vector:{vector.name}" for vector in self.vectors),
        ]

    def prepare(self, images: Tensor) -> None:
        """Runs once to learn how often each module is called, in which form it gives its map, and
        which outputs the model overwrites later on (an in-place activation): those are copied from
        then on."""
        try:
            with torch.no_grad():
                returned = self._taps.learn(self.model, lambda: self._whole(images))
        except Exception as error:
            refuse_channels(error)
            size = f"{images.shape[1]} x {images.shape[2]}"
            raise ExportError(
                f"the model fails on an input of {size} pixels: {brief(error)}. --input-size sets"
                " another"
            ) from error
        for ref in [*self.layers, *self.vectors]:
            calls = self._taps.calls(_tap(ref)) if ref.path else 1
            if calls == 0 or ref.call >= calls:
                times = "never" if calls == 0 else f"only {calls} time(s)"
                raise ExportError(
                    f"{ref.what()} '{ref.name}': module '{ref.path}' runs {times} in the model's"
                    " forward; name a module that does"
                )
        self.forms = [self._form(layer, images) for layer in self.layers]
        self._attention = self._find_attention(images) if self._wants_attention else None
        for vector in self.vectors:
            self._check_vector(vector, returned, images.shape[0])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        watch = WatchAttention(self._attention)
        with _watched(None if self._attention is None else watch):
            seen, returned = self._run(images)
        outputs = [seen[_tap(layer)][layer.call] for layer in self.layers]
        maps = [form.map_of(o, images) for form, o in zip(self.forms, outputs, strict=True)]
        if self._attention is not None:
            maps.append(attention_map(watch.seen[0], self.forms[-1], images.shape[1:3]))
        prefixes = [self.forms[at].prefix_of(outputs[at]) for at in self._with_prefix()]
        vectors = [
            _flat(seen[_tap(ref)][ref.call]) if ref.path else _flat(vector_in(returned))
            for ref in self.vectors
        ]
        return (*maps, *prefixes, *vectors)

    def normalize(self, images: Tensor) -> Tensor:
        """What the model itself takes: float32 [N, 3, H, W], in channels-last memory; [N, 1, H, W]
        of a grey recipe, whose pictures have three equal levels a pixel."""
        taken = images if self._channels == 3 else images[..., : self._channels]
        return (taken.permute(0, 3, 1, 2).to(torch.float32) - self.mean) / self.std

    def module_output(self, at: int, outputs: Sequence[Tensor]) -> Tensor:
        """What the module of the layer at this position gave, from the trunk's outputs."""
        holders = self._with_prefix()
        prefix = outputs[len(self.map_names()) + holders.index(at)] if at in holders else None
        return self.forms[at].restore(outputs[at], prefix)

    @torch.no_grad()
    def own_output(
        self,
        images: Tensor,
        at_layer: Callable[[int, Tensor], Tensor | None] = lambda _at, _output: None,
        at_input: Callable[[Tensor], None] = lambda _values: None,
    ) -> tuple[Tensor, ...]:
        """What the whole model returns for pictures: its float tensors. Of a prepared trunk.

        `at_input` gets what the model takes, `at_layer` the position and the output of each layer's
        module; a tensor that it returns takes the output's place."""
        counts: dict[str, int] = {}

        def pass_on(path: str, output: Tensor) -> Tensor:
            call = counts.get(path, 0)
            counts[path] = call + 1
            for at, layer in enumerate(self.layers):
                if layer.path == path and call == layer.call % self._taps.calls(_tap(layer)):
                    taken = at_layer(at, output)
                    output = output if taken is None else taken
            return output

        with contextlib.ExitStack() as hooks:
            for path in {layer.path for layer in self.layers}:
                module = self.model.get_submodule(path)
                hook = module.register_forward_hook(
                    lambda _m, _i, out, path=path: pass_on(path, out)
                )
                hooks.callback(hook.remove)
            values = self.normalize(images)
            at_input(values)
            return tuple(float_tensors(self.model(values)))

    def _run(self, images: Tensor) -> tuple[dict[Tap, list[Any]], object]:
        stops = all(vector.path for vector in self.vectors)
        return self._taps.run(self.model, lambda: self._whole(images), stops)

    @torch.no_grad()
    def _find_attention(self, images: Tensor) -> int | None:
        shape = (
            self._taps.shape(_tap(self.layers[-1]), self.layers[-1].call) if self.layers else None
        )
        if not shape:
            return None
        watch = WatchAttention()
        with _watched(watch):
            self._run(images)
        return last_among(watch.seen, self.forms[-1], shape[1])

    def _whole(self, images: Tensor) -> object:
        return self._forward(self.model, self.normalize(images))

    def _with_prefix(self) -> list[int]:
        return [at for at, form in enumerate(self.forms) if form.prefix]

    def _form(self, layer: LayerRef, images: Tensor) -> Form:
        shape = self._taps.shape(_tap(layer), layer.call)
        size = (int(images.shape[1]), int(images.shape[2]))
        form = form_of(shape, size, Tokens.of(self.model, layer.path)) if shape else None
        if form is None:
            what = tuple(shape) if shape else "no tensor"
            raise ExportError(
                f"layer '{layer.name}': module '{layer.path}' gives {what}, not a feature map"
                " [N, C, h, w] or [N, h, w, C], nor tokens [N, T, C] of the picture's patches; name"
                " a module inside or before it"
            )
        return form

    def _check_vector(self, vector: VectorRef, returned: object, batch: int) -> None:
        if vector.path:
            shape = self._taps.shape(_tap(vector), vector.call)
            what = f"module '{vector.path}' {'takes' if vector.taken else 'gives'}"
        else:
            found = vector_in(returned)
            shape, what = None if found is None else tuple(found.shape), "the model gives"
        sides = list(shape or ())
        if len(sides) < 2 or sides[0] != batch or any(side != 1 for side in sides[2:]):
            raise ExportError(
                f"vector '{vector.name}': {what} {tuple(sides) if shape else 'no tensor'}, not one"
                " vector a picture, [N, D]; name a module that gives one"
            )


def trace(trunk: Trunk, images: Tensor) -> torch.jit.ScriptModule:
    """Traces a prepared trunk. Not frozen: the server does that on its own device."""
    with torch.no_grad(), quiet_jit(), plain_attention(), traced_sizes():
        traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            trunk, images, check_trace=False
        )
    return traced


@contextlib.contextmanager
def _watched(watch: WatchAttention | None) -> Iterator[None]:
    if watch is None:
        yield
        return
    with plain_attention(), watch:
        yield


def _tap(ref: LayerRef) -> tuple[str, bool]:
    return ref.path, isinstance(ref, VectorRef) and ref.taken


def _flat(vector: Any) -> Tensor:
    flat: Tensor = vector.flatten(1) if vector.dim() > 2 else vector
    return flat
