"""The backbone as AOTInductor packages: torch.export's graph, compiled to machine code (.pt2)."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import logging
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from pixpool.export.errors import ExportError, brief
from pixpool.export.fold_pads import fold_pads
from pixpool.export.manifest import EngineEntry
from pixpool.export.padding import exported_same_padding, same_layers
from pixpool.export.recipe import MIN_SIDE
from pixpool.export.trunk import Trunk

# AVX2, which every x86 server of the last ten years has. The compiled code is padding and
# normalisation; convolutions are LibTorch's own and take what the CPU has.
INSTRUCTION_SET = "x86-64-v3"
_MAX_SIDE = 16_384
_MULTIPLES = (2, 4, 8, 16, 32, 64)
_T = TypeVar("_T")
# What a package gives for pictures: its outputs.
_Package = Callable[[Tensor], Sequence[Tensor]]


class _Opaque(nn.Module):
    """A trunk that torch.export sees as one function: a trunk leaves its model's forward by an
    exception, which loses the exporter's place in the tree of modules."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self._held = (trunk,)  # not a module of this one

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self._held[0](images)
        return outputs


def write_packages(trunk: Trunk, folder: Path, device: str) -> EngineEntry:
    """Compiles a prepared trunk for `device` and gives the manifest's entry.

    backbone.DEVICE.pt2 takes pictures of any size from `min_side` up. Where SAME padding depends on
    the size, backbone.DEVICE.aligned.pt2 has it folded into the convolutions and takes multiples
    only.
    """
    _check_machine(device)
    if device != "cpu":
        trunk = copy.deepcopy(trunk).to(device)
    stride = _deepest_stride(trunk, device)
    min_side, program = _export_any(trunk, stride, device)
    name = f"backbone.{device}.pt2"
    _compile(program, folder / name, device)
    entry: EngineEntry = {
        "engine": "aotinductor",
        "precision": "float32",
        "path": name,
        "device": device,
        "min_side": min_side,
    }
    if device == "cpu":
        entry["instruction_set"] = INSTRUCTION_SET
    multiple = _multiple(trunk, device)
    if multiple:
        smallest = -(-min_side // multiple) * multiple
        program = _export(trunk, smallest, multiple, device)
        fold_pads(program.graph)
        program.graph_module.recompile()
        aligned = f"backbone.{device}.aligned.pt2"
        _compile(program, folder / aligned, device)
        entry["aligned"] = {"path": aligned, "multiple": multiple}
    return entry


class AotInductorGraph:
    """Written packages with the calls of a TorchScript graph."""

    def __init__(self, folder: Path, entry: EngineEntry) -> None:
        self._device = entry["device"]
        self._any = _load(folder / entry["path"])
        aligned = entry.get("aligned")
        self._multiple = aligned["multiple"] if aligned else 0
        self._aligned = _load(folder / aligned["path"]) if aligned else None

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        sides = images.shape[1:3]
        graph = self._any
        if self._aligned is not None and not any(side % self._multiple for side in sides):
            graph = self._aligned
        if self._device == "cpu":
            return tuple(graph(images))
        # cuDNN rounds to TF32 unless told otherwise, which would hide what the graph itself does.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return tuple(m.cpu() for m in graph(images.to(self._device)))


def _check_machine(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise ExportError(
            "this PyTorch sees no CUDA device, and a package is compiled on the kind of device that"
            " will run it"
        )
    if device == "cpu" and platform.machine() != "x86_64":
        raise ExportError(f"packages for the CPU are made on x86_64, not {platform.machine()}")
    from torch._inductor import config

    compilers = [c for c in config.cpp.cxx if c]
    if not any(shutil.which(c) for c in compilers):
        raise ExportError(f"it needs a C++ compiler: there is no {' or '.join(compilers)}")


@torch.no_grad()
def _deepest_stride(trunk: Trunk, device: str) -> int:
    side = 256
    outputs = trunk(torch.zeros(1, side, side, 3, dtype=torch.uint8, device=device))
    maps = outputs[: len(trunk.map_names())]
    return max(-(-side // int(min(m.shape[2:]))) for m in maps)


def _export_any(trunk: Trunk, stride: int, device: str) -> tuple[int, ExportedProgram]:
    """The graph for any size, and the smallest side: torch.export wants maps of two cells or more,
    and how many pixels those take depends on the model's padding."""
    sides = sorted({max(MIN_SIDE, side) for side in (stride + 1, 2 * stride, 3 * stride)})
    for side in sides[:-1]:
        with contextlib.suppress(torch._dynamo.exc.UserError):
            return side, _export(trunk, side, 1, device)
    return sides[-1], _wrapped(lambda: _export(trunk, sides[-1], 1, device))


def _export(trunk: Trunk, min_side: int, multiple: int, device: str) -> ExportedProgram:
    from torch.fx.experimental import _config

    def side(name: str) -> Any:
        dim = torch.export.Dim(name, min=min_side // multiple, max=_MAX_SIDE // multiple)
        return dim if multiple == 1 else multiple * dim

    unit = max(multiple, 32)
    # Not 1, which would be taken for a constant, nor equal, which would be taken for one number.
    images = torch.zeros(2, 5 * unit, 9 * unit, 3, dtype=torch.uint8, device=device)
    sizes = {0: torch.export.Dim("batch", min=1), 1: side("height"), 2: side("width")}
    with (
        exported_same_padding(trunk, exact=multiple > 1),
        torch.no_grad(),
        # Sizes of 0 and 1 follow the rules of others, or a batch of 1 would be another graph.
        _config.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
    ):
        return torch.export.export(_Opaque(trunk), (images,), dynamic_shapes=(sizes,), strict=False)


@torch.no_grad()
def _multiple(trunk: Trunk, device: str) -> int:
    """The number whose multiples, as sides of the input, are multiples of the stride at every
    SAME-padded layer; 0 where there is no such layer or number."""
    layers = same_layers(trunk)
    if not layers:
        return 0
    seen: list[bool] = []

    def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        steps = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,) * 2
        seen.append(not any(s % step for s, step in zip(inputs[0].shape[2:], steps, strict=True)))

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        for multiple in _MULTIPLES:
            seen.clear()
            side = -(-64 // multiple) * multiple
            trunk(torch.zeros(1, side, side + multiple, 3, dtype=torch.uint8, device=device))
            if all(seen):
                return multiple
    finally:
        for handle in handles:
            handle.remove()
    return 0


def _compile(program: ExportedProgram, path: Path, device: str) -> None:
    from torch._inductor import aoti_compile_and_package

    settings: dict[str, Any] = {
        "freezing": True,
        # The server has libtorch loaded; the exporter's paths do not belong in a package.
        "aot_inductor.link_libtorch": False,
        # Threads are the server's to choose, not those of the moment of export.
        "cpp.dynamic_threads": True,
    }
    if device == "cpu":
        settings |= {
            "cpp.march": INSTRUCTION_SET,
            "cpp.simdlen": 256,
            # The probe of the compiler links libtorch, which is turned off above.
            "cpp.vec_isa_ok": True,
        }
    with torch.no_grad():  # or nothing is frozen: no batch norm goes into its convolution
        _wrapped(
            lambda: aoti_compile_and_package(
                program, package_path=str(path), inductor_configs=settings
            )
        )


def _wrapped(step: Callable[[], _T]) -> _T:
    try:
        return step()
    except Exception as error:
        raise ExportError(f"AOTInductor cannot have the graph: {brief(error)}") from error


def _load(path: Path) -> _Package:
    # Python loads libtorch for itself alone, the packages look for it among what all may use.
    ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"), ctypes.RTLD_GLOBAL)
    with _quiet("torch.export.pt2_archive._package"):  # that the CPU has more than the package uses
        package: _Package = torch._inductor.aoti_load_package(str(path))
    return package


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
