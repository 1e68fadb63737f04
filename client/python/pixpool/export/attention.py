"""The attention that a transformer's class token pays to the patches, as a map.

Models write attention in many ways, but all end in torch's scaled_dot_product_attention or in a
softmax over the tokens. So it is read off there, and not off the modules of one package.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pixpool.export.forms import Form

NAME = "attention"  # of the layer

_SCALED = F.scaled_dot_product_attention
_SOFTMAX = (torch.softmax, Tensor.softmax, F.softmax)


@dataclasses.dataclass(frozen=True)
class _Seen:
    """One call that computes attention: the operator, what it got and what it gave."""

    function: Callable[..., Any]
    given: tuple[Any, ...]
    named: dict[str, Any]
    output: Tensor

    def of_token(self, at: int) -> Tensor:
        """What one token pays to all: [N, heads, T], with a sum of 1 over T."""
        if self.function is not _SCALED:
            return self.output[:, :, at]
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        values = {**dict(zip(names, self.given, strict=False)), **self.named}
        query, key, mask = values["query"], values["key"], values.get("attn_mask")
        if values.get("enable_gqa"):
            key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        scale = values.get("scale")
        one = query[:, :, at : at + 1] * (
            1 / math.sqrt(query.shape[-1]) if scale is None else scale
        )
        scores = one @ key.transpose(-2, -1)
        if mask is not None:
            # One row is for all tokens alike.
            row = mask[..., at : at + 1, :] if mask.shape[-2] > 1 else mask
            scores = (
                scores.masked_fill(~row, -math.inf) if row.dtype == torch.bool else scores + row
            )
        paid: Tensor = scores.softmax(-1)[:, :, 0]
        return paid

    def fits(self, count: int) -> bool:
        """Whether it is attention among so many tokens."""
        if self.function is _SCALED:
            query, key = self.given[:2] if len(self.given) > 1 else (None, None)
            return (
                isinstance(query, Tensor)
                and isinstance(key, Tensor)
                and query.dim() == key.dim() == 4
                and query.shape[-2] == key.shape[-2] == count
                and not self.named.get("is_causal")
            )
        dim = self.named.get("dim", self.given[1] if len(self.given) > 1 else None)
        shape = self.output.shape
        return len(shape) == 4 and dim in (-1, 3) and shape[-2] == shape[-1] == count


class WatchAttention(TorchFunctionMode):
    """Within, keeps the calls that compute attention, in order; `only` keeps that number alone."""

    def __init__(self, only: int | None = None) -> None:
        super().__init__()
        self.count = 0
        self.seen: list[_Seen] = []
        self._only = only

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func is F.multi_head_attention_forward:
            # Of what it calls a mode sees nothing.
            with mock.patch.object(F, _SCALED.__name__, self._scaled):
                return func(*args, **named)
        output = func(*args, **named)
        if func is _SCALED or func in _SOFTMAX:
            self._keep(func, args, named, output)
        return output

    def _scaled(self, *args: Any, **kwargs: Any) -> Tensor:
        output = _SCALED(*args, **kwargs)
        self._keep(_SCALED, args, kwargs, output)
        return output

    def _keep(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        named: dict[str, Any],
        output: Tensor,
    ) -> None:
        if self._only in (None, self.count):
            self.seen.append(_Seen(func, args, named, output))
        self.count += 1


def last_among(seen: list[_Seen], form: Form, tokens: int) -> int | None:
    """Number of the last call that is attention among the tokens of a layer of this form, where the
    first of them is the class token; None: there is none."""
    if not form.class_token:
        return None
    return next((at for at in range(len(seen) - 1, -1, -1) if seen[at].fits(tokens)), None)


def attention_map(call: _Seen, form: Form, size: Sequence[int]) -> Tensor:
    """[N, heads, h, w] for pictures of a size: what the class token pays to the patches."""
    rows, columns = (side // step for side, step in zip(size, form.steps, strict=True))
    paid = call.of_token(0)[:, :, form.prefix :]
    return paid.reshape(paid.shape[0], paid.shape[1], rows, columns)
