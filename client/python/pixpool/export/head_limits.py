"""What the parameters of a head may be, and what they are by default.

The classes of pixpool.heads say it, and nothing here repeats it: a sentence of a class's docstring
names the parameters, their range and their default, "levels: [1, 8], default 3."
"""

from __future__ import annotations

import dataclasses
import re

from pixpool import heads
from pixpool.export.errors import ExportError

_COMMON = {field.name for field in dataclasses.fields(heads.Head)}
_RANGE = re.compile(r"([\[(])([^\s,]+), ([^\s\])]+)([\])])")


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between `low` and `high`, which belong to it unless they are open."""

    low: float
    high: float
    low_open: bool
    high_open: bool

    def holds(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """range: None for names. most: how many values a list may have. default: as the grammar of
    heads has it; None where it depends on the map.
    """

    range: Range | None
    most: int | None
    default: str | None


def parameters_of(kind: str) -> dict[str, Parameter]:
    """The parameters of a kind of head by name, in the order of the API; not those of all heads."""
    cls = next(c for c in heads.Head.__subclasses__() if kind == c.KIND)
    own = [field.name for field in dataclasses.fields(cls) if field.name not in _COMMON]
    if own and cls.__doc__ is None:
        raise ExportError("the docstrings of pixpool.heads are needed: run Python without -OO")
    said: dict[str, str] = {}
    # A full stop ends a sentence, the point of a number does not.
    for sentence in re.split(r"\.(?:\s+|$)", " ".join((cls.__doc__ or "").split())):
        names, _, rest = sentence.partition(": ")
        said |= {name: rest for name in re.findall(r"\w+", names)}
    return {name: _read(said[name]) for name in own}


def _read(text: str) -> Parameter:
    """From `grid sides, [1, 32], at most 8, default 1, 2, 4` or `"avg" or "max" (default)`."""
    span = _RANGE.search(text)
    most = re.search(r"at most (\d+)", text)
    default = re.search(r'"(\w+)" \(default\)', text) or re.search(
        r"default (-?[\d.]+(?:e-?\d+)?(?:, \d+)*)$", text
    )
    return Parameter(
        Range(float(span[2]), float(span[3]), span[1] == "(", span[4] == ")") if span else None,
        int(most[1]) if most else None,
        default[1].replace(", ", "x") if default else None,
    )
