"""Which input of an ONNX file takes the pictures, how it lays them out, and which outputs follow
from it alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pixpool.export.errors import ExportError
from pixpool.export.onnx.flow import WEIGHTED, Flow, sources

# ImageNet's usual side, for a network that has no size of its own.
SIDE = 224


@dataclasses.dataclass(frozen=True)
class PictureInput:
    """How a file takes pictures."""

    name: str
    channels_first: bool  # [N, 3, H, W], else [N, H, W, 3]
    sides: tuple[int, int, int]  # batch, height, width; 0: open
    pixels: bool  # uint8, which the file normalises itself

    def shape(self, count: int, height: int, width: int) -> list[int]:
        """The network's own input for pictures of a size; -1 for one that is open."""
        return [count, 3, height, width] if self.channels_first else [count, height, width, 3]

    def partial_shape(self) -> Any:
        """The network's own input as the file has it, with three channels."""
        import openvino as ov

        count, height, width = (side or -1 for side in self.sides)
        return ov.PartialShape(self.shape(count, height, width))

    def text(self) -> str:
        layout = "[N, 3, H, W]" if self.channels_first else "[N, H, W, 3]"
        kind = " uint8" if self.pixels else ""
        return f"{layout}{kind} of {' x '.join(str(side or 'any') for side in self.sides)}"


def choose_outputs(model: Any, path: Path, input_name: str | None, output_name: str | None) -> Any:
    """The part of the model that makes outputs from pictures alone: a model of one input. Refuses
    (ExportError) names that it does not have, and where no output needs one input alone."""
    taken = model.get_parameters()
    if not taken:
        raise ExportError(f"{path} has 0 inputs (none); a bundle's network takes pictures")
    chosen = _input(taken, path, input_name)
    kept = _outputs(model, path, output_name)
    needs = [(result, _needed(result, taken)) for result in kept]
    own = _name_of(chosen)
    alone = [result for result, needed in needs if set(needed) <= {own}]
    if not any(needed == [own] for _, needed in needs):
        first, needed = next(((r, n) for r, n in needs if n), needs[0])
        others = [name for name in needed if name != own]
        raise _not_alone(path, first, others, own, len(kept))
    if len(alone) == len(model.get_results()) and len(taken) == 1:
        return model
    import openvino as ov

    return ov.Model(alone, [chosen])


def picture_input(model: Any, path: Path) -> PictureInput:
    """How the only input of a model takes pictures; refuses (ExportError) what are none. Channels
    that the file leaves open are settled by what its first weights take."""
    (taken,) = model.inputs
    name = taken.get_any_name()
    shape, kind = taken.get_partial_shape(), taken.get_element_type().get_type_name()
    if shape.rank.is_dynamic or len(shape) != 4:
        raise ExportError(
            f"{path}: input '{name}' is {shape}; pictures are [N, 3, H, W] or [N, H, W, 3]"
        )
    if kind not in ("f32", "u8"):
        raise ExportError(
            f"{path}: input '{name}' is {kind}; export the model in float32, since normalised"
            " pictures are, or in float16, or with uint8 pixels as input"
        )
    sides = _lengths(shape)
    layouts = [first for first in (True, False) if sides[1 if first else 3] in (0, 3)]
    settled = [first for first in layouts if sides[1 if first else 3] == 3]
    fitting = settled or [first for first in layouts if _fits(model, sides, first)]
    if not fitting:
        raise ExportError(
            f"{path}: input '{name}' is {shape}{_first_weights(model)}; it must have 3 channels"
            " (red, green, blue), as [N, 3, H, W] or [N, H, W, 3]"
        )
    first = fitting[0]
    height, width = sides[2:] if first else sides[1:3]
    return PictureInput(name, first, (sides[0], height, width), kind == "u8")


