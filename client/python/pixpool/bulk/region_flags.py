"""Flags of regions, named as those of `pixpool extract` (client/cli/region_flags.cc)."""

from __future__ import annotations

import argparse
import math

from pixpool._regions import Region, RegionOptions


def add_region_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("regions")
    group.add_argument(
        "--box-column",
        default="",
        metavar="NAME",
        help="column of Parquet, or key of JSON lines, of the boxes of each image: lists of [left,"
        " top, right, bottom] in pixels of it upright. Rows are then of boxes in place of images",
    )
    group.add_argument(
        "--box",
        action="append",
        type=_box,
        default=[],
        metavar="L,T,R,B",
        help="region of every image that has none of its own: left, top, right and bottom in"
        " pixels, or with %% in shares, such as 0%%,0%%,50%%,100%%; repeatable",
    )
    group.add_argument(
        "--box-mode",
        choices=("map", "crop"),
        help="map: one pass over the picture, whose map is pooled under each box; crop: a pass for"
        " each box, as if it had been cut out and sent; default: map",
    )
    group.add_argument(
        "--box-pooling",
        choices=("roi_align", "roi_pool"),
        help="how a map is pooled under a box; default: roi_align",
    )
    group.add_argument(
        "--box-size",
        type=size,
        metavar="HxW",
        help="cells of a box's map, or N for both sides; default: 7",
    )
    group.add_argument(
        "--box-sampling-ratio",
        type=int,
        metavar="N",
        help="of roi_align, samples along each axis of a cell; default: 0, as many as it has cells"
        " of the layer's map under it",
    )
    group.add_argument(
        "--box-unaligned",
        action="store_true",
        help="of roi_align: do not move boxes by half a cell (torchvision's aligned=False)",
    )
    group.add_argument(
        "--with-picture",
        action="store_true",
        help="rows of whole pictures as well; with --box-mode crop",
    )


def region_options(args: argparse.Namespace) -> RegionOptions:
    return RegionOptions(
        mode=args.box_mode,
        pooling=args.box_pooling,
        output_size=args.box_size,
        sampling_ratio=args.box_sampling_ratio,
        aligned=False if args.box_unaligned else None,
        include_image=args.with_picture,
    )


def size(text: str) -> tuple[int, int]:
    """Height and width of "HxW", or of "N" for both."""
    height, _, width = text.lower().partition("x")
    return int(height), int(width or height)


def _box(text: str) -> Region:
    parts = text.split(",")
    shares = [part.endswith("%") for part in parts]
    try:
        left, top, right, bottom = (float(part.removesuffix("%")) for part in parts)
        if any(shares) != all(shares) or not all(map(math.isfinite, (left, top, right, bottom))):
            raise ValueError(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be left,top,right,bottom, such as 10,20,110,220 in pixels or 0%,0%,50%,100%, not"
            f" {text}"
        ) from None
    if all(shares):
        return Region(left / 100, top / 100, right / 100, bottom / 100, relative=True)
    return Region(left, top, right, bottom)
