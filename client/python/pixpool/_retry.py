"""Which failures are worth another try, and after what delay; as the C++ client has it."""

from __future__ import annotations

import dataclasses
import math
import random

import grpc

from pixpool._errors import PixpoolError

# "" stands for failures below the server: no connection, connection lost.
_RETRYABLE_REASONS = ("", "MODEL_LOADING", "DRAINING")

# ENHANCE_YOUR_CALM (RFC 9113, 7), by which the server's gRPC resets calls where messages that have
# not come in whole take all of their memory. It has the code of a message over its limit.
_CALM = "RST_STREAM with error code 11"


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """How often and after what waits a call is tried again, within its timeout.

    max_attempts: attempts in all, the first included, at least 1; 1 turns retries off.
    initial_backoff_s: wait before the second attempt where the server states none, above 0; it
        then grows by `multiplier` (at least 1) up to `max_backoff_s`.
    jitter: waits are spread over +- this share, 0 to 1, so that shed clients do not come back
        together. Waits that the server states are only ever lengthened.
    ValueError for values out of range.
    """

    max_attempts: int = 5
    initial_backoff_s: float = 0.1
    max_backoff_s: float = 2.0
    multiplier: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"retry.max_attempts must be at least 1, is {self.max_attempts}")
        if not 0 < self.initial_backoff_s <= self.max_backoff_s < math.inf:
            raise ValueError(
                "retry.initial_backoff_s must be above 0 and at most max_backoff_s, is"
                f" {self.initial_backoff_s:g} with max_backoff_s {self.max_backoff_s:g}"
            )
        if not 1 <= self.multiplier < math.inf:
            raise ValueError(f"retry.multiplier must be at least 1, is {self.multiplier:g}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"retry.jitter must be between 0 and 1, is {self.jitter:g}")


def is_retryable(error: PixpoolError) -> bool:
    """Whether a failure may pass if tried again.

    UNAVAILABLE with reason OVERLOADED, MODEL_LOADING or DRAINING, or without a reason (no
    connection), unless the server forbids it; QUOTA_EXCEEDED; and a call that the server has
    reset for want of room for messages. Never INVALID_ARGUMENT, another RESOURCE_EXHAUSTED (gRPC's
    answer to an oversized message) or DEADLINE_EXCEEDED.
    """
    if error.shed:
        return not error.retry_forbidden
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return not error.reason and _CALM in error.message
    return (
        error.code is grpc.StatusCode.UNAVAILABLE
        and not error.retry_forbidden
        and error.reason in _RETRYABLE_REASONS
    )


class RetrySchedule:
    """The delays of one call. Not thread-safe; one object per call."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._backoff_s = policy.initial_backoff_s

    def next(
        self, error: PixpoolError, remaining_s: float, unit: float | None = None
    ) -> float | None:
        """Seconds to wait before the next attempt, after one that failed with `error`.

        None: give up and report `error`. A delay that would outlast `remaining_s`, the time left to
        the call, is a reason to give up at once. `unit` is uniform in [0, 1); default: random.
        """
        policy = self._policy
        self._failures += 1
        if not is_retryable(error) or self._failures >= policy.max_attempts:
            return None
        unit = random.random() if unit is None else unit
        if error.retry_after_s is not None:
            delay = error.retry_after_s * (1 + policy.jitter * unit)
        else:
            delay = self._backoff_s * (1 + policy.jitter * (2 * unit - 1))
        self._backoff_s = min(self._backoff_s * policy.multiplier, policy.max_backoff_s)
        return delay if delay < remaining_s else None
