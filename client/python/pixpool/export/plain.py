"""Has models run as a trace can keep: as they are written, and without decisions in Python."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Within, nn.MultiheadAttention and nn.TransformerEncoderLayer compute as they are written, and
    not by fused operators, which other engines do not know."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def traced_sizes() -> Iterator[None]:
    """Within, timm's models compute with the input's size as a trace can keep: they decide nothing
    by it in Python, as they do for torch.export, of which they ask by `is_exporting`, and rotary
    positions do not make a Python number of it."""
    with contextlib.ExitStack() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith("timm.") and hasattr(module, "is_exporting"):
                patches.enter_context(mock.patch.object(module, "is_exporting", lambda: True))
        rotary = sys.modules.get("timm.layers.pos_embed_sincos")
        if rotary is not None:
            patches.enter_context(mock.patch.object(rotary, "float", _number, create=True))
        yield


def _number(value: Any) -> Any:
    """float(value), but a traced size as it is."""
    return value if isinstance(value, torch.Tensor) else float(value)
