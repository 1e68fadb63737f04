"""FeatureService.PoolTensor as a function of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import numpy as np

from api import Client, field_paths, reason


@dataclass(frozen=True)
class Pooled:
    """One head's results on all maps of a call."""

    values: np.ndarray  # [N, ...]
    indices: np.ndarray | None  # as values; None where the head gives none


@dataclass(frozen=True)
class Refusal:
    """How a call failed."""

    code: str  # "INVALID_ARGUMENT"
    reason: str  # of ErrorInfo
    fields: list[str]  # of BadRequest
    message: str

    def names(self, field: str) -> bool:
        """INVALID_ARGUMENT whose field path is `field` or lies below it."""
        inside = any(f == field or f.startswith((field + ".", field + "[")) for f in self.fields)
        return self.code == "INVALID_ARGUMENT" and bool(self.reason) and inside


class PoolTensor:
    def __init__(self, client: Client) -> None:
        self.client = client

    def request(self, maps: np.ndarray, heads: tuple[str, ...], indices: np.ndarray | None = None):
        """`maps` in any shape (the API wants [N, C, H, W]); heads as Client.head reads them."""
        pb = self.client.pb
        tensor = pb.Tensor(shape=maps.shape, values=np.ravel(maps).tolist())
        flat = [] if indices is None else np.ravel(indices).tolist()
        return pb.PoolTensorRequest(
            tensor=tensor, heads=[self.client.head(h) for h in heads], indices=flat
        )

    def __call__(
        self, maps: np.ndarray, *heads: str, indices: np.ndarray | None = None
    ) -> list[Pooled]:
        """What each head makes of float32 maps [N, C, H, W]."""
        assert maps.dtype == np.float32
        reply = self.client.stub.PoolTensor(self.request(maps, heads, indices), timeout=60)
        assert len(reply.results) == len(maps)
        columns = list(zip(*(result.head_results for result in reply.results), strict=True))
        assert len(columns) == len(heads)
        return [_column(column, head) for column, head in zip(columns, heads, strict=True)]

    def one(self, maps: np.ndarray, head: str, indices: np.ndarray | None = None) -> Pooled:
        return self(maps, head, indices=indices)[0]

    def refusal(self, maps: np.ndarray, *heads: str, indices: np.ndarray | None = None) -> Refusal:
        """The failure of a call that must fail; code OK if it did not."""
        return self.refused(self.request(maps, heads, indices))

    def refused(self, request) -> Refusal:
        """The same for a request made by hand."""
        try:
            self.client.stub.PoolTensor(request, timeout=60)
        except grpc.RpcError as error:
            return Refusal(error.code().name, reason(error), field_paths(error), error.details())
        return Refusal("OK", "", [], "the call succeeded")


def _column(results, head: str) -> Pooled:
    values, indices = [], []
    for result in results:
        assert result.kind == head.partition(":")[0] and result.space_id == "", head
        shape = list(result.shape)
        values.append(np.array(result.values, np.float32).reshape(shape))
        if result.indices:
            indices.append(np.array(result.indices, np.int64).reshape(shape))
    assert len(indices) in (0, len(values)), head
    return Pooled(np.stack(values), np.stack(indices) if indices else None)
