"""PIL images: which are sent as pixels, and which as files, so that they mean what files mean."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixpool._files import begins_as_picture, open_file
from pixpool._room import Form, Room, lossless, png

# What other modes become. Premultiplied alpha is undone, as everything expects plain alpha.
_CONVERSIONS = {
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
    "RGBX": "RGB",
    "PA": "RGBA",
    "RGBa": "RGBA",
    "La": "LA",
}
# Numbers of which nobody but the caller knows what is black and what is white.
_ADVICE = {
    "I": 'for 16 bits .convert("I;16"); for others scale them to 0 to 255 and send them as a uint8'
    " array",
    "F": "scale them to 0 to 255, round them, and send them as a uint8 array",
}


def is_pil(source: object) -> bool:
    # Only who has imported PIL can have such an image.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def pixels_or_file(picture: Any, apply_exif: bool, room: Room | None) -> NDArray[np.uint8] | bytes:
    """What is sent of a PIL image: its pixels, [H, W, 3] or [H, W], or a file that holds them.

    ValueError for a mode without a meaning as a picture; OSError or SyntaxError where Pillow cannot
    give the pixels; PixpoolError where they are too many.
    """
    from PIL import ImageOps

    if picture.mode in _ADVICE:
        raise ValueError(
            f"a PIL image of mode {picture.mode} holds numbers of no known range:"
            f" {_ADVICE[picture.mode]}"
        )
    upright = ImageOps.exif_transpose(picture) if apply_exif else picture
    mode = _CONVERSIONS.get(upright.mode)
    sent = upright.convert(mode) if mode else upright
    forms: list[Form] = [("its own file", lambda: _own_file(picture, upright, apply_exif))]
    raw = sent.width * sent.height * 3
    if sent.mode in ("RGB", "L"):
        if room is None or (limits := room.limits_for(raw)) is None:
            return np.asarray(sent)
    else:
        # Palettes, alpha and 16-bit samples are the server's to resolve, as it does in files.
        data = png(sent)
        if room is None or (limits := room.limits_for(len(data))) is None:
            return data
    return room.smaller(limits, sent.size, raw, [*forms, *lossless(sent)])


def _own_file(picture: Any, upright: Any, apply_exif: bool) -> bytes | None:
    """The file that a picture was opened from, if it still holds exactly these pixels."""
    import PIL.Image
    from PIL import ImageOps

    path = getattr(picture, "filename", None)
    if not path or not isinstance(path, str):
        return None
    try:
        with open_file(path) as file:
            data = file.read()
        if not begins_as_picture(data):
            return None
        with PIL.Image.open(io.BytesIO(data)) as again:
            turned = ImageOps.exif_transpose(again) if apply_exif else again
            same = turned.mode == upright.mode and turned.size == upright.size
            return data if same and turned.tobytes() == upright.tobytes() else None
    except (OSError, SyntaxError, ValueError):
        return None  # gone, or another file by now
