"""Boxes of a picture, as a column of Parquet or a key of JSON holds them."""

from __future__ import annotations

import dataclasses
from typing import Any

import grpc

from pixpool._api import pb
from pixpool._errors import PixpoolError
from pixpool._images import Image, NotSent
from pixpool._regions import Region, regions_to_proto

_EDGES = ("left", "top", "right", "bottom")
FORMS = (
    "a list of boxes, each [left, top, right, bottom] in pixels, or with these names and, if"
    " wanted, region_id and relative"
)


def with_boxes(image: Image, boxes: Any) -> Image:
    """The image with these regions; where they are none, one that fails by itself and says so.

    boxes: as JSON and Arrow give them; None for no boxes.
    """
    try:
        regions = _regions(boxes)
    except (TypeError, ValueError) as error:
        refused = PixpoolError(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return NotSent(image.source, image.name, error=refused)
    return dataclasses.replace(image, regions=regions)


def _regions(boxes: Any) -> list[pb.Region]:
    """TypeError or ValueError for what is no list of boxes, naming the box at fault."""
    if boxes is None:
        return []
    if not isinstance(boxes, list) or any(isinstance(box, (int, float)) for box in boxes):
        raise TypeError(f"the boxes of a picture must be {FORMS}; they are {str(boxes)[:80]}")
    regions = []
    for number, box in enumerate(boxes):
        try:
            regions += regions_to_proto([_named(box) if isinstance(box, dict) else box])
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"regions[{number}]: {error}") from error
    return regions


def _named(box: dict[str, Any]) -> Region:
    """What else a box has, such as a score, is left alone."""
    if missing := [edge for edge in _EDGES if edge not in box]:
        raise ValueError(f"no {', '.join(missing)}; the box has {', '.join(box) or 'nothing'}")
    name, relative = box.get("region_id"), box.get("relative")
    if relative not in (None, False, True):
        raise ValueError(f"relative must be true or false, not {relative!r}")
    left, top, right, bottom = (box[edge] for edge in _EDGES)
    name = "" if name is None else str(name)
    return Region(left, top, right, bottom, name, bool(relative))


def may_hold_boxes(kind: Any) -> bool:
    """Whether values of an Arrow type can be the boxes of pictures."""
    from pyarrow import types

    def is_list(one: Any) -> bool:
        return bool(types.is_list(one) or types.is_large_list(one) or types.is_fixed_size_list(one))

    if types.is_null(kind):
        return True
    if not is_list(kind):
        return False
    box = kind.value_type
    if types.is_struct(box):
        return set(_EDGES) <= {box.field(i).name for i in range(box.num_fields)}
    return bool(types.is_null(box)) or is_list(box)
