"""The forms in which an image may be given, and how it becomes a message."""

from __future__ import annotations

import dataclasses
import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

import grpc
import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._display import clipped, shape_and_type
from pixpool._errors import PixpoolError

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
    """An image with a name of the caller's, which results and errors then carry.

    source: any form of an image. name: any text.
    """

    source: ImageSource
    name: str

    def __repr__(self) -> str:
        return f"Image({_described(self.source)}, {clipped(self.name)!r})"


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
    if isinstance(images, single) or _is_pil(images):
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
        return source.name
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, pb.Image) and source.image_id:
        return source.image_id
    return f"image {index}"


def image_to_proto(source: ImageSource, name: str, *, apply_exif: bool = True) -> pb.Image:
    """The message of an image; reads files.

    PixpoolError for an image that cannot be used, TypeError for what is none. apply_exif: whether
    PIL images are turned upright, as the server does with files.
    """
    if isinstance(source, Image):
        return image_to_proto(source.source, name, apply_exif=apply_exif)
    if isinstance(source, pb.Image):
        return source
    # image_id goes into the server's log; the server wants UTF-8, and logs like ASCII.
    image = pb.Image(image_id="".join(c if " " <= c <= "~" else "?" for c in name))
    if isinstance(source, (str, os.PathLike)):
        image.encoded = _read(Path(source))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image.encoded = _checked(bytes(source))
    elif isinstance(source, np.ndarray):
        _set_array(image, source)
    elif _is_pil(source):
        _set_pil(image, source, apply_exif)
    else:
        raise TypeError(
            "an image must be a path, bytes, a uint8 array, a PIL image, pixpool.Image or an Image"
            f" message, not {type(source).__name__}"
        )
    return image


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _invalid(f"the file has {path.stat().st_size} bytes; a message holds 2 GiB")
        return _checked(path.read_bytes())
    except OSError as error:
        codes: dict[type[OSError], grpc.StatusCode] = {
            FileNotFoundError: grpc.StatusCode.NOT_FOUND,
            NotADirectoryError: grpc.StatusCode.NOT_FOUND,
            PermissionError: grpc.StatusCode.PERMISSION_DENIED,
            IsADirectoryError: grpc.StatusCode.INVALID_ARGUMENT,
        }
        code = codes.get(type(error), grpc.StatusCode.DATA_LOSS)
        raise PixpoolError(code, f"cannot read the file: {error.strerror or error}") from error
    except ValueError as error:  # a path with a zero byte
        raise PixpoolError(grpc.StatusCode.NOT_FOUND, f"cannot read the file: {error}") from error


def _checked(data: bytes) -> bytes:
    if not data:
        raise _invalid("the image is empty: 0 bytes")
    if len(data) > _MAX_BYTES:
        raise _invalid(f"the image has {len(data)} bytes; a message holds 2 GiB")
    return data


def _set_array(image: pb.Image, array: NDArray[np.uint8]) -> None:
    if array.dtype != np.uint8:
        raise _invalid(
            f"an array of pixels must be uint8, 0 to 255, not {array.dtype}; scale and convert it"
        )
    if array.ndim == 1:
        image.encoded = _checked(array.tobytes())
        return
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or array.size == 0:
        raise _invalid(
            "an array of pixels must be [H, W, 3] in RGB order, or [H, W] for grey, with both"
            f" sides at least 1, not {list(array.shape)}"
        )
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    image.raw.pixels = _checked(array.tobytes())
    image.raw.height_px, image.raw.width_px = array.shape[:2]


def _is_pil(source: object) -> bool:
    # Only who has imported PIL can have such an image.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def _set_pil(image: pb.Image, picture: Any, apply_exif: bool) -> None:
    from PIL import ImageOps

    try:
        if apply_exif:
            picture = ImageOps.exif_transpose(picture)
        if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            picture = picture.convert("RGB")
        if picture.mode in ("RGB", "L"):
            _set_array(image, np.asarray(picture))
            return
        # Palettes, alpha and 16-bit samples are the server's to resolve, as it does in files.
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1)
        image.encoded = _checked(file.getvalue())
    except (OSError, SyntaxError) as error:  # opened lazily, and damaged; or a mode PNG lacks
        raise _invalid(f"Pillow cannot give the pixels: {error}") from error


def _invalid(message: str) -> PixpoolError:
    return PixpoolError(grpc.StatusCode.INVALID_ARGUMENT, message)
