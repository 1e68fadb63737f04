"""Model names, without PyTorch."""

from __future__ import annotations

import re

DEFAULT_MODEL = "efficientnet-lite0"


def default_name(spec: str) -> str:
    """Bundle name of a model spec: `timm:resnet18.a1_in1k` gives `resnet18.a1_in1k`."""
    kind, _, rest = spec.partition(":")
    base = rest.rpartition(":")[2] if kind == "module" else (rest or kind)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", base).strip("-.")
