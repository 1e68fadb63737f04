"""The attention of a transformer's last block, by the model's own modules."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


@torch.no_grad()
def timm_attention(model: nn.Module, values: Tensor) -> Tensor:
    """[N, heads, T, T]: what the last block of one of timm's transformers weighs its values with,
    as its modules write it out where they do not use the fused operator."""
    plain = copy.deepcopy(model)
    last = plain.blocks[-1].attn
    last.fused_attn = False
    seen: list[Tensor] = []
    last.attn_drop.register_forward_hook(lambda _m, given, _out: seen.append(given[0]))
    plain(values)
    return seen[-1]
