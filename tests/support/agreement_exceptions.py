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


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


# What libtiff says of directories, and of strips and tiles that they do not describe well.
DIRECTORY = re.compile(
    r"Incompatible type|Incorrect (count|value)|Sanity check on size|IO error during reading"
    r"|Failed to read directory|missing required|Bad value|Invalid (strip|tile) byte count"
    r"|Cannot handle zero|Not enough data for scanline|Read error on strip|it has no palette"
    r"|out of range|it is truncated|truncated|Not a TIFF file|Cannot handle different values"
)


def tiff_directory_refused(ours: Any, theirs: Any, data: bytes) -> bool:
    return is_tiff(data) and theirs.read and not ours.read and bool(DIRECTORY.search(ours.message))


def tiff_directory_read(ours: Any, theirs: Any, data: bytes) -> bool:
    return is_tiff(data) and ours.read and not theirs.read


def tiff_variant(ours: Any, theirs: Any, data: bytes) -> bool:
    return is_tiff(data) and theirs.read and ours.reason == "IMAGE_UNSUPPORTED_FORMAT"


def fax(ours: Any, theirs: Any, data: bytes) -> bool:
    coded = re.search(rb"\x03\x01\x03\x00\x01\x00\x00\x00[\x02-\x04]\x00", data)
    return is_tiff(data) and theirs.read and coded is not None


def strips_and_tiles(ours: Any, theirs: Any, data: bytes) -> bool:
    """A directory with the offsets of both."""
    tags = (b"\x11\x01", b"\x44\x01") if data[:1] == b"I" else (b"\x01\x11", b"\x01\x44")
    return is_tiff(data) and theirs.read and ours.read and all(tag in data for tag in tags)


def last_rows(ours: Any, theirs: Any, data: bytes) -> bool:
    failed = re.search("Decoding of .* failed", theirs.message)
    return ours.read and is_avif(data) and failed is not None


def exif_place(ours: Any, theirs: Any, data: bytes) -> bool:
    return ours.read and is_avif(data) and "Exif" in theirs.message


def boxes(ours: Any, theirs: Any, data: bytes) -> bool:
    refused = re.search("cannot identify|Not implemented|division by zero", theirs.message)
    return ours.read and is_avif(data) and refused is not None


def contradiction(ours: Any, theirs: Any, data: bytes) -> bool:
    other_size = "has another size" in ours.message
    # Grey by its data and not by its boxes: Pillow lacks pixels then.
    too_few = ours.read and "image file is truncated" in theirs.message
    return is_avif(data) and (too_few or (theirs.read and (ours.read or other_size)))


def is_avif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and b"avi" in data[8:40]


def is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:11] in (b"hei", b"hev", b"mif", b"msf")


def refused_heic(ours: Any, theirs: Any, data: bytes) -> bool:
    return is_heic(data) and theirs.read and not ours.read


def heic_coverage(ours: Any, theirs: Any, data: bytes) -> bool:
    return refused_heic(ours, theirs, data) and "ends before the picture" in ours.message


def heic_tile(ours: Any, theirs: Any, data: bytes) -> bool:
    broken = re.search("truncated|compressed data is damaged|no picture|has no data", ours.message)
    return refused_heic(ours, theirs, data) and b"dimg" in data and broken is not None


def heic_size(ours: Any, theirs: Any, data: bytes) -> bool:
    return refused_heic(ours, theirs, data) and "states no size" in ours.message


def heic_boxes_refused(ours: Any, theirs: Any, data: bytes) -> bool:
    named = re.search(
        r"boxes are damaged|new kind|is missing|lacks a part|another size|has no properties"
        r"|neither coded|not coded as HEVC|grid of tiles|several sizes|other samples|its own"
        r"|other numbers of bits|no parameters|lacks tiles|parts of other data|turned or cut"
        r"|has no data|colours of this kind|do not cover|more than|odd sides|is cut at",
        ours.message,
    )
    return refused_heic(ours, theirs, data) and named is not None


def heic_boxes_read(ours: Any, theirs: Any, data: bytes) -> bool:
    return is_heic(data) and ours.read and not theirs.read


def heic_data(ours: Any, theirs: Any, data: bytes) -> bool:
    return is_heic(data) and ours.read and theirs.read and "data" in ours.damages


EXCEPTIONS: dict[str, Callable[[Any, Any, bytes], bool]] = {
    "JPEGs with all of their rows and without an end marker: we read them, with a warning; Pillow"
    " wants more bytes than the last row needs, and calls them truncated": end_marker,
    "JPEGs coded by arithmetic or without loss: formats that we do not take, by name": other_coding,
    "progressive JPEGs that lack scans: libjpeg-turbo before 3.0.1, such as Debian 12's, rounds"
    " otherwise where it smooths blocks between which coefficients are missing": smoothing,
    "JPEGs whose last bytes begin another frame header in place of the end marker: libjpeg-turbo"
    " before 3.0.4 wants all of it before it calls it wrong": second_frame,
    "TIFF of kinds that we do not take, by name": tiff_variant,
    "TIFF with damaged fax data: libtiff 4.5, Debian 12's, and Pillow's 4.7 go on elsewhere": fax,
    "TIFF with a damaged directory: libtiff refuses fields that Pillow's own reader passes"
    " over": tiff_directory_refused,
    "TIFF with a damaged directory: Pillow's own reader stumbles over fields that libtiff passes"
    " over": tiff_directory_read,
    "TIFF with strips and tiles: libtiff reads the ones and Pillow the others": strips_and_tiles,
    "AVIFs whose data ends early within the last rows of a tile: dav1d before 1.4.0, such as Debian"
    " 12's, looks only before the next 64 rows or 128": last_rows,
    "AVIFs whose EXIF data is not where its own header says: we go by the boxes and read them;"
    " libavif from 1.0 on calls the file invalid": exif_place,
    "AVIFs with a wrong box that libavif before 1.0 does not look at, or animations without a unit"
    " of time: we read the picture": boxes,
    "AVIFs whose boxes contradict the data, about size or colours: libavif before 1.0 believes the"
    " other side, and what is not of the header's size we refuse": contradiction,
    "HEICs whose data does not cover the picture: we refuse them; libheif shows"
    " zeros": heic_coverage,
    "HEICs with a tile that is missing or broken: we refuse them; libheif leaves it out": heic_tile,
    "HEICs that state no size: we refuse them; libheif takes that of the data": heic_size,
    "HEICs with damaged boxes, by which libheif comes to a picture and we do not": (
        heic_boxes_refused
    ),
    "HEICs with damage that is none of the picture's: in boxes that libheif wants right and we do"
    " not look at, or that crashes it": heic_boxes_read,
    "HEICs with damaged data, with a warning: libde265 1.0, Debian 12's, and pillow-heif's 1.1 go"
    " on elsewhere": heic_data,
}
