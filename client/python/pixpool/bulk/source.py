"""What a job reads its images from.

A source has a fixed number of images in a fixed order, so that a part of it means the same images
in every run; its identity (a JSON object) tells whether it has changed.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

from pixpool._images import Image
from pixpool.bulk.folders import LeftOut


class Source(abc.ABC):
    """Images by position.

    left_out: what the search for them left out. has_boxes: whether images bring regions, though
    single ones may have none.
    """

    left_out = LeftOut()
    has_boxes = False

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """What differs where the images may differ."""

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> Iterator[Image]:
        """The images from position `start` to before `stop`, named by their ids."""
