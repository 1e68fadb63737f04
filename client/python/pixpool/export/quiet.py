"""Silences the warnings that TorchScript gives by design, and only those."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from torch.jit import TracerWarning  # type: ignore[attr-defined]


@contextlib.contextmanager
def quiet_jit() -> Iterator[None]:
    """TorchScript is deprecated in PyTorch's Python API, yet it is what LibTorch loads; a trace
    warns where Python values look constant, which the exporter checks itself, at several sizes. It
    also asks for every property of a module, deprecated ones of transformers among them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", message="`is_gradient_ch", category=FutureWarning)
        yield
