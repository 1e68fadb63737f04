"""Names a vector head with its parameters, as `--pca` and the manifest do."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixpool.export import heads
from pixpool.export.errors import ExportError

# Reads a parameter; ValueError says what it must be.
_Parser = Callable[[str], Any]


@dataclasses.dataclass(frozen=True)
class _Range:
    """Numbers that the API allows for a parameter."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    def check(self, value: Any) -> Any:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        if not (above and below):
            left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
            raise ValueError(f"within {left}{self.low:g}, {self.high:g}{right}")
        return value


def _number(span: _Range) -> _Parser:
    # Rounded as it travels in a request: float32, in its shortest decimal.
    return lambda text: span.check(float(str(np.float32(_convert(float, text, "a number")))))


def _integer(span: _Range) -> _Parser:
    return lambda text: span.check(_convert(int, text, "a whole number"))


def _sides(span: _Range, most: int) -> _Parser:
    def parse(text: str) -> list[int]:
        sides = [_integer(span)(part) for part in text.split("x")]
        if len(sides) > most:
            raise ValueError(f"at most {most} numbers")
        return sides

    return parse


def _choice(*names: str) -> _Parser:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(" or ".join(names))
        return text

    return parse


def _convert(cast: Callable[[str], Any], text: str, what: str) -> Any:
    try:
        return cast(text)
    except ValueError:
        raise ValueError(what) from None


_TO_100 = _number(_Range(0, 100, low_open=True))
# Kind -> parameters; the defaults are those of the functions in heads.py.
_PARAMETERS: dict[str, dict[str, _Parser]] = {
    "global_avg": {},
    "global_max": {},
    "avg_max": {},
    "cat_avg_max": {},
    "gem": {"p": _TO_100, "eps": _number(_Range(0, 1, low_open=True))},
    "lse": {"r": _number(_Range(0, 1000, low_open=True))},
    "lp": {"p": _number(_Range(1, 100))},
    "rmac": {"levels": _integer(_Range(1, 8)), "overlap": _number(_Range(0, 1, high_open=True))},
    "crow": {"a": _TO_100, "b": _TO_100},
    "spoc": {"sigma": _number(_Range(0, 10_000, low_open=True))},
    "scda": {},
    "spatial_pyramid": {"levels": _sides(_Range(1, 32), most=8), "pooling": _choice("max", "avg")},
}


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """A vector head. `parameters` holds all that have a value, defaults included."""

    kind: str
    parameters: dict[str, Any]

    @staticmethod
    def parse(text: str) -> HeadSpec:
        """`kind` or `kind:name=value:name=value`; lists as 1x2x4."""
        kind, *parts = text.split(":")
        known = _PARAMETERS.get(kind)
        if known is None:
            raise ExportError(
                f"head '{kind}' is not known or gives no vector; take one of"
                f" {', '.join(_PARAMETERS)}"
            )
        parameters = {
            name: list(p.default) if isinstance(p.default, tuple) else p.default
            for name, p in inspect.signature(getattr(heads, kind)).parameters.items()
            if name in known and p.default is not None
        }
        for part in parts:
            name, equals, value = part.partition("=")
            if not equals or name not in known:
                raise ExportError(
                    f"head '{text}': '{part}' is no parameter of {kind} (it has:"
                    f" {', '.join(known) or 'none'}); write kind:name=value:name=value"
                )
            try:
                parameters[name] = known[name](value)
            except ValueError as error:
                raise ExportError(
                    f"head '{text}': {name} is '{value}'; it must be {error}"
                ) from error
        return HeadSpec(kind, parameters)

    @torch.no_grad()
    def __call__(self, maps: Tensor) -> Tensor:
        """Vectors of feature maps [N, C, H, W]: float32 [N, D], computed in double precision."""
        vectors: Tensor = getattr(heads, self.kind)(maps.double(), **self.parameters)
        return vectors.float()
