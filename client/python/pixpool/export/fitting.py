"""Which sizes of its input a model takes, and a traced graph with it: found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from pixpool.export.errors import ExportError, brief
from pixpool.export.probes import pictures
from pixpool.export.recipe import Recipe
from pixpool.export.sizes import InputSizes, Size, candidates

_T = TypeVar("_T")


def fit_input_size(original: nn.Module, model: nn.Module, own: Recipe, recipe: Recipe) -> Size:
    """The size that the original is made for: that of its `own` recipe, or the recipe's where it
    does not take that. Where the recipe has another, which `model`, made from it, does not take,
    and they can be set to one (timm's `set_input_size`), both become models of that."""
    size, wanted = (own.height, own.width), (recipe.height, recipe.width)
    if size == wanted:
        return size
    if not _refuses(model, wanted, recipe.channels):
        return wanted if _refuses(original, size, recipe.channels) else size
    for one in (original, model):
        set_size = getattr(one, "set_input_size", None)
        if not callable(set_size):
            return size
        try:
            set_size(img_size=wanted)
        except Exception as error:
            high, wide = wanted
            raise ExportError(
                f"the model cannot be set to {high} x {wide}: {brief(error)}"
            ) from error
    return wanted


class Fitting:
    """The sizes that are left: the widest of those that have not been refused."""

    def __init__(
        self,
        run: Callable[[Tensor], object],
        recipe: Recipe,
        named: Sequence[Size] | None,
    ) -> None:
        """`run` is the model, as far as it is exported, on pictures; it takes the recipe's size.
        `named` are the sizes that the user named. Refuses (ExportError) what the model does not
        take."""
        self.reason = ""  # why it is not every size
        self._run = run
        self._own = recipe.height, recipe.width
        self._left = candidates(recipe.height, recipe.width)
        if not recipe.gives_one_size():
            self._left = self._left[:1]
        if named:
            self._left = [InputSizes(only=tuple(named))]
        self._next_taken()

    @property
    def sizes(self) -> InputSizes:
        return self._left[0]

    def settle(self, hold: Callable[[InputSizes], _T]) -> _T:
        """What `hold` gives for the widest sizes that it does not refuse (ExportError)."""
        while True:
            try:
                return hold(self.sizes)
            except ExportError as error:
                if len(self._left) == 1:
                    raise
                self.reason = self.reason or str(error)
                del self._left[0]
                self._next_taken()

    def _next_taken(self) -> None:
        """Goes on to sizes that the model itself takes."""
        while error := self._first_error(self.sizes):
            size, why = error
            if len(self._left) == 1:
                raise ExportError(
                    f"the model does not take an input of {size[0]} x {size[1]} pixels:"
                    f" {brief(why)}"
                ) from why
            self.reason = self.reason or f"at {size[0]} x {size[1]} {brief(why)}"
            del self._left[0]

    def _first_error(self, sizes: InputSizes) -> tuple[Size, Exception] | None:
        # The larger one too, at which layers are told from what does not follow the size.
        larger = sizes.larger(*self._own)
        for size in [(h, w) for _, h, w in sizes.batches()] + ([larger] if larger else []):
            if error := self._error(size):
                return size, error
        return None

    def _error(self, size: Size) -> Exception | None:
        try:
            with torch.no_grad():
                self._run(pictures(1, *size))
        except Exception as error:
            return error
        return None


def _refuses(model: nn.Module, size: Size, channels: int) -> bool:
    try:
        with torch.no_grad():
            model(torch.zeros(1, channels, *size))
    except Exception:
        return True
    return False
