"""The forms in which an image may be given, and how it becomes a message."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union, cast

import grpc
import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._display import clipped, shape_and_type
from pixpool._errors import PixpoolError
from pixpool._files import NotAFileError, open_file
from pixpool._pil import is_pil, pixels_or_file
from pixpool._regions import RegionsLike, regions_to_proto
from pixpool._room import Form, Room, lossless

if TYPE_CHECKING:
    import PIL.Image

# A path; the bytes of a whole encoded file; pixels; or a message.
#
# Arrays are uint8: [H, W, 3] in RGB order, [H, W] or [H, W, 1] for grey, or one axis for the bytes
# of an encoded file. PIL images keep what the server does with files: orientation, palettes, alpha,
# 16-bit samples.
ImageSource: TypeAlias = Union[
    str,
    "os.PathLike[str]",
    bytes,
    bytearray,
    memoryview,
    NDArray[np.uint8],
    "PIL.Image.Image",
    "Image",
    pb.Image,
]

# A protobuf message cannot be larger.
_MAX_BYTES = (1 << 31) - (1 << 20)


@dataclasses.dataclass(frozen=True)
class Image:
    """An image with a name of the caller's, which results and errors then carry, or with regions.

    source: any form of an image. name: any text; None: the source's own, as without this.
    regions: parts of the picture to which the heads are applied: `pixpool.Region`, or four numbers,
        left, top, right and bottom in pixels. Empty: those of the call, if it has any.
    """

    source: ImageSource
    name: str | None = None
    regions: RegionsLike = ()

    def __repr__(self) -> str:
        name = "" if self.name is None else f", {clipped(self.name)!r}"
        regions = f", {len(self.regions)} regions" if len(self.regions) else ""
        return f"Image({_described(self.source)}{name}{regions})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NotSent(Image):
    """Stands in the place of an image that is not sent; its result is this error, made for it."""

    error: PixpoolError


def _described(source: ImageSource) -> str:
    """What a source is, without its pixels or bytes."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"<{memoryview(source).nbytes} bytes>"
    if isinstance(source, np.ndarray):
        return f"<{shape_and_type(source)}>"
    if isinstance(source, pb.Image):
        return f"<message of {source.ByteSize()} bytes>"
    return clipped(repr(source))


def list_images(images: ImageSource | Iterable[ImageSource]) -> Iterable[ImageSource]:
    """Several images as they are; one image as a list of one. An array [N, H, W, 3] is several."""
    if isinstance(images, np.ndarray):
        return images if images.ndim == 4 else [images]
    single = (str, os.PathLike, bytes, bytearray, memoryview, Image, pb.Image)
    if isinstance(images, single) or is_pil(images):
        return [cast(ImageSource, images)]
    if not isinstance(images, Iterable):
        raise TypeError(
            "images must be paths, bytes, uint8 arrays, PIL images or an iterable of them, not"
            f" {type(images).__name__}"
        )
    return images


def image_name(source: ImageSource, index: int) -> str:
    """The caller's name of an image, its path, or "image 3" by its position."""
    if isinstance(source, Image):
        return image_name(source.source, index) if source.name is None else source.name
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, pb.Image) and source.image_id:
        return source.image_id
    return f"image {index}"


def own_regions(source: ImageSource) -> list[pb.Region]:
    """The regions that an image brings itself. TypeError or ValueError for what is none."""
    if isinstance(source, Image):
        return regions_to_proto(source.regions) or own_regions(source.source)
    return list(source.regions) if isinstance(source, pb.Image) else []


