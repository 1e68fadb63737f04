"""Reads a weights file into a model, without running code from it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pixpool.export.errors import ExportError, brief

# Where training scripts keep the state dict inside a checkpoint.
_WRAPPERS = ("state_dict", "model_state_dict", "state_dict_ema", "model")


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads a state dict (`.pth`, `.pt`, `.safetensors`); every name must match."""
    state = read_state_dict(path)
    if state and all(name.startswith("module.") for name in state):  # of DataParallel
        state = {name.removeprefix("module."): value for name, value in state.items()}
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        shapes = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
        raise ExportError(
            f"{path} does not fit the model: {(shapes or [brief(error)])[0]}"
        ) from error
    if missing or unexpected:
        raise ExportError(
            f"{path} does not fit the model: {len(missing)} names missing ({_some(missing)}),"
            f" {len(unexpected)} unknown ({_some(unexpected)})"
        )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, taken out of a training script's checkpoint where it is in one."""
    state = _read(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ExportError(
            f"{path} does not hold a state dict (names and tensors); save one with"
            " torch.save(model.state_dict(), FILE)"
        )
    return state


def _read(path: Path) -> object:
    if not path.is_file():
        raise ExportError(f"weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ExportError(
            f"{path} needs the package safetensors: pip install safetensors"
        ) from error
    except Exception as error:
        raise ExportError(
            f"weights file {path} cannot be read: {brief(error)}. Only plain"
            " state dicts are read: a pickled model would run code"
        ) from error


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
