"""Regions of images, such as boxes that a detector found, and what becomes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._head_text import set_field
from pixpool._results import Box


@dataclasses.dataclass(frozen=True)
class Region:
    """A rectangle of a picture: right and bottom are just outside, and fractions count.

    left, top, right, bottom: in pixels of the picture as it is turned upright (`ImageResult.size`),
        or with `relative` in shares of its width and height, 0 to 1. The server refuses an image
        one of whose regions is not within it.
    region_id: any text, which the region's result then carries.
    """

    left: float
    top: float
    right: float
    bottom: float
    region_id: str = ""
    relative: bool = False

    def to_proto(self) -> pb.Region:
        """The region as a message. ValueError for edges that are no numbers."""
        try:
            left, top, right, bottom = map(float, (self.left, self.top, self.right, self.bottom))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the edges of a region must be numbers: {error}") from None
        return pb.Region(
            region_id=self.region_id,
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            relative=self.relative,
        )


# Four numbers are left, top, right and bottom in pixels.
RegionLike: TypeAlias = Region | Box | Sequence[SupportsFloat] | NDArray[Any] | pb.Region
# Several, such as an array [N, 4].
RegionsLike: TypeAlias = Sequence[RegionLike] | NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """What becomes of regions; None means the server's default.

    mode: "map": the network passes over the picture once, and of each layer's map what lies under a
        region is pooled; "crop": each region is a picture of its own, with a pass for each.
    pooling: "roi_align" or "roi_pool", as torchvision's operators; of "map", as all below.
    output_size: height and width of a region's map in cells, or one number for both, 1 to 64;
        default 7.
    sampling_ratio: samples along each axis of a cell, of "roi_align"; 0 to 16, and 0 takes as many
        as it has cells of the layer's map under it. aligned: as torchvision's; default true.
    include_image: whether the heads are applied to the whole picture as well.
    """

    mode: Literal["map", "crop"] | None = None
    pooling: Literal["roi_align", "roi_pool"] | None = None
    output_size: int | tuple[int, int] | None = None
    sampling_ratio: int | None = None
    aligned: bool | None = None
    include_image: bool = False

    def to_proto(self) -> pb.RegionOptions:
        """The options as a message. ValueError naming the field for what cannot be one."""
        options = pb.RegionOptions()
        size = self.output_size
        fields: dict[str, object] = {
            "mode": self.mode,
            "pooling": self.pooling,
            "sampling_ratio": self.sampling_ratio,
            "aligned": self.aligned,
            "include_image": self.include_image or None,
        }
        given = {name: [value] for name, value in fields.items() if value is not None}
        if size is not None:
            given["output_size"] = list(size) if isinstance(size, (tuple, list)) else [size]
        for name, values in given.items():
            try:
                set_field(options, name, values)
            except ValueError as error:
                raise ValueError(f"region option {name} must be {error}, not {values}") from None
        return options


def regions_to_proto(regions: RegionsLike) -> list[pb.Region]:
    """Regions in any form as messages. TypeError or ValueError for what is none."""
    if isinstance(regions, (Region, Box, pb.Region)):
        raise TypeError("regions must be a list of regions; put the one into a list")
    return [_to_proto(region) for region in regions]


def _to_proto(region: RegionLike) -> pb.Region:
    if isinstance(region, pb.Region):
        return region
    if isinstance(region, Region):
        return region.to_proto()
    if isinstance(region, Box):
        return Region(region.left, region.top, region.right, region.bottom).to_proto()
    if not isinstance(region, (Sequence, np.ndarray)) or isinstance(region, (str, bytes)):
        raise TypeError(
            "a region must be a pixpool.Region, a Box or four numbers (left, top, right, bottom),"
            f" not {type(region).__name__}"
        )
    if len(region) != 4:
        raise ValueError(
            f"a region has four edges, left, top, right and bottom, not {len(region)} numbers"
        )
    return Region(*region).to_proto()


def region_options_to_proto(
    options: RegionOptions | pb.RegionOptions | None,
) -> pb.RegionOptions | None:
    """Options in any form as a message; None: the server's defaults."""
    return options.to_proto() if isinstance(options, RegionOptions) else options
