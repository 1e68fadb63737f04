"""The order in which a stream gives its results."""

from __future__ import annotations

from pixpool._results import ImageResult


class ResultOrder:
    """Holds results until it is their turn; without `ordered` that is at once.

    total: images in all, once the source has ended.
    """

    def __init__(self, ordered: bool) -> None:
        self.total: int | None = None
        self._ordered = ordered
        self._held: dict[int, ImageResult] = {}
        self._given = 0

    @property
    def complete(self) -> bool:
        """Whether the source has ended and every result was taken."""
        return self.total is not None and self._given >= self.total

    def add(self, result: ImageResult) -> None:
        """Takes in a result; what `take` then gives must be taken before the next is added."""
        self._held[result.index if self._ordered else self._given] = result

    def take(self) -> ImageResult | None:
        """The next result, or None if it is not there yet."""
        result = self._held.pop(self._given, None)
        if result is not None:
            self._given += 1
        return result
