"""The one exception that the exporter raises on purpose."""

from __future__ import annotations

import re


class ExportError(Exception):
    """A bundle cannot be made; the message says why and what to do."""


def refuse_channels(error: BaseException) -> None:
    """Refuses (ExportError) a model that fails because it takes other pictures than those of three
    channels; whatever else is the matter is left to the caller."""
    wants = re.search(r"to have (\d+) channels?, but got 3 channels", str(error))
    if wants is None:
        return
    if wants[1] == "1":
        raise ExportError(
            "the model takes pictures of 1 channel; --grey exports it for grey ones, with --mean"
            " and --std of one number each"
        ) from error
    raise ExportError(
        f"the model takes pictures of {wants[1]} channels; a bundle's network takes three (red,"
        " green and blue) or with --grey one"
    ) from error


def brief(error: BaseException) -> str:
    """First line of an error's text, for use inside a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
