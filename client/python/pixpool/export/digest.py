"""Digests: of files, and of what a model has learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(
    state: Mapping[str, Tensor],
    layers: Iterable[tuple[str, str]],
    vectors: Iterable[tuple[str, str]] = (),
) -> str:
    """Digest over a state dict and over which module each named layer and vector is.

    For each entry in sorted order a line `name dtype shape` (`features.0.weight torch.float32
    32,3,3,3`), a newline and the values' bytes, little-endian, row-major; then for each layer, in
    order, a line `layer name module`, and for each vector that the user named `vector name module`.
    They are part of it because the same name on another module gives other vectors.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        shape = ",".join(str(n) for n in tensor.shape)
        digest.update(f"{name} {tensor.dtype} {shape}\n".encode())
        digest.update(_bytes(tensor))
    for name, module in layers:
        digest.update(f"layer {name} {module}\n".encode())
    for name, module in vectors:
        digest.update(f"vector {name} {module}\n".encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    # Viewed as bytes, so that types numpy lacks (bfloat16) go the same way.
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
