"""The input recipe: how a picture becomes network input."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from pixpool.export.errors import ExportError
from pixpool.export.sizes import InputSizes

RESIZE_MODES = ("shorter_side", "exact", "none")
CROP_MODES = ("center", "none")
INTERPOLATIONS = ("bilinear", "bicubic")
COLORS = ("rgb", "grey")
MIN_SIDE = 16

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """`input` of the manifest. Mean and standard deviation are on the 0 to 255 scale."""

    resize: str = "shorter_side"
    resize_size: int = 256
    interpolation: str = "bilinear"
    crop: str = "center"
    height: int = 224
    width: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    # Both sides after the resize "exact"; None: those of the input. Larger ones are for a crop.
    resize_height: int | None = None
    resize_width: int | None = None
    # "grey": the network takes one channel, the luma of the picture (Pillow's convert("L")).
    color: str = "rgb"
    # What the network takes; found by the export, never given.
    sizes: InputSizes = InputSizes()

    def validate(self) -> None:
        """Refuses what the server does not know. Not done at once, since the user may replace
        what the model's origin says."""
        _require(self.resize in RESIZE_MODES, "resize", self.resize, "|".join(RESIZE_MODES))
        _require(self.crop in CROP_MODES, "crop", self.crop, "|".join(CROP_MODES))
        _require(
            self.interpolation in INTERPOLATIONS,
            "interpolation",
            self.interpolation,
            "|".join(INTERPOLATIONS) + " (the server knows no other)",
        )
        for field in ("resize_size", "resize_height", "resize_width"):
            length = getattr(self, field)
            _require(length is None or length >= 1, field, length, "at least 1")
        for field in ("height", "width"):
            side = getattr(self, field)
            _require(side >= MIN_SIDE, f"input {field}", side, f"at least {MIN_SIDE}")
        for field in ("mean", "std"):
            values = getattr(self, field)
            _require(
                len(values) == 3 and all(math.isfinite(v) for v in values),
                field,
                values,
                "three finite numbers, red green blue, on the 0 to 255 scale",
            )
        _require(min(self.std) > 0, "std", self.std, "above 0")
        _require(self.color in COLORS, "color", self.color, "|".join(COLORS))
        if self.color == "grey" and (len({*self.mean}), len({*self.std})) != (1, 1):
            raise ExportError(
                f"--grey: a network of one channel has one mean and one std, not {self.mean} and"
                f" {self.std}; give them with --mean and --std, on the 0 to 255 scale"
            )

    @staticmethod
    def from_json(fields: dict[str, Any]) -> Recipe:
        made = {
            "mean": tuple(fields["mean"]),
            "std": tuple(fields["std"]),
            "sizes": InputSizes.from_json(fields.get("sizes")),
        }
        return Recipe(**{**fields, **made})

    def to_json(self) -> dict[str, Any]:
        made = {"mean": list(self.mean), "std": list(self.std), "sizes": self.sizes.to_json()}
        recipe = {**dataclasses.asdict(self), **made}
        if self.color == "rgb":
            del recipe["color"]  # as bundles were written before there was another
        return {key: value for key, value in recipe.items() if value is not None}

    @property
    def channels(self) -> int:
        """That the network takes; what the server gives has three, of a grey one the same."""
        return 1 if self.color == "grey" else 3

    def gives_one_size(self) -> bool:
        """Whether every picture becomes one of the recipe's height and width."""
        return self.crop == "center" or self.resize == "exact"


def apply_changes(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """The recipe with the user's changes. A new input size alone scales what it is resized to with
    it; a resize that is asked for by name has no sizes of its own, unless it is "exact" and comes
    with one, which is then that of both sides."""
    changed = dataclasses.replace(recipe, **changes)
    if "resize" in changes:
        side = changes.get("resize_size") if changes["resize"] == "exact" else None
        changed = dataclasses.replace(changed, resize_height=side, resize_width=side)
    else:
        changed = _scaled(changed, recipe)
    if "resize_size" not in changes:
        scale = max(changed.height / recipe.height, changed.width / recipe.width)
        changed = dataclasses.replace(changed, resize_size=max(int(recipe.resize_size * scale), 1))
    changed.validate()
    return changed


def _scaled(changed: Recipe, recipe: Recipe) -> Recipe:
    """With both sides after the resize grown as those of the input are."""
    if changed.resize_height is not None:
        length = max(changed.resize_height * changed.height // recipe.height, 1)
        changed = dataclasses.replace(changed, resize_height=length)
    if changed.resize_width is not None:
        length = max(changed.resize_width * changed.width // recipe.width, 1)
        changed = dataclasses.replace(changed, resize_width=length)
    return changed


def _require(condition: bool, field: str, value: object, wanted: str) -> None:
    if not condition:
        raise ExportError(f"{field} is {value}; it must be {wanted}")
