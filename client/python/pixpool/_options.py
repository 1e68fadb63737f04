"""How pictures become network input, as an object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from pixpool._api import pb
from pixpool._head_text import set_field


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How pictures become network input; None means the model's own recipe.

    Whatever changes pixels changes the space id. Ranges are the server's to check.

    resize: "shorter_side", "exact" or "none". crop: "center" or "none".
    input_size: height and width of the crop in pixels, or one number for both; 16 to the server's
        maximum input side.
    resize_size: length in pixels of the shorter side under "shorter_side".
    apply_exif: whether pictures are turned upright by what their EXIF or XMP says; default true.
    decode: "exact", or "scaled": JPEGs at 1/2, 1/4 or 1/8 where that keeps twice the wanted size;
        faster on large photographs, in a vector space of its own.
    background: red, green, blue under transparent pixels, 0 to 255; default: alpha is dropped.
    scales: sizes at which the picture is looked at, 0.1 to 4, at most 8; the vectors are summed.
    flip: whether each pass is repeated mirrored.
    damaged: image files that are damaged and can be read: "accept", for features with warnings, or
        "refuse", for an error; default: the server's, "accept" as a rule.
    """

    resize: Literal["shorter_side", "exact", "none"] | None = None
    crop: Literal["center", "none"] | None = None
    input_size: int | tuple[int, int] | None = None
    resize_size: int | None = None
    apply_exif: bool | None = None
    decode: Literal["exact", "scaled"] | None = None
    background: tuple[int, int, int] | None = None
    scales: Sequence[float] = ()
    flip: bool = False
    damaged: Literal["accept", "refuse"] | None = None

    def to_proto(self) -> pb.InputOptions:
        """The options as a message. ValueError naming the field for what cannot be one."""
        options = pb.InputOptions()
        size = self.input_size
        height, width = size if isinstance(size, (tuple, list)) else (size, None)
        fields = {
            "resize": self.resize,
            "crop": self.crop,
            "input_height_px": height,
            "input_width_px": width,
            "resize_size_px": self.resize_size,
            "apply_exif": self.apply_exif,
            "decode": self.decode,
            "damaged": self.damaged,
            "flip": self.flip or None,
        }
        for name, value in fields.items():
            if value is not None:
                _set(options, name, [value])
        if self.scales:
            _set(options, "scales", list(self.scales))
        if self.background is not None:
            options.background.SetInParent()
            for channel, value in zip(("red", "green", "blue"), self.background, strict=True):
                set_field(options.background, channel, [value])
        return options


def _set(options: pb.InputOptions, name: str, values: Sequence[object]) -> None:
    try:
        set_field(options, name, values)
    except ValueError as error:
        raise ValueError(f"input option {name} must be {error}, not {values}") from None


def options_to_proto(options: InputOptions | pb.InputOptions | None) -> pb.InputOptions:
    """Options in any form as a message; None: the model's recipe."""
    if options is None:
        return pb.InputOptions()
    return options.to_proto() if isinstance(options, InputOptions) else options
