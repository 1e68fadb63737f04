"""Model names, without PyTorch."""

from __future__ import annotations

import re
from pathlib import Path

DEFAULT_MODEL = "efficientnet-lite0"
# Its larger sisters, whose learnt weights are packages too.
LITE_MODELS = (DEFAULT_MODEL, "efficientnet-lite1", "efficientnet-lite2")
ONNX_KIND = "onnx"  # of onnx:FILE
HUB_KIND = "hf"  # of hf:FOLDER


def default_name(spec: str) -> str:
    """Bundle name of a model spec: `timm:resnet18.a1_in1k` gives `resnet18.a1_in1k`, a file its
    name without the suffix, a folder its name."""
    kind, _, rest = spec.partition(":")
    base = rest.rpartition(":")[2] if kind == "module" else (rest or kind)
    if kind == ONNX_KIND:
        base = Path(rest).stem
    if kind == HUB_KIND:
        base = _folder_name(Path(rest).resolve())
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", base).strip("-.")


def _folder_name(folder: Path) -> str:
    """In the hub's cache a folder is named by its commit, below models--OWNER--NAME/snapshots."""
    kept = re.fullmatch(r"models--.+--(.+)", folder.parent.parent.name)
    return kept[1] if kept and folder.parent.name == "snapshots" else folder.name
