"""gRPC channels to a pixpool server, and their settings for those who make stubs of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeAlias

from pixpool._api import SERVICE
from pixpool._retry import RetryPolicy

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_MAX_RESPONSE_BYTES = 256 << 20

Headers: TypeAlias = Iterable[tuple[str, str | bytes]]
# Headers of every call, or a function that gives those of the call that is about to begin.
Metadata: TypeAlias = Headers | Callable[[], Headers]


def headers_source(metadata: Metadata) -> Callable[[], tuple[tuple[str, str | bytes], ...]]:
    """One function for both forms."""
    if callable(metadata):
        ask = metadata
        return lambda: tuple(ask())
    fixed = tuple(metadata)
    return lambda: fixed


def service_config(retry: RetryPolicy | None = None, *, round_robin: bool = False) -> str:
    """gRPC's service config as JSON, for the channel option "grpc.service_config".

    retry: has gRPC itself retry UNAVAILABLE calls of the feature service, waiting as long as the
    server asks (grpc-retry-pushback-ms); gRPC takes at most 5 attempts. None: no retries.
    round_robin: spreads calls over all addresses that the target resolves to, in place of using
    the first that answers; for several servers behind one DNS name ("dns:///name:port").
    """
    config: dict[str, object] = {}
    if round_robin:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    if retry is not None and retry.max_attempts > 1:
        policy = {
            "maxAttempts": min(retry.max_attempts, 5),
            "initialBackoff": f"{retry.initial_backoff_s:.9f}s",
            "maxBackoff": f"{retry.max_backoff_s:.9f}s",
            "backoffMultiplier": retry.multiplier,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": [{"service": SERVICE}], "retryPolicy": policy}]
    return json.dumps(config)


def channel_options(
    *,
    retry: RetryPolicy | None = None,
    round_robin: bool = False,
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
) -> list[tuple[str, str | int]]:
    """Options of `grpc.insecure_channel` and the like for a pixpool server.

        options = pixpool.channel_options(retry=pixpool.RetryPolicy(), round_robin=True)
        stub = FeatureServiceStub(grpc.insecure_channel("dns:///pixpool:50051", options=options))

    The connection is kept alive by a ping after 30 s without a word while calls are under way,
    which routers that forget idle connections need, and is given up where no answer comes within
    10 s.

    `Client` and `AsyncClient` set their own: they retry by themselves, by reason and within the
    timeout, so leave `retry` out for them. max_response_bytes: largest response accepted, 1 to
    2^31 - 1; over it a call fails with RESOURCE_EXHAUSTED. ValueError out of range.
    """
    if not 1 <= max_response_bytes < 1 << 31:
        raise ValueError(
            f"max_response_bytes must be between 1 and 2147483647, is {max_response_bytes}"
        )
    return [
        ("grpc.max_receive_message_length", max_response_bytes),
        # The server's limit (Limits.max_message_bytes) is the one that counts.
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # gRPC stops after two pings between which nothing was sent: an answer may take longer.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.service_config", service_config(retry, round_robin=round_robin)),
    ]