def _input(taken: list[Any], path: Path, wanted: str | None) -> Any:
    names = [_name_of(parameter) for parameter in taken]
    listed = ", ".join(f"'{name}'" for name in names)
    if wanted is not None:
        for parameter in taken:
            if wanted in parameter.output(0).get_names():
                return parameter
        raise ExportError(f"--onnx-input: {path} has no input '{wanted}'; it has {listed}")
    if len(taken) == 1:
        return taken[0]
    pictures = [parameter for parameter in taken if _may_be_pictures(parameter)]
    if len(pictures) == 1:
        return pictures[0]
    shapes = ", ".join(
        f"'{name}' {parameter.output(0).get_partial_shape()}"
        for name, parameter in zip(names, taken, strict=True)
    )
    if not pictures:
        raise ExportError(
            f"{path} has {len(taken)} inputs ({shapes}), none of which takes pictures, [N, 3, H, W]"
            " or [N, H, W, 3]"
        )
    raise ExportError(
        f"{path} has {len(taken)} inputs ({shapes}), of which {len(pictures)} may take pictures;"
        " --onnx-input names the one that does"
    )


def _may_be_pictures(parameter: Any) -> bool:
    shape = parameter.output(0).get_partial_shape()
    kind = parameter.output(0).get_element_type().get_type_name()
    if kind not in ("f32", "u8") or shape.rank.is_dynamic or len(shape) != 4:
        return False
    sides = _lengths(shape)
    return 3 in (sides[1], sides[3]) or 0 in (sides[1], sides[3])


def _outputs(model: Any, path: Path, wanted: str | None) -> list[Any]:
    results = list(model.get_results())
    if wanted is None:
        return results
    for result in results:
        if wanted in result.input_value(0).get_names():
            return [result]
    listed = ", ".join(f"'{output_name_of(result)}'" for result in results)
    raise ExportError(f"--onnx-output: {path} has no output '{wanted}'; it has {listed}")


def output_name_of(result: Any) -> str:
    return str(next(iter(sorted(result.input_value(0).get_names())), result.get_friendly_name()))


def _name_of(parameter: Any) -> str:
    return str(parameter.output(0).get_any_name())


def _needed(result: Any, taken: list[Any]) -> list[str]:
    """The inputs that an output is made from, in the file's order."""
    seen, waiting = set(), [result]
    while waiting:
        node = waiting.pop()
        for source in sources(node):
            if source.get_name() not in seen:
                seen.add(source.get_name())
                waiting.append(source)
    return [_name_of(parameter) for parameter in taken if parameter.get_name() in seen]


def _not_alone(path: Path, result: Any, others: list[str], picture: str, count: int) -> ExportError:
    which = f"output '{output_name_of(result)}'"
    if count > 1:
        which = f"each of its {count} outputs, {which} among them,"
    if not others:
        return ExportError(f"{path}: {which} does not depend on input '{picture}'")
    listed = ", ".join(f"'{name}'" for name in others)
    return ExportError(
        f"{path}: {which} needs {listed} besides the pictures of input '{picture}'; a bundle's"
        " network takes pictures alone. Export the file with constants in their place, or choose an"
        " output that needs none of them with --onnx-output"
    )


def _lengths(shape: Any) -> list[int]:
    """Of the dimensions, 0 for one that is open."""
    return [0 if side.is_dynamic else side.get_length() for side in shape]


def _fits(model: Any, sides: list[int], channels_first: bool) -> bool:
    """Whether the first weights take pictures that are laid out so."""
    import openvino as ov

    clone = model.clone()
    first = _first_weighted(clone)
    if first is None:
        return True
    shape = [side or SIDE for side in sides]
    shape[0], shape[1 if channels_first else 3] = sides[0] or 1, 3
    try:
        ov.Model([first.output(0)], clone.get_parameters()).reshape(shape)
    except RuntimeError:
        return False
    return True


def _first_weighted(model: Any) -> Any:
    return next((node for node in Flow(model).nodes if node.get_type_name() in WEIGHTED), None)


def _first_weights(model: Any) -> str:
    """How many channels the first convolution takes, as part of a sentence."""
    first = _first_weighted(model)
    if first is None or first.get_type_name() != "Convolution":
        return ""
    channels = first.input_value(1).get_partial_shape()[1]
    if channels.is_dynamic:
        return ""
    return f", and the first convolution after it takes {channels.get_length()} channels"
