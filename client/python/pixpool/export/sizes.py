"""Which sizes of its input a network takes, without PyTorch."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

# Besides a network's own size: wide, and odd on both sides. Batch, height, width.
_ANY = ((2, 160, 288), (3, 131, 97))
_GROWTH = 256  # pixels between two sizes that tell a stride
_PRIMES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79)
_MOST_PIXELS = 1 << 20  # of a picture that is only to show that its size is taken

Size = tuple[int, int]  # height, width


@dataclasses.dataclass(frozen=True)
class InputSizes:
    """`input.sizes` of the manifest. Without bounds every size is taken."""

    only: tuple[Size, ...] = ()  # empty: any
    multiple: int = 1  # both sides are multiples of it

    def takes(self, height: int, width: int) -> bool:
        if height % self.multiple or width % self.multiple:
            return False
        return not self.only or (height, width) in self.only

    def text(self) -> str:
        """For messages, height first: "224 x 224 pixels alone", "multiples of 32 pixels a side"."""
        if self.only:
            *most, last = [f"{height} x {width}" for height, width in self.only]
            return f"{', '.join(most)} or {last} pixels" if most else f"{last} pixels alone"
        if self.multiple > 1:
            return f"multiples of {self.multiple} pixels a side"
        return "any size"

    def batches(self) -> list[tuple[int, int, int]]:
        """The sizes that a graph is held to besides one picture of its own: batch, height, width.
        Of multiples those of no larger number."""
        if self.only:
            return [(2 + at % 2, *size) for at, size in enumerate(self.only)]
        if self.multiple == 1:
            return list(_ANY)
        high, wide = (self._near(side) for side in _ANY[0][1:])
        low, narrow = (self._near(side) for side in _ANY[1][1:])
        if wide == high:
            wide += self.multiple
        if low == narrow:
            low += self.multiple
        return [(2, high, wide), (3, low, narrow)]

    def larger(self, height: int, width: int) -> Size | None:
        """A size as much larger on both sides, which tells strides; None where there is none."""
        if self.only:
            return None
        growth = max(round(_GROWTH / self.multiple), 1) * self.multiple
        return height + growth, width + growth

    def smallest_sides(self, least: int) -> list[int]:
        """The sides of the smallest squares that may be taken; none where a size is given."""
        if self.only:
            return []
        steps = [least, 24, 32, 48, 64, 96] if self.multiple == 1 else range(1, 7)
        sides = [step if self.multiple == 1 else step * self.multiple for step in steps]
        return [side for side in sides if side >= least]

    def to_json(self) -> dict[str, Any] | None:
        if self.only:
            return {"only": [{"height": height, "width": width} for height, width in self.only]}
        return {"multiple": self.multiple} if self.multiple > 1 else None

    @staticmethod
    def from_json(fields: dict[str, Any] | None) -> InputSizes:
        fields = fields or {}
        only = tuple((size["height"], size["width"]) for size in fields.get("only", ()))
        return InputSizes(only, fields.get("multiple", 1))

    def _near(self, side: int) -> int:
        return self.multiple * min(_PRIMES, key=lambda prime: abs(prime * self.multiple - side))


def candidates(height: int, width: int) -> list[InputSizes]:
    """What a network that takes this size may take, the widest first: every size, the multiples of
    each number of which this size is one, itself alone."""
    common = math.gcd(height, width)
    multiples = [InputSizes(multiple=n) for n in range(2, common + 1) if common % n == 0]
    small = [
        sizes
        for sizes in multiples
        if all(high * wide <= _MOST_PIXELS for _, high, wide in sizes.batches())
    ]
    return [InputSizes(), *small, InputSizes(only=((height, width),))]
