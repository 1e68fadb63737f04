"""The value of an argument that was not given, where None is a value of its own."""

from __future__ import annotations

import enum
from typing import Final


class NotGiven(enum.Enum):
    """The type of `NOT_GIVEN`, for functions of yours that hand such an argument on.

    They declare it as the clients do: `timeout: float | None | NotGiven = NOT_GIVEN`.
    """

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
