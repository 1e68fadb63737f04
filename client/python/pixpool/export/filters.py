"""Trained convolution filters that a bundle stores for the head conv_pool."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixpool.export.errors import ExportError, brief
from pixpool.export.manifest import FilterEntry, LayerEntry
from pixpool.export.specs import MAX_WINDOW, FilterSpec
from pixpool.export.weights import read_weights


@dataclasses.dataclass
class Filter:
    """`weight` [output channels, channels / groups, h, w] and `bias` [output channels], float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None


def read_filter(path: Path) -> Filter:
    """Filter of a .npz (arrays weight and, if there is one, bias) or of a state dict file."""
    arrays = _read_npz(path) if path.suffix == ".npz" else _read_state(path)
    if "weight" not in arrays or not set(arrays) <= {"weight", "bias"}:
        raise ExportError(
            f"filter file {path} holds {', '.join(sorted(arrays)) or 'nothing'}; it must hold"
            " weight and perhaps bias, as the state dict of one torch.nn.Conv2d does"
        )
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ExportError(f"filter file {path}: {name} is {array.dtype}, not floating point")
        arrays[name] = array = np.ascontiguousarray(array, dtype="<f4")
        if not np.isfinite(array).all():
            raise ExportError(f"filter file {path}: {name} has values that are not finite")
    weight, bias = arrays["weight"], arrays.get("bias")
    if weight.ndim != 4 or weight.size == 0 or max(weight.shape[2:]) > MAX_WINDOW:
        raise ExportError(
            f"filter file {path}: weight is {list(weight.shape)}; it must be [output channels,"
            f" channels / groups, height, width] with height and width 1 to {MAX_WINDOW}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ExportError(
            f"filter file {path}: bias is {list(bias.shape)}; with this weight it must be"
            f" [{weight.shape[0]}]"
        )
    return Filter(weight, bias)


def write_filter(spec: FilterSpec, stored: Filter, layer: LayerEntry, folder: Path) -> FilterEntry:
    """Writes weight and bias; returns the entry of the manifest. `layer` is the manifest's own.

    Refuses (ExportError) a shape that no number of groups makes fit the layer's channels.
    """
    outputs, share, height, width = stored.weight.shape
    channels = layer["channels"]
    if channels % share or outputs % (channels // share):
        raise ExportError(
            f"--filter {spec.name}: weight is {list(stored.weight.shape)}, which does not fit the"
            f" {channels} channels of layer '{layer['name']}': its second number must be {channels}"
            f" divided by the groups (1 for a depthwise filter), its first a multiple of the groups"
        )
    entry: FilterEntry = {
        "name": spec.name,
        "layer": layer["name"],
        "kernel_size": [height, width],
        "stride": list(spec.stride or (height, width)),
        "groups": channels // share,
        "output_channels": outputs,
        "weight": f"filter.{spec.name}.weight.f32",
    }
    stored.weight.tofile(folder / entry["weight"])
    if stored.bias is not None:
        entry["bias"] = f"filter.{spec.name}.bias.f32"
        stored.bias.tofile(folder / entry["bias"])
    return entry


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ExportError(f"filter file {path} cannot be read: {brief(error)}") from error


def _read_state(path: Path) -> dict[str, NDArray[Any]]:
    return {
        # Through float32, since NumPy lacks bfloat16; integers stay what they are, to be refused.
        name: (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
        for name, tensor in read_weights(path).state.items()
    }
