"""Random weights that are as trained ones, for tests that compare two programs."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def roughen(module: nn.Module) -> None:
    """Adds a little to every parameter: as a package makes them some are zero, or the same
    everywhere, and what is done wrong with those does not show."""
    for parameter in module.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.02)
