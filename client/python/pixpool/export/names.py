"""Model names, without PyTorch."""

from __future__ import annotations

import re
from pathlib import Path

DEFAULT_MODEL = "efficientnet-lite0"
# Its larger sisters, whose learnt weights are packages too.
LITE_MODELS = (DEFAULT_MODEL, "efficientnet-lite1", "efficientnet-lite2")
ONNX_KIND = "onnx"  # of onnx:FILE


def default_name(spec: str) -> str:
    """Bundle name of a model spec: `timm:resnet18.a1_in1k` gives `resnet18.a1_in1k`, a file its
    name without the suffix."""
    kind, _, rest = spec.partition(":")
    base = rest.rpartition(":")[2] if kind == "module" else (rest or kind)
    if kind == ONNX_KIND:
        base = Path(rest).stem
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", base).strip("-.")
