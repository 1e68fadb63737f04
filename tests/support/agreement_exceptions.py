"""Where our decoders part from Pillow, each with its reason. The first that applies counts.

docs/pictures.md says the same to users.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


def end_marker(ours: Any, theirs: Any, data: bytes) -> bool:
    return data[:2] == b"\xff\xd8" and "no_end" in ours.damages and "truncated" in theirs.message


def other_coding(ours: Any, theirs: Any, data: bytes) -> bool:
    named = ("lossless", "arithmetic-coded")
    return ours.reason == "IMAGE_UNSUPPORTED_FORMAT" and ours.message.startswith(named)


def smoothing(ours: Any, theirs: Any, data: bytes) -> bool:
    return ours.read and theirs.read and data[:2] == b"\xff\xd8" and b"\xff\xc2" in data


def second_frame(ours: Any, theirs: Any, data: bytes) -> bool:
    cut = re.search(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf].?\Z", data, re.DOTALL)
    return data[:2] == b"\xff\xd8" and "no_end" in ours.damages and cut is not None


EXCEPTIONS: dict[str, Callable[[Any, Any, bytes], bool]] = {
    "JPEGs with all of their rows and without an end marker: we read them, with a warning; Pillow"
    " wants more bytes than the last row needs, and calls them truncated": end_marker,
    "JPEGs coded by arithmetic or without loss: formats that we do not take, by name": other_coding,
    "progressive JPEGs that lack scans: libjpeg-turbo before 3.0.1, such as Debian 12's, rounds"
    " otherwise where it smooths blocks between which coefficients are missing": smoothing,
    "JPEGs whose last bytes begin another frame header in place of the end marker: libjpeg-turbo"
    " before 3.0.4 wants all of it before it calls it wrong": second_frame,
}
