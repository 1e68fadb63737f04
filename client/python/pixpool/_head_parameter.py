"""What a parameter of a head may be, as data."""

from __future__ import annotations

import dataclasses


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
    """range: None for what is no number. most: how many values a list may have, None for two.
    default: as the grammar of heads has it; None where there is none or it depends on the map.
    """

    range: Range | None
    most: int | None
    default: str | None
