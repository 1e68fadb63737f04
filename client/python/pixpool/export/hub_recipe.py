"""The input recipe of a Hugging Face preprocessor's file: the pixels of its image processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixpool.export.errors import ExportError
from pixpool.export.recipe import Recipe

# Pillow's numbers of the filters, which the file has; the server knows those of its recipes.
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
# Steps that are part of a recipe, or that the server takes anyway: its pictures are RGB.
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
# ConvNeXt's processor crops nothing from this side on.
_WARPED_FROM = 384


def hub_recipe(fields: Mapping[str, Any], kind: str, own: tuple[int, int], where: str) -> Recipe:
    """Of the fields of a preprocessor's file, with what its class has by default for those that it
    lacks. `kind` is the class's name up to "ImageProcessor", `own` the network's height and width,
    `where` is said in refusals (ExportError), of what the server's recipes cannot do."""
    return _Preprocessor(fields, kind, own, where).recipe()


class _Preprocessor:
    def __init__(
        self, fields: Mapping[str, Any], kind: str, own: tuple[int, int], where: str
    ) -> None:
        self._fields, self._kind, self._own, self._where = fields, kind, own, where

    def recipe(self) -> Recipe:
        for name, value in self._fields.items():
            other = name.startswith("do_") and name not in _STEPS
            if value is True and (other or name in ("rescale_offset", "offset")):
                raise self._refusal(
                    name, "true", "the server resizes, crops the centre, scales and normalises"
                )
        mean, std = self._normalisation()
        common: dict[str, Any] = {"mean": mean, "std": std}
        if self._on("do_resize"):
            common["interpolation"] = self._filter()
        if self._kind == "ConvNext":
            return Recipe(**self._convnext(), **common)
        return Recipe(**self._geometry(), **common)

    def _geometry(self) -> dict[str, Any]:
        resized: dict[str, Any] = {"resize": "none"}
        sides: tuple[int, int] | None = None
        if self._on("do_resize"):
            resized, sides = self._resized()
        if self._on("do_center_crop"):
            crop = self._sides("crop_size")
            taken = sides or (resized.get("resize_size", 0),) * 2
            if resized["resize"] != "none" and (crop[0] > taken[0] or crop[1] > taken[1]):
                raise self._refusal(
                    "crop_size",
                    f"{crop[0]} x {crop[1]}",
                    f"it must be at most {taken[0]} x {taken[1]}, the size that is resized to",
                )
            if sides and sides != crop:
                resized |= {"resize_height": sides[0], "resize_width": sides[1]}
            # Where nothing is left to crop the picture is its own centre.
            kept = "none" if sides == crop else "center"
            return {**resized, "crop": kept, "height": crop[0], "width": crop[1]}
        height, width = sides or self._own
        return {**resized, "crop": "none", "height": height, "width": width}

    def _resized(self) -> tuple[dict[str, Any], tuple[int, int] | None]:
        """How the recipe resizes, and both sides where they are always the same."""
        size = self._size("size", square=bool(self._fields.get("default_to_square", True)))
        if set(size) == {"height", "width"}:
            sides = (size["height"], size["width"])
            return {"resize": "exact", "resize_size": min(sides)}, sides
        if set(size) == {"shortest_edge"}:
            return {"resize": "shorter_side", "resize_size": size["shortest_edge"]}, None
        raise self._refusal(
            "size",
            size,
            "the server resizes the shorter side (shortest_edge) or both (height and width)",
        )

    def _convnext(self) -> dict[str, Any]:
        """Its processor crops the centre of what it resizes to a little more, by `crop_pct`; large
        pictures it makes square."""
        if not self._on("do_resize") or self._on("do_center_crop"):
            return self._geometry()
        size = self._size("size", square=False)
        if set(size) != {"shortest_edge"}:
            raise self._refusal("size", size, "this processor knows shortest_edge alone")
        side = size["shortest_edge"]
        square = {"height": side, "width": side}
        if side >= _WARPED_FROM:
            return {"resize": "exact", "resize_size": side, "crop": "none", **square}
        share = self._number("crop_pct")
        return {
            "resize": "shorter_side",
            "resize_size": int(side / share),
            "crop": "center",
            **square,
        }

    def _normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation on the 0 to 255 scale."""
        factor = self._number("rescale_factor") if self._on("do_rescale") else 1.0
        mean: tuple[float, ...] = (0.0,) * 3
        std: tuple[float, ...] = (1.0,) * 3
        if self._on("do_normalize"):
            mean, std = self._triple("image_mean"), self._triple("image_std")
        # Through float32's 7 digits: 0.485 * 255 is 123.675, not 123.67499999999998.
        scaled = [tuple(float(f"{v / factor:.7g}") for v in values) for values in (mean, std)]
        return scaled[0], scaled[1]

    def _filter(self) -> str:
        """By name; whether the server knows it is seen when the user's changes are made."""
        value = self._needed("resample")
        known = isinstance(value, int) and 0 <= value < len(_FILTERS)
        return _FILTERS[value] if known else str(value).lower()

    def _sides(self, field: str) -> tuple[int, int]:
        size = self._size(field, square=True)
        if set(size) != {"height", "width"}:
            raise self._refusal(field, size, "it must have height and width")
        return size["height"], size["width"]

    def _size(self, field: str, square: bool) -> dict[str, int]:
        """A size by the names of its sides; older files have one number."""
        value = self._needed(field)
        if isinstance(value, int):
            value = {"height": value, "width": value} if square else {"shortest_edge": value}
        elif isinstance(value, (list, tuple)) and len(value) == 2:
            value = {"height": value[0], "width": value[1]}
        size = {k: v for k, v in dict(value).items() if v is not None} if _is_map(value) else {}
        if not size or not all(isinstance(side, int) and side > 0 for side in size.values()):
            raise self._refusal(field, value, "it must have sides of at least 1 pixel")
        return size

    def _triple(self, field: str) -> tuple[float, ...]:
        value = self._needed(field)
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
        if len(values) != 3 or not all(isinstance(v, (int, float)) for v in values):
            raise self._refusal(field, value, "it must be three numbers: red, green and blue")
        return tuple(float(v) for v in values)

    def _number(self, field: str) -> float:
        value = self._needed(field)
        if not isinstance(value, (int, float)) or not value > 0:
            raise self._refusal(field, value, "it must be a number above 0")
        return float(value)

    def _on(self, field: str) -> bool:
        return bool(self._fields.get(field))

    def _needed(self, field: str) -> Any:
        value = self._fields.get(field)
        if value is None:
            raise ExportError(f"{self._where} does not say '{field}'")
        return value

    def _refusal(self, field: str, value: object, why: str) -> ExportError:
        return ExportError(f"{self._where}: '{field}' is {value}; {why}")


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)
