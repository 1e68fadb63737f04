"""Reads a weights file into a model, without running code from it."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import pathlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pixpool.export.errors import ExportError, brief

# Where training scripts keep the state dict inside a checkpoint, in the order of preference: what
# was trained before its moving average.
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
)
_MOST_LISTED = 8
# What torch.compile puts into the names of the modules that it wraps.
_COMPILED = "_orig_mod."
# Plain data that training scripts save beside the weights; making them runs no code of a file.
_SCALAR = np.float64(0).__reduce__()[0]
_PLAIN: list[Any] = [
    argparse.Namespace,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    collections.Counter,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "bool")),
    # Older and newer versions of NumPy call it so.
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
]


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file, by their names in it."""

    path: Path
    state: dict[str, Tensor]
    remark: str  # which of its state dicts was taken, where it has a choice


@dataclasses.dataclass(frozen=True)
class Fit:
    """A file's tensors against a model's."""

    state: dict[str, Tensor]  # those that fit, by the model's names
    prefix: str  # what the file's names have in front of the model's
    missing: list[str]
    unknown: list[str]  # with the prefix, but not the model's
    others: list[str]  # without the prefix: what training kept beside the model
    shapes: list[tuple[str, list[int], list[int]]]  # name, of the file, of the model

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.unknown or self.shapes)

    def class_count(self, classifier: set[str]) -> int | None:
        """How many classes the model would have to have for the file to fit; 0: no classifier.
        None: that would not make it fit. `classifier` names the parameters of the model's."""
        if self.unknown:
            return None
        if not self.shapes:
            return 0 if self.missing and set(self.missing) == classifier else None
        counts = {(own[:1] and own[0], theirs[:1] and theirs[0]) for _, theirs, own in self.shapes}
        same_rest = all(theirs[1:] == own[1:] for _, theirs, own in self.shapes)
        has_weight = any(len(own) > 1 for _, _, own in self.shapes)
        if self.missing or len(counts) != 1 or not same_rest or not has_weight:
            return None
        ((_, count),) = counts
        return int(count) if count else None


def load_weights(model: nn.Module, path: Path, key: str | None = None) -> None:
    """Loads a file (`.pth`, `.pt`, `.safetensors`); every name must match."""
    load_fitting(model, read_weights(path, key))


def load_fitting(model: nn.Module, file: WeightsFile) -> Fit:
    """Loads a file that fits; refuses (ExportError) others with a list of what does not match."""
    fit = fit_weights(model, file)
    if not fit.is_whole:
        raise ExportError(_misfit(file.path, fit, len(model.state_dict())))
    model.load_state_dict(fit.state, strict=False)
    return fit


def fit_weights(model: nn.Module, file: WeightsFile) -> Fit:
    """Compares names and shapes. Wrappers of training (torch.compile, DataParallel, Lightning) put
    prefixes in front of the names; the one under which most names are the model's is taken off."""
    own = model.state_dict()
    state = {name.replace(_COMPILED, ""): value for name, value in file.state.items()}
    prefix = _prefix(state, own)
    inside = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    shared = [name for name in own if name in inside and isinstance(own[name], Tensor)]
    shapes = [
        (name, list(inside[name].shape), list(own[name].shape))
        for name in shared
        if inside[name].shape != own[name].shape
    ]
    # Older files do not count batches, which inference has no use for.
    missing = [n for n in own if n not in inside and not n.endswith(".num_batches_tracked")]
    misshapen = {name for name, _, _ in shapes}
    return Fit(
        state={name: inside[name] for name in shared if name not in misshapen},
        prefix=prefix,
        missing=missing,
        unknown=[name for name in inside if name not in own],
        others=[name for name in state if not name.startswith(prefix)],
        shapes=shapes,
    )


def read_weights(path: Path, key: str | None = None) -> WeightsFile:
    """The state dict of a file, taken out of a training script's checkpoint where it is in one.
    `key` names the entry of the checkpoint that holds it."""
    found: object = _read(path)
    if key is not None:
        if not isinstance(found, Mapping) or not isinstance(found.get(key), Mapping):
            entries = _state_dicts(found)
            raise ExportError(
                f"--weights-key {key}: {path} has no state dict of that name; it has"
                f" {', '.join(entries) or 'none by a name'}"
            )
        found = found[key]
    remark = f"'{key}' of it" if key else ""
    while not _is_state(found):
        entries = _state_dicts(found)
        if not entries:
            break
        assert isinstance(found, Mapping)
        taken = next((name for name in _WRAPPERS if name in entries), entries[0])
        rest = [name for name in entries if name != taken]
        remark = f"'{taken}' of it" + (
            f" (--weights-key takes another: {', '.join(rest)})" if rest and not key else ""
        )
        found = found[taken]
    if not isinstance(found, Mapping) or not _is_state(found):
        raise ExportError(
            f"{path} does not hold a state dict (names and tensors); save one with"
            " torch.save(model.state_dict(), FILE)"
        )
    state = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    return WeightsFile(path, state, remark)


def _is_state(value: object) -> bool:
    """Whether it maps names to tensors; a few plain values may be among them."""
    return (
        isinstance(value, Mapping)
        and all(isinstance(name, str) for name in value)
        and not any(isinstance(entry, Mapping) for entry in value.values())
        and any(isinstance(entry, Tensor) for entry in value.values())
    )


def _state_dicts(checkpoint: object) -> list[str]:
    """The entries of a checkpoint that are or hold state dicts, but for the optimiser's."""
    if not isinstance(checkpoint, Mapping):
        return []
    return [
        name
        for name, value in checkpoint.items()
        if isinstance(name, str)
        and (_is_state(value) or (name in _WRAPPERS and bool(_state_dicts(value))))
    ]


def _prefix(state: Mapping[str, Tensor], own: Mapping[str, Any]) -> str:
    """What to take off the file's names: of all beginnings, whole parts of a name, the one under
    which most names are the model's, the shortest among equals."""
    votes: collections.Counter[str] = collections.Counter()
    for name in state:
        parts = name.split(".")
        for at in range(len(parts)):
            if ".".join(parts[at:]) in own:
                votes["".join(f"{part}." for part in parts[:at])] += 1
    return min(votes, key=lambda prefix: (-votes[prefix], len(prefix)), default="")


def _read(path: Path) -> object:
    if not path.is_file():
        raise ExportError(f"weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        with torch.serialization.safe_globals(_PLAIN):
            return torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ExportError(
            f"{path} needs the package safetensors: pip install safetensors"
        ) from error
    except Exception as error:
        # torch's own advice is to run the file's code.
        held = re.search(r"Unsupported global: GLOBAL ([\w.]+)", str(error))
        what = f"it holds an object of {held[1]}" if held else brief(error)
        raise ExportError(
            f"weights file {path} cannot be read: {what}. Only plain state dicts are read, since"
            " making other objects would run code; save torch.save(model.state_dict(), FILE)"
        ) from error


def _misfit(path: Path, fit: Fit, count: int) -> str:
    lines = [
        f"{path} does not fit the model: of the model's {count} entries {len(fit.state)} match"
        + (f" (under the prefix '{fit.prefix}')" if fit.prefix else "")
    ]
    shapes = [f"{name} {theirs} for {own}" for name, theirs, own in fit.shapes]
    for what, names in (
        ("of another shape in the file", shapes),
        ("missing in the file", fit.missing),
        ("unknown to the model", fit.unknown),
    ):
        if names:
            more = len(names) - _MOST_LISTED
            listed = ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
            lines.append(f"  {len(names)} {what}: {listed}")
    lines.append("--model-args sets what the model is made with")
    return "\n".join(lines)
