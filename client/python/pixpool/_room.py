"""How large an image may be, and forms of it that are smaller and have the same pixels."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from pixpool._errors import PixpoolError
from pixpool._models import Limits

# Up to here an image is sent without asking what the server takes. Below what any server is set to
# in practice, and so much that the question costs nothing beside the image.
_ASK_ABOVE_BYTES = 1 << 20

# A form's name for people, and its bytes; None where there is no such form.
Form = tuple[str, Callable[[], bytes | None]]


@dataclasses.dataclass(frozen=True)
class Room:
    """What the server takes.

    ask: gives the server's limits, or None where it does not say; blocks. around: bytes of the
    request beside the image.
    """

    ask: Callable[[], Limits | None]
    around: int

    def limits_for(self, size: int) -> Limits | None:
        """The limits where `size` bytes are more than a message holds; None where they fit."""
        if size <= _ASK_ABOVE_BYTES or (limits := self.ask()) is None:
            return None
        return limits if size > self.message(limits) else None

    def message(self, limits: Limits) -> int:
        """Bytes that an image may have in a message."""
        return limits.max_message_bytes - self.around

    def check_file(self, data: bytes) -> bytes:
        """The bytes of a file if a message holds them, else PixpoolError."""
        if (limits := self.limits_for(len(data))) is not None:
            raise _too_large(
                f"the image file has {len(data):,} bytes, and {_message_limit(limits)}. Send a"
                " smaller file, or start the server with a higher limit"
            )
        return data

    def smaller(self, limits: Limits, size: tuple[int, int], raw: int, forms: list[Form]) -> bytes:
        """The first of the forms that the server takes; all have the same pixels.

        size: width and height. raw: bytes as pixels. PixpoolError where none is small enough.
        """
        width, height = size
        if 0 < limits.max_image_pixels < width * height:
            raise _too_large(
                f"the image has {width:,} x {height:,} pixels, over the server's limit of"
                f" {limits.max_image_pixels:,} (--max-image-pixels). Make it smaller first, or"
                " start the server with a higher limit"
            )
        most = min(limits.max_image_bytes or self.message(limits), self.message(limits))
        tried = []
        for name, make in forms:
            if (data := make()) is not None:
                if len(data) <= most:
                    return data
                tried.append(f"{len(data):,} as {name}")
        raise _too_large(
            f"the image of {width:,} x {height:,} pixels is too large to be sent:"
            f" {' and '.join([f'{raw:,} bytes as pixels', *tried])}, while"
            f" {_message_limit(limits)} and image files of at most {limits.max_image_bytes:,}"
            " (--max-image-bytes). Send the file that it came from, by its path or as its bytes;"
            " or make it smaller first, which changes its features; or start the server with"
            f" higher limits{'' if tried else '; with Pillow installed it is sent as PNG'}"
        )


def lossless(picture: Any) -> Iterator[Form]:
    """Files of a PIL image that hold its pixels exactly."""
    yield "PNG", lambda: png(picture, compress_level=6)
    if picture.mode in ("RGB", "RGBA") and max(picture.size) < 1 << 14:
        yield "lossless WebP", lambda: _webp(picture)


def png(picture: Any, compress_level: int = 1) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=compress_level)
    return file.getvalue()


def _webp(picture: Any) -> bytes | None:
    from PIL import features

    if not features.check("webp"):
        return None
    file = io.BytesIO()
    # exact: the colours under transparent pixels stay, since alpha may be dropped.
    picture.save(file, "WEBP", lossless=True, exact=True, quality=50, method=2)
    return file.getvalue()


def _message_limit(limits: Limits) -> str:
    return (
        f"the server takes messages of at most {limits.max_message_bytes:,} bytes"
        " (--max-message-bytes)"
    )


def _too_large(message: str) -> PixpoolError:
    return PixpoolError(grpc.StatusCode.INVALID_ARGUMENT, message, reason="LIMIT_EXCEEDED")
