"""What the clients for threads and for asyncio share: all that does not wait for the server."""

from __future__ import annotations

import abc
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict

import grpc
import numpy as np
from numpy.typing import NDArray

from pixpool._access import StrPath, Tls, guarded
from pixpool._api import pb
from pixpool._call import Call
from pixpool._channel import (
    DEFAULT_MAX_RESPONSE_BYTES,
    DEFAULT_TARGET,
    Metadata,
    channel_options,
    headers_source,
)
from pixpool._head_base import HeadsLike
from pixpool._images import ImageSource, image_name
from pixpool._methods import Methods
from pixpool._models import Limits, ModelInfo, model_from_proto
from pixpool._not_given import NOT_GIVEN, NotGiven
from pixpool._progress import ProgressLike
from pixpool._proxy import is_on_this_machine
from pixpool._regions import RegionsLike
from pixpool._request import (
    OnError,
    Options,
    OptionsOfRegions,
    Priority,
    RealArray,
    RequestSpec,
    check_concurrency,
    check_on_error,
    check_timeout,
    pool_request,
    pooled,
    result_of,
)
from pixpool._results import ClassScore, Extraction, ImageResult
from pixpool._retry import RetryPolicy

ScoreForm = Literal["softmax", "logits"]
MapForm = Literal["png_overlay", "png", "floats"]


class HeatmapOptions(TypedDict, total=False):
    """The options of `extract` that `heatmap` takes too."""

    model: str
    model_version: str
    input_options: Options
    concurrency: int
    timeout: float | None | NotGiven
    priority: Priority | None
    progress: ProgressLike


