"""What a model's forward returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor


def float_tensors(returned: object) -> list[Tensor]:
    """The float tensors of what a forward returned: one, or several in lists, dicts or objects."""
    if isinstance(returned, Tensor):
        return [returned] if returned.is_floating_point() else []
    parts: list[object] = []
    if isinstance(returned, Mapping):
        parts = list(returned.values())
    elif isinstance(returned, (list, tuple)):
        parts = list(returned)
    elif dataclasses.is_dataclass(returned):
        parts = list(vars(returned).values())
    return [tensor for part in parts for tensor in float_tensors(part)]


def vector_in(returned: object) -> Tensor | None:
    """The one vector a picture, [N, D] or [N, D, 1, 1], of what a forward returned; None where
    there is none, or more than one."""
    found = [
        tensor
        for tensor in float_tensors(returned)
        if tensor.dim() >= 2 and all(side == 1 for side in tensor.shape[2:])
    ]
    return found[0] if len(found) == 1 else None
