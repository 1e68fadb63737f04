"""A call of the API without the waiting, which threads and asyncio do each in their own way."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc

from pixpool._errors import PixpoolError, from_rpc_error
from pixpool._retry import RetryPolicy, RetrySchedule

Answer = TypeVar("Answer")

# Failures of a health check that time may mend.
_WORTH_WAITING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclasses.dataclass(frozen=True)
class Call(Generic[Answer]):
    """What is asked of which method, and what its response becomes.

    method: of a channel; awaited where the channel is one of asyncio.
    timeout: seconds for all attempts and the waits between them; None: no limit.
    """

    method: Callable[..., Any]
    request: Any
    result: Callable[[Any], Answer]
    timeout: float | None
    retry: RetryPolicy


class Attempts:
    """The attempts of a call: the time that each may take, and the waits between them."""

    def __init__(self, call: Call[Any], target: str) -> None:
        self._target = target
        self._end = math.inf if call.timeout is None else time.monotonic() + call.timeout
        self._schedule = RetrySchedule(call.retry)
        self.shed = False  # whether the last attempt was

    def timeout(self) -> float | None:
        """Seconds for the attempt that begins now; None: no limit."""
        self.shed = False
        left = self._end - time.monotonic()
        return None if math.isinf(left) else left

    def forgive(self, seconds: float) -> None:
        """Time that does not count: the call waited on this side."""
        self._end += seconds

    def wait_after(self, failure: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt; PixpoolError where there is to be none."""
        error = from_rpc_error(failure, self._target)
        self.shed = error.shed
        delay = self._schedule.next(error, self._end - time.monotonic())
        if delay is None:
            raise error from failure
        return delay


class Readiness:
    """The waiting for a server: the time that a health check may take, and the pauses between."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._end = time.monotonic() + timeout
        self._pause = 0.1

    def timeout(self) -> float:
        """Seconds for the check that begins now."""
        return max(self._end - time.monotonic(), 0.1)

    def pause_after(self, failure: PixpoolError | None) -> float:
        """Seconds to wait after a check that failed, or with None after one that said no.

        Raises a failure that time does not mend, and DEADLINE_EXCEEDED once there is no time left.
        """
        if failure is not None and failure.code not in _WORTH_WAITING:
            raise failure
        if time.monotonic() + self._pause >= self._end:
            state = "the server answers, and says that it does not serve"
            raise PixpoolError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"not ready after {self._timeout:g} s: {failure or state}",
            )
        pause = self._pause
        self._pause = min(2 * pause, 1.0)
        return pause