class ClassifyOptions(HeatmapOptions, total=False):
    """The options of `extract` that `classify` takes too."""

    on_error: OnError


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all images of an `extract` or a `stream` share, checked."""

    spec: RequestSpec
    on_error: OnError
    concurrency: int
    timeout: float | None

    def kept(self, result: ImageResult) -> ImageResult:
        """The result, unless it is an error that is to be raised."""
        if result.error is not None and self.on_error == "raise":
            raise result.error
        return result


class KnownLimits:
    """What the server said of its limits, for a while: it may be started anew with others.

    Thread-safe.
    """

    _LASTING_S = 60.0
    _LASTING_WITHOUT_ANSWER_S = 5.0

    def __init__(self) -> None:
        self._known: tuple[float, Limits | None] = (-math.inf, None)  # replaced as a whole

    @property
    def stale(self) -> bool:
        """Whether the server is to be asked."""
        return time.monotonic() >= self._known[0]

    @property
    def limits(self) -> Limits | None:
        """None where the server did not say."""
        return self._known[1]

    def put(self, limits: Limits | None) -> None:
        lasting = self._LASTING_S if limits is not None else self._LASTING_WITHOUT_ANSWER_S
        self._known = (time.monotonic() + lasting, limits)


class ClientBase(abc.ABC):
    """A connection with its settings, and the calls that go over it, ready to be sent."""

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float | None = 10.0,
        retry: RetryPolicy | None = None,
        round_robin: bool = False,
        tls: bool | Tls = False,
        token_file: StrPath | None = None,
        allow_plain_token: bool = False,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Metadata = (),
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Does not connect until the first call.

        target: "host:port", "dns:///name:port" or "unix:/path". A proxy that the environment names
            (`https_proxy`, `http_proxy`, but for what `no_proxy` lists) is used for targets on
            other machines only.
        timeout: seconds that a call may take for one image, retries and waits included; None: no
            limit.
        retry: what is tried again, and when; `RetryPolicy(max_attempts=1)` turns retries off.
        round_robin: spreads calls over all addresses of the target, for several servers behind a
            name.
        tls: encrypts: True with the certificates that the public web trusts, or `pixpool.Tls`.
        token_file: a file with the token that every call brings (`authorization: Bearer ...`); it
            is read again when it changes.
        allow_plain_token: lets a token, or a header `authorization` or `x-api-key`, go to another
            machine without TLS, where a mesh encrypts or the network is your own. Otherwise that
            is a ValueError.
        credentials: gRPC's own, in place of `tls`.
        metadata: headers of every call, such as (("authorization", "Bearer ..."),), or a function
            that gives them. It runs where a method is called, in the caller's thread, so a tracing
            library can put the caller's trace in (`traceparent`).
        max_response_bytes: largest response accepted, 1 to 2^31 - 1; over it RESOURCE_EXHAUSTED.
        options: more gRPC channel options; they win over the client's own.
        """
        check_timeout(timeout)
        self.target = target
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        if tls and credentials is not None:
            raise ValueError("tls and credentials both say how to encrypt: give one")
        encryption = Tls() if tls is True else tls or None
        encrypted = encryption is not None or credentials is not None
        self._headers = guarded(
            headers_source(metadata), token_file, target, encrypted, allow_plain_token
        )
        if not callable(metadata):
            self._headers()  # what is wrong with them is so for every call
        settings = [
            *channel_options(round_robin=round_robin, max_response_bytes=max_response_bytes),
            ("grpc.enable_http_proxy", 0 if is_on_this_machine(target) else 1),
            *(encryption.channel_options() if encryption else ()),
            *options,
        ]
        if encryption is not None:
            credentials = encryption.credentials()
        self._channel = self._open_channel(target, credentials, settings)
        self._limits = KnownLimits()
        self._methods = Methods(self._channel)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.target}>"

    @staticmethod
    @abc.abstractmethod
    def _open_channel(
        target: str,
        credentials: grpc.ChannelCredentials | None,
        settings: Sequence[tuple[str, Any]],
    ) -> Any:
        """A channel of grpc or grpc.aio."""

    def _seconds(self, timeout: float | None | NotGiven) -> float | None:
        seconds = self._timeout if timeout is NOT_GIVEN else timeout
        check_timeout(seconds)
        return seconds

    def _plan(
        self,
        heads: HeadsLike,
        model: str,
        model_version: str,
        input_options: Options,
        on_error: OnError,
        concurrency: int,
        timeout: float | None | NotGiven,
        priority: Priority | None,
        regions: RegionsLike,
        region_options: OptionsOfRegions,
    ) -> Plan:
        """ValueError or TypeError for arguments that cannot be sent, before anything is."""
        spec = RequestSpec.make(
            heads, model, model_version, input_options, priority, regions, region_options
        )
        check_on_error(on_error)
        check_concurrency(concurrency)
        return Plan(spec, on_error, concurrency, self._seconds(timeout))

    def _extracting_one(
        self,
        plan: Plan,
        source: ImageSource,
        index: int,
        ask_limits: Callable[[], Limits | None],
    ) -> Call[ImageResult]:
        """Reads the image, so it may block; ImageError for one that cannot be used."""
        name = image_name(source, index)
        return Call(
            self._methods.extract_features,
            plan.spec.request(source, index, ask_limits),
            lambda response: result_of(response, name, index),
            plan.timeout,
            self._retry,
        )

    def _extracting(
        self, request: pb.ExtractFeaturesRequest, timeout: float | None | NotGiven
    ) -> Call[pb.ExtractFeaturesResponse]:
        method = self._methods.extract_features
        return Call(method, request, lambda r: r, self._seconds(timeout), self._retry)

    def _pooling(
        self,
        tensor: RealArray,
        heads: HeadsLike,
        indices: NDArray[np.integer[Any]] | None,
        timeout: float | None | NotGiven,
        priority: Priority | None,
    ) -> Call[Extraction]:
        request = pool_request(tensor, heads, indices, priority)
        method = self._methods.pool_tensor
        return Call(method, request, pooled, self._seconds(timeout), self._retry)

    def _listing(self) -> Call[list[ModelInfo]]:
        return Call(
            self._methods.list_models,
            pb.ListModelsRequest(),
            lambda response: [model_from_proto(model) for model in response.models],
            self._timeout,
            self._retry,
        )

    def _describing(self, name: str, version: str) -> Call[ModelInfo]:
        return Call(
            self._methods.get_model,
            pb.GetModelRequest(model=name, model_version=version),
            lambda response: model_from_proto(response.model),
            self._timeout,
            self._retry,
        )

    def _asking_limits(self, plan: Plan) -> Call[Limits]:
        """Once and not for long: where there is no answer, the image's own call tells why."""
        return Call(
            self._methods.get_model,
            pb.GetModelRequest(model=plan.spec.model, model_version=plan.spec.model_version),
            lambda response: model_from_proto(response.model).limits,
            5.0 if plan.timeout is None else min(plan.timeout, 5.0),
            RetryPolicy(max_attempts=1),
        )

    def _checking(self, service: str, timeout: float | None | NotGiven) -> Call[bool]:
        once = RetryPolicy(max_attempts=1)
        return Call(self._methods.check_health, service, bool, self._seconds(timeout), once)


def scores_of(extraction: Extraction) -> list[list[ClassScore]]:
    """Of each image, in order; an empty list of one that failed."""
    return [list(result[0].class_scores) if result.ok else [] for result in extraction]
