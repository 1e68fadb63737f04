"""How modules give feature maps: as [N, C, h, w], channels last, or as tokens of a transformer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pixpool.export.sizes import Size

Shape = Sequence[int]
# Names under which networks keep their class token; those with several append a number.
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
_MOST_PREFIX = 16  # tokens before those of the patches, where the model does not say how many


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What a model says of its tokens."""

    prefix: int | None  # before those of the patches; None: it does not say
    class_token: bool  # whether the first of them is the class token

    @staticmethod
    def of(model: nn.Module, path: str) -> Tokens:
        """Of the innermost module around `path` that says so, as timm's transformers do."""
        parts = path.split(".")
        for count in range(len(parts) - 1, -1, -1):
            around = model.get_submodule(".".join(parts[:count]))
            prefix = getattr(around, "num_prefix_tokens", None)
            if isinstance(prefix, int):
                own = getattr(around, "has_class_token", None)
                if not isinstance(own, bool):
                    own = getattr(around, "cls_token", None) is not None
                return Tokens(prefix, own)
        names = [name.rpartition(".")[2] for name, _ in model.named_parameters()]
        return Tokens(None, any(name.startswith(_CLASS_TOKENS) for name in names))


@dataclasses.dataclass(frozen=True)
class Form:
    """The form of a module's output, and what of it is the map [N, C, h, w]."""

    dims: str = "NCHW"  # or NHWC, or NTC: tokens
    prefix: int = 0  # tokens before those of the patches
    class_token: bool = False
    steps: Size = (1, 1)  # pixels between the patches of neighbouring tokens

    def map_of(self, output: Tensor, images: Tensor) -> Tensor:
        """The map of what the module gave for pictures [N, H, W, 3]. A view, and in a trace its
        sides follow the pictures'."""
        if self.dims == "NCHW":
            return output
        if self.dims == "NHWC":
            return output.permute(0, 3, 1, 2)
        # As the pictures' sides, so that a trace keeps the arithmetic and not its outcome.
        rows, columns = images.shape[1] // self.steps[0], images.shape[2] // self.steps[1]
        patches = output[:, self.prefix :] if self.prefix else output
        batch, channels = images.shape[0], output.shape[2]
        return patches.transpose(1, 2).reshape(batch, channels, rows, columns)

    def prefix_of(self, output: Tensor) -> Tensor:
        """The tokens before those of the patches: [N, prefix, C]."""
        return output[:, : self.prefix]

    def restore(self, made: Tensor, prefix: Tensor | None) -> Tensor:
        """What the module gave, from its map and tokens."""
        if self.dims == "NCHW":
            return made
        if self.dims == "NHWC":
            return made.permute(0, 2, 3, 1)
        patches = made.flatten(2).transpose(1, 2)
        return patches if prefix is None else torch.cat([prefix, patches], 1)

    def shape_of(self, shape: Shape, size: Size) -> tuple[int, ...]:
        """Shape of the map of an output of this shape for pictures of a size."""
        if self.dims == "NCHW":
            return tuple(shape)
        if self.dims == "NHWC":
            return (shape[0], shape[3], shape[1], shape[2])
        rows, columns = (side // step for side, step in zip(size, self.steps, strict=True))
        fits = rows * columns == shape[1] - self.prefix
        return (shape[0], shape[2], *((rows, columns) if fits else (0, 0)))


def form_of(shape: Shape, size: Size, tokens: Tokens) -> Form | None:
    """The form of an output of this shape for pictures of a size; None: no map is in it."""
    if len(shape) == 4:
        last = follows(shape[1:3], size) and not follows(shape[2:], size)
        return Form("NHWC") if last else Form()
    if len(shape) != 3:
        return None
    counts = range(_MOST_PREFIX + 1) if tokens.prefix is None else (tokens.prefix, 0)
    for prefix in counts:
        if steps := _steps(shape[1] - prefix, size):
            return Form("NTC", prefix, tokens.class_token and prefix > 0, steps)
    return None


def follows(sides: Shape, size: Size) -> bool:
    """Whether the sides of a map are about the picture's, in pixels of one size, and more than a
    cell."""
    (rows, columns), (height, width) = sides, size
    if min(rows, columns) < 2 or rows > height or columns > width:
        return False
    return abs(rows * width - columns * height) <= max(height, width)


def _steps(count: int, size: Size) -> Size | None:
    """Pixels a patch, as many on both sides, where pictures of this size have `count` patches."""
    if count < 4:
        return None
    height, width = size
    guess = max(round(math.sqrt(height * width / count)), 1)
    near = sorted(range(max(guess - 2, 1), guess + 3), key=lambda step: abs(step - guess))
    exact = [step for step in near if height % step == 0 and width % step == 0]
    for step in [*exact, *near]:
        if (height // step) * (width // step) == count:
            return step, step
    return None
