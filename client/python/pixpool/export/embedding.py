"""Finds the embedding of a model: the vector that its authors' call returns."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from pixpool.export.classifier import run_full_model
from pixpool.export.returned import vector_in
from pixpool.export.trunk import Forward, VectorRef, run_model

NAME = "embedding"


@dataclasses.dataclass(frozen=True)
class Embedding:
    """How a trunk has it."""

    forward: Forward
    vector: VectorRef
    text: str  # for the log


@torch.no_grad()
def find_embedding(
    model: nn.Module, values: Tensor, authors_call: Forward | None
) -> Embedding | None:
    """Of a model on normalised pictures, more than one: what `authors_call` gives where the model
    has one, else what its last linear layer takes where that gives what the model returns, else the
    vector that it returns. None: it has none."""
    if authors_call is not None and _is_vector(authors_call(model, values), len(values)):
        call = "model(images)" if authors_call is run_model else "the model's own call for it"
        return Embedding(authors_call, VectorRef(NAME, "", is_own=True), call)
    run = run_full_model(model, values)
    if run.head is not None:
        last = VectorRef(NAME, run.path, run.call, taken=True, is_own=True)
        return Embedding(run_model, last, f"what the last linear layer takes ({run.path})")
    if _is_vector(model(values), len(values)):
        return Embedding(run_model, VectorRef(NAME, "", is_own=True), "model(images)")
    return None


def _is_vector(returned: object, batch: int) -> bool:
    found = vector_in(returned)
    return found is not None and found.shape[0] == batch and found.shape[1] > 1
