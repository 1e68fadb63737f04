"""A model made to follow its input's size, as far as that can be had."""

from __future__ import annotations

import copy

from torch import nn

from pixpool.export.errors import brief
from pixpool.export.options import Progress
from pixpool.export.padding import follow_input_size
from pixpool.export.source import SourceModel


def following_size(source: SourceModel, progress: Progress) -> nn.Module:
    """The source's model, made anew where its package can have positions follow the input, with
    SAME padding that does. It shares no module with the source's."""
    model = _with_positions(source, progress) or copy.deepcopy(source.module)
    padded = follow_input_size(model)
    if padded:
        progress(f"padding: {padded} SAME-padded layers now follow the input size")
    return model


def _with_positions(source: SourceModel, progress: Progress) -> nn.Module | None:
    if source.for_any_size is None:
        return None
    try:
        model = source.for_any_size()
        model.load_state_dict(source.module.state_dict())
    except Exception as error:
        progress(f"remark: positions stay those of one size: {brief(error)}")
        return None
    progress("positions: interpolated to the input's size, as the model's package does")
    return model.eval().requires_grad_(False)