def image_to_proto(
    source: ImageSource, name: str, *, apply_exif: bool = True, room: Room | None = None
) -> pb.Image:
    """The message of an image; reads files.

    PixpoolError for an image that cannot be used, TypeError for what is none. apply_exif: whether
    PIL images are turned upright, as the server does with files. room: what the server takes;
    pixels that are more than that are sent as a file that holds the same. None: whatever it is.
    """
    if isinstance(source, NotSent):
        raise source.error
    if isinstance(source, Image):
        return image_to_proto(source.source, name, apply_exif=apply_exif, room=room)
    if isinstance(source, pb.Image):
        return source
    # image_id goes into the server's log; the server wants UTF-8, and logs like ASCII.
    image = pb.Image(image_id="".join(c if " " <= c <= "~" else "?" for c in name))
    if isinstance(source, (str, os.PathLike)):
        image.encoded = _read(Path(source), room)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image.encoded = _checked(bytes(source), room)
    elif isinstance(source, np.ndarray):
        _set_array(image, source, room)
    elif is_pil(source):
        _set_pil(image, source, apply_exif, room)
    else:
        raise TypeError(
            "an image must be a path, bytes, a uint8 array, a PIL image, pixpool.Image or an Image"
            f" message, not {type(source).__name__}"
        )
    return image


def _read(path: Path, room: Room | None) -> bytes:
    try:
        with open_file(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > _MAX_BYTES:
                raise _invalid(f"the file has {size} bytes; a message holds 2 GiB")
            return _checked(file.read(), room)
    except OSError as error:
        codes: dict[type[OSError], grpc.StatusCode] = {
            FileNotFoundError: grpc.StatusCode.NOT_FOUND,
            NotADirectoryError: grpc.StatusCode.NOT_FOUND,
            PermissionError: grpc.StatusCode.PERMISSION_DENIED,
            IsADirectoryError: grpc.StatusCode.INVALID_ARGUMENT,
            NotAFileError: grpc.StatusCode.INVALID_ARGUMENT,
        }
        code = codes.get(type(error), grpc.StatusCode.DATA_LOSS)
        raise PixpoolError(code, f"cannot read the file: {error.strerror or error}") from error
    except ValueError as error:  # a path with a zero byte
        raise PixpoolError(grpc.StatusCode.NOT_FOUND, f"cannot read the file: {error}") from error


def _checked(data: bytes, room: Room | None) -> bytes:
    if not data:
        raise _invalid("the image is empty: 0 bytes")
    if len(data) > _MAX_BYTES:
        raise _invalid(f"the image has {len(data)} bytes; a message holds 2 GiB")
    return room.check_file(data) if room is not None else data


def _set_array(image: pb.Image, array: NDArray[np.uint8], room: Room | None) -> None:
    if array.dtype != np.uint8:
        raise _invalid(
            f"an array of pixels must be uint8, 0 to 255, not {array.dtype}; scale and convert it"
        )
    if array.ndim == 1:
        image.encoded = _checked(array.tobytes(), room)
        return
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or array.size == 0:
        raise _invalid(
            "an array of pixels must be [H, W, 3] in RGB order, or [H, W] for grey, with both"
            f" sides at least 1, not {list(array.shape)}"
        )
    height, width, channels = array.shape
    size = height * width * 3
    if room is not None and (limits := room.limits_for(size)) is not None:
        image.encoded = room.smaller(limits, (width, height), size, _forms(array))
        return
    if channels == 1:
        array = np.repeat(array, 3, axis=2)
    image.raw.pixels = _checked(array.tobytes(), None)
    image.raw.height_px, image.raw.width_px = height, width


def _forms(array: NDArray[np.uint8]) -> list[Form]:
    """Of pixels, where Pillow is there to write them."""
    try:
        from PIL.Image import fromarray
    except ImportError:
        return []
    return list(lossless(fromarray(array[:, :, 0] if array.shape[2] == 1 else array)))


def _set_pil(
    image: pb.Image, picture: PIL.Image.Image, apply_exif: bool, room: Room | None
) -> None:
    try:
        found = pixels_or_file(picture, apply_exif, room)
    except (OSError, SyntaxError) as error:  # opened lazily, and damaged; or a mode PNG lacks
        raise _invalid(f"Pillow cannot give the pixels: {error}") from error
    except ValueError as error:
        raise _invalid(str(error)) from error
    if isinstance(found, bytes):
        image.encoded = _checked(found, None)
    else:
        _set_array(image, found, None)  # fits, or there would be a file


def _invalid(message: str) -> PixpoolError:
    return PixpoolError(grpc.StatusCode.INVALID_ARGUMENT, message)
