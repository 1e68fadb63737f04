"""The backbone as OpenVINO's IR: the graph of the TorchScript file, for OpenVINO's CPU plugin."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pixpool.export.errors import ExportError
from pixpool.export.padding import SameMaxPool2d, marked_same_convolutions
from pixpool.export.trunk import Trunk, trace

# Padding that no layer of a network has.
_MARKER = 97
# Computing in float32 must be asked for: newer processors would take bfloat16.
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}


def openvino_package() -> ModuleType | None:
    """The openvino package, or None where it is not installed."""
    try:
        return importlib.import_module("openvino")
    except ImportError:
        return None


def convert(trunk: Trunk, images: Tensor) -> Any:
    """A prepared trunk as an openvino.Model: uint8 [N, H, W, 3] of any N, H and W in, the trunk's
    outputs out, by their names. ExportError with the reason where OpenVINO cannot have it."""
    ov = openvino_package()
    if ov is None:
        raise ExportError("the package openvino is not installed")
    if any(isinstance(module, SameMaxPool2d) for module in trunk.modules()):
        raise ExportError("max pooling with SAME padding is not converted")
    # A trace of SAME padding is arithmetic on sizes, and branches: slow, and OpenVINO 2026.4 gets
    # it wrong. Its own SAME padding is neither.
    with marked_same_convolutions(trunk, _MARKER) as expected, torch.no_grad():
        graph = trace(trunk, images)
        try:
            shape = ov.PartialShape([-1, -1, -1, 3])
            model = ov.convert_model(graph, example_input=images, input=[shape])
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ExportError(f"OpenVINO cannot convert the graph: {reason}") from error
    found = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() not in ("Convolution", "GroupConvolution"):
            continue
        if list(node.get_attributes()["pads_begin"]) == [_MARKER, _MARKER]:
            node.set_attribute("pads_begin", [0, 0])
            node.set_attribute("pads_end", [0, 0])
            node.set_attribute("auto_pad", "same_upper")
            found += 1
    if found != expected:
        raise ExportError(f"of {expected} layers with SAME padding {found} came through")
    names = trunk.output_names()
    if len(model.outputs) != len(names):
        raise ExportError(f"OpenVINO gives {len(model.outputs)} outputs for {', '.join(names)}")
    model.validate_nodes_and_infer_types()
    set_names(model, names)
    return model


def set_names(model: Any, names: Sequence[str]) -> None:
    """Names input and outputs as the bundle's contract has them, and all nodes by their place."""
    # Names count what this process has made so far; the file shall be the same each time.
    model.set_friendly_name("backbone")
    for at, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{at}")
    for name, output in zip(names, model.outputs, strict=True):
        output.get_tensor().set_names({name})
    model.inputs[0].get_tensor().set_names({"images"})


def save(model: Any, path: Path) -> None:
    """Writes path (.xml) and the .bin beside it, without notes of when and where it was made."""
    import openvino as ov

    for key in list(model.rt_info):
        del model.rt_info[key]
    ov.save_model(model, str(path), compress_to_fp16=False)


class OpenVinoGraph:
    """An IR on the CPU with the calls of a TorchScript graph. `threads` 0: OpenVINO's choice."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        import openvino as ov

        config = {**FLOAT32, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        self._compiled = ov.Core().compile_model(str(path), "CPU", config)

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self._compiled(images.numpy())
        return tuple(torch.from_numpy(outputs[i].copy()) for i in range(len(outputs)))
