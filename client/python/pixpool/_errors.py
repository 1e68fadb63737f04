"""What can go wrong: a call as a whole (`PixpoolError`), or one image of it (`ImageError`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from pixpool._proxy import unreached

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_SHED = (
    (grpc.StatusCode.UNAVAILABLE, "OVERLOADED"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
)
# Failures of a call that every further image would meet; so the `pixpool` command has it.
_ENDING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.CANCELLED,
)


@dataclasses.dataclass(frozen=True)
class FieldViolation:
    """A request field at fault: its path, such as "heads[0].gem.p", and what is wrong with it."""

    field: str
    description: str


class PixpoolError(Exception):
    """A call failed; it would have failed for every image.

    code: the gRPC status code, such as `grpc.StatusCode.INVALID_ARGUMENT`.
    message: what is wrong, naming the limit and what to do where there is one.
    reason: the server's name for it, such as "HEAD_INVALID"; "" where no pixpool server said so:
        no connection, a limit of gRPC, a check of this package. An image that is over a limit which
        the server states has LIMIT_EXCEEDED, whether or not it was sent.
    fields: the request fields at fault; empty for most.
    metadata: the variable parts of the message by name.
    retry_after_s: seconds that the server asks to wait before another try; None: not stated.
    retry_forbidden: whether the server asks not to try again.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        fields: tuple[FieldViolation, ...] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        retry_forbidden: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.fields = fields
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.retry_forbidden = retry_forbidden

    def __str__(self) -> str:
        """ "INVALID_ARGUMENT (HEAD_INVALID): p must be above 0 [heads[0].gem.p]"."""
        text = self.code.name + (f" ({self.reason})" if self.reason else "")
        if self.message:
            text += f": {self.message}"
        for violation in self.fields:
            # Servers often repeat the message as the description; say it once.
            repeated = violation.description in ("", self.message)
            text += f" [{violation.field}{'' if repeated else ': ' + violation.description}]"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by their args, which lack the keywords; processes exchange these.
        return _rebuild, (type(self), self.__dict__.copy())

    @property
    def shed(self) -> bool:
        """Whether it came to be too much: UNAVAILABLE with reason OVERLOADED for the server,
        RESOURCE_EXHAUSTED with reason QUOTA_EXCEEDED for its token.
        """
        return (self.code, self.reason) in _SHED

    @property
    def ends_run(self) -> bool:
        """Whether every further image would fail alike: a request refused, a server gone."""
        return not isinstance(self, ImageError) and not self.shed and self.code in _ENDING


class ImageError(PixpoolError):
    """One image has no features; its neighbours have theirs.

    image: the image's name: its path, or the name that the caller gave it; "image 3" for others.
    index: its position among the images of the call, from 0.
    Everything else as in `PixpoolError`. A file that cannot be read has code NOT_FOUND,
    PERMISSION_DENIED, INVALID_ARGUMENT or DATA_LOSS, and no reason.
    """

    def __init__(self, error: PixpoolError, image: str, index: int) -> None:
        super().__init__(error.code, error.message)
        self.__dict__.update(error.__dict__)
        self.image = image
        self.index = index

    def __str__(self) -> str:
        return f"{self.image}: {super().__str__()}"


def _rebuild(kind: type[PixpoolError], state: dict[str, object]) -> PixpoolError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (error.message,)
    return error


def from_status(status: status_pb2.Status) -> PixpoolError:
    """The error in the status of one image."""
    return _from_details(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status)


def from_rpc_error(error: grpc.RpcError, target: str) -> PixpoolError:
    """The error of a failed call to a target, with the details in its trailing metadata."""
    if not isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
        return PixpoolError(grpc.StatusCode.UNKNOWN, str(error))
    trailers: dict[str, Any] = {str(key): value for key, value in error.trailing_metadata() or ()}
    status = status_pb2.Status()
    try:
        status.ParseFromString(bytes(trailers.get("grpc-status-details-bin", b"")))
    except (DecodeError, TypeError):
        status.Clear()  # of someone else's making: code and message are enough
    result = _from_details(error.code(), error.details() or "", status)
    if result.code is grpc.StatusCode.UNAVAILABLE and not result.reason:
        result = PixpoolError(result.code, f"{result.message}; {unreached(target)}")
    # The trailer is the more specific of the two: a proxy in between may have set it.
    if (pushback := trailers.get("grpc-retry-pushback-ms")) is not None:
        text = pushback.decode("ascii", "replace") if isinstance(pushback, bytes) else pushback
        if text.isascii() and text.isdigit():
            result.retry_after_s = int(text) / 1000
        else:
            result.retry_forbidden = True
    return result


def _from_details(code: grpc.StatusCode, message: str, status: status_pb2.Status) -> PixpoolError:
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    _unpack(status, info)
    _unpack(status, bad)
    after = None
    if _unpack(status, retry) and retry.HasField("retry_delay"):
        seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        after = seconds if seconds >= 0 else None
    return PixpoolError(
        code,
        message,
        reason=info.reason,
        fields=tuple(FieldViolation(v.field, v.description) for v in bad.field_violations),
        metadata=dict(info.metadata),
        retry_after_s=after,
    )


def _unpack(status: status_pb2.Status, into: Message) -> bool:
    """Fills `into` with the first error detail of its type."""
    try:
        return any(detail.Unpack(into) for detail in status.details)
    except DecodeError:
        return False
