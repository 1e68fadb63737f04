"""The client of a pixpool server, for threads; `_aio` has the one for asyncio."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, Literal

import grpc
import numpy as np

from pixpool import _request
from pixpool._api import pb
from pixpool._channel import (
    DEFAULT_MAX_RESPONSE_BYTES,
    DEFAULT_TARGET,
    Metadata,
    channel_options,
    headers_source,
)
from pixpool._errors import PixpoolError, from_rpc_error
from pixpool._head_base import HeadsLike
from pixpool._images import ImageSource, image_name, list_images
from pixpool._methods import Methods
from pixpool._progress import Progress, ProgressLike
from pixpool._request import OnError, Options, RequestSpec
from pixpool._results import ClassScore, Extraction, Heatmap, ImageResult
from pixpool._retry import RetryPolicy, RetrySchedule
from pixpool._window import Window

# Means the client's own timeout, since None means no limit.
DEFAULT: Any = object()


class Client:
    """A connection to a server, or with round_robin to several.

        with pixpool.Client("127.0.0.1:50051") as client:
            vectors = client.extract(["a.jpg", "b.jpg"], heads="gem:p=3,l2").array

    Thread-safe: one client for a process is enough. Does not connect until the first call. After a
    fork, make a new one: gRPC does not survive it.

    target: "host:port", "dns:///name:port" or "unix:/path".
    timeout: seconds that a call may take for one image, retries and waits included; None: no limit.
    retry: what is tried again, and when; `RetryPolicy(max_attempts=1)` turns retries off.
    round_robin: spreads calls over all addresses of the target, for several servers behind a name.
    credentials: default: no encryption; `grpc.ssl_channel_credentials()` for TLS.
    metadata: headers of every call, such as (("authorization", "Bearer ..."),), or a function that
        gives them. It runs where a method is called, in the caller's thread, so a tracing library
        can put the caller's trace in (`traceparent`).
    max_response_bytes: largest response accepted, 1 to 2^31 - 1; over it RESOURCE_EXHAUSTED.
    options: more gRPC channel options; they win over the client's own.

    Errors: `PixpoolError` for a call that failed, `ImageError` for one image of it; both carry
    code, reason, fields and message. UNAVAILABLE without a reason means that no server was reached.
    ValueError and TypeError for arguments that cannot be sent.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float | None = 10.0,
        retry: RetryPolicy | None = None,
        round_robin: bool = False,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Metadata = (),
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        _request.check_timeout(timeout)
        self.target = target
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._headers = headers_source(metadata)
        settings = [
            *channel_options(round_robin=round_robin, max_response_bytes=max_response_bytes),
            *options,
        ]
        self._channel = (
            grpc.insecure_channel(target, settings)
            if credentials is None
            else grpc.secure_channel(target, credentials, settings)
        )
        self._methods = Methods(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; calls that are under way fail with CANCELLED."""
        self._channel.close()

    def extract(
        self,
        images: ImageSource | Iterable[ImageSource],
        heads: HeadsLike = None,
        *,
        model: str = "",
        model_version: str = "",
        input_options: Options = None,
        on_error: OnError = "raise",
        concurrency: int = 16,
        timeout: float | None = DEFAULT,
        progress: ProgressLike = False,
    ) -> Extraction:
        """Features of some images, held in memory; for more see `stream` and `pixpool.bulk`.

        images: one image or several: paths, bytes of JPEG, PNG or WebP files, uint8 arrays
            [H, W, 3] in RGB order, PIL images, `pixpool.Image(source, name)`. One is a list of one.
        heads: one or several, as texts ("gem:p=3,layer=stage5,l2"), `pixpool.heads` objects or
            messages; several cost one backbone pass. Default: global_avg on the last layer.
        model, model_version: default: the server's default model, its loaded version.
        input_options: default: the model's own recipe.
        on_error: "raise": the first image in order that has no features raises its `ImageError`;
            "return": its result holds the error, and its rows of arrays are NaN.
        concurrency: images under way at once, 1 to 1024; the server makes batches of them.
        timeout: seconds for each image; default: the client's.
        progress: True for a tqdm bar (if tqdm is installed), or a function of (done, total).

        Returns results in input order: `.array` is float32 [N, D] of a vector head, `["gem"]` that
        of one of several heads, `[0]` the `ImageResult` of an image with space id, model and times.

        Raises ImageError, and PixpoolError where every image would fail: INVALID_ARGUMENT
        (HEAD_INVALID, LIMIT_EXCEEDED), NOT_FOUND (MODEL_NOT_FOUND, LAYER_NOT_FOUND), UNAVAILABLE.
        """
        spec = RequestSpec.make(heads, model, model_version, input_options)
        sources = list_images(images)
        _request.check_on_error(on_error)
        if isinstance(sources, list) and len(sources) == 1 and not progress:
            # A single image needs no thread.
            _request.check_concurrency(concurrency)
            result = self._extract_one(spec, sources[0], self._seconds(timeout))
            return Extraction([_request.kept(result, on_error)])
        return Extraction(
            list(self._stream(spec, sources, on_error, True, concurrency, timeout, progress))
        )

    def stream(
        self,
        images: Iterable[ImageSource],
        heads: HeadsLike = None,
        *,
        model: str = "",
        model_version: str = "",
        input_options: Options = None,
        on_error: OnError = "return",
        ordered: bool = True,
        concurrency: int = 16,
        timeout: float | None = DEFAULT,
        progress: ProgressLike = False,
    ) -> Iterator[ImageResult]:
        """Features of any number of images, in bounded memory, as they finish.

        images: an iterable, such as a generator; it is read on a thread of its own, and never more
            than `concurrency` images ahead of what the caller has taken.
        ordered: whether results come in the order of the images, or each as soon as it is there
            (`ImageResult.index` says which it is).
        on_error: "return": an image that failed has its error in its result, and raises it where
            its features are asked for; "raise": it ends the stream.

        Everything else as in `extract`. Shed images are sent again within their timeout. A closed
        generator cancels what is under way.
        """
        spec = RequestSpec.make(heads, model, model_version, input_options)
        return self._stream(
            spec, list_images(images), on_error, ordered, concurrency, timeout, progress
        )

    def classify(
        self,
        images: ImageSource | Iterable[ImageSource],
        top_k: int = 5,
        *,
        score_type: Literal["softmax", "logits"] = "softmax",
        **options: Any,
    ) -> list[list[ClassScore]]:
        """The highest scores of each image, highest first; 0 means all, in class order.

        One list an image, for one image too. Options, except heads, and errors as in `extract`; an
        image that fails under on_error="return" has an empty list.
        """
        extraction = self.extract(images, _request.scores_head(top_k, score_type), **options)
        return [list(r[0].class_scores) if r.ok else [] for r in extraction]

    def heatmap(
        self,
        images: ImageSource | Iterable[ImageSource],
        class_index: int | None = None,
        *,
        format: Literal["png_overlay", "png", "floats"] = "png_overlay",
        **options: Any,
    ) -> list[Heatmap]:
        """Where the evidence for a class lies in each image; a `Heatmap` an image, in order.

        class_index: default: of each image the class with the highest score.
        format: a PNG laid over the picture, a PNG alone, or the map as float32 [H, W].
        Options, except heads and on_error, and errors as in `extract`.
        """
        return _request.heatmaps_of(
            self.extract(images, _request.map_head(class_index, format), **options)
        )

    def pool(
        self,
        tensor: np.ndarray[Any, Any],
        heads: HeadsLike,
        *,
        indices: np.ndarray[Any, Any] | None = None,
        timeout: float | None = DEFAULT,
    ) -> Extraction:
        """Heads applied to feature maps of the caller's; no model is involved.

        tensor: float32 [N, C, H, W]. indices: for max_unpool, int64 of the same shape.
        Returns a result a map. PixpoolError INVALID_ARGUMENT with the field path.
        """
        request = _request.pool_request(tensor, heads, indices)
        return _request.pooled(self._call(self._methods.pool_tensor, request, timeout))

    def extract_features(
        self, request: pb.ExtractFeaturesRequest, *, timeout: float | None = DEFAULT
    ) -> pb.ExtractFeaturesResponse:
        """The API's own call: a message in, a message out, with the client's retries."""
        response: pb.ExtractFeaturesResponse = self._call(
            self._methods.extract_features, request, timeout
        )
        return response

    def models(self) -> list[pb.Model]:
        """All models of the server, without labels."""
        response = self._call(self._methods.list_models, pb.ListModelsRequest())
        return list(response.models)

    def model(self, name: str = "", version: str = "") -> pb.Model:
        """One model in full: layers, heads, labels, limits. Default: the server's default model.

        PixpoolError NOT_FOUND, reason MODEL_NOT_FOUND, where unknown.
        """
        request = pb.GetModelRequest(model=name, model_version=version)
        model: pb.Model = self._call(self._methods.get_model, request).model
        return model

    def health(self, service: str = "", *, timeout: float | None = DEFAULT) -> bool:
        """Whether the server (""), a service or a model by its name serves now; never retries.

        PixpoolError NOT_FOUND where the name is unknown, UNAVAILABLE where nothing answers.
        """
        once = RetryPolicy(max_attempts=1)
        return bool(self._call(self._methods.check_health, service, timeout, once))

    def wait_until_ready(self, timeout: float = 60.0, service: str = "") -> None:
        """Blocks until `health` says serving. PixpoolError DEADLINE_EXCEEDED after `timeout` s."""
        end = time.monotonic() + timeout
        pause = 0.1
        while True:
            state = "the server answers, and says that it does not serve"
            try:
                if self.health(service, timeout=max(end - time.monotonic(), 0.1)):
                    return
            except PixpoolError as error:
                if error.code not in _request.WORTH_WAITING:
                    raise
                state = str(error)
            if time.monotonic() + pause >= end:
                raise _request.not_ready(timeout, state)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _seconds(self, timeout: float | None) -> float | None:
        seconds = self._timeout if timeout is DEFAULT else timeout
        _request.check_timeout(seconds)
        return seconds

    def _call(
        self,
        method: Callable[..., Any],
        request: Any,
        timeout: float | None = DEFAULT,
        retry: RetryPolicy | None = None,
    ) -> Any:
        """Blocks until the answer is there; retries within the timeout."""
        seconds = self._seconds(timeout)
        end = math.inf if seconds is None else time.monotonic() + seconds
        schedule = RetrySchedule(retry or self._retry)
        headers = self._headers()
        while True:
            left = end - time.monotonic()
            try:
                return method(request, timeout=None if math.isinf(left) else left, metadata=headers)
            except grpc.RpcError as failure:
                error = from_rpc_error(failure)
                delay = schedule.next(error, end - time.monotonic())
                if delay is None:
                    raise error from failure
            time.sleep(delay)

    def _extract_one(
        self, spec: RequestSpec, source: ImageSource, timeout: float | None
    ) -> ImageResult:
        name = image_name(source, 0)
        try:
            request = spec.request(source, 0)
            response = self._call(self._methods.extract_features, request, timeout)
        except PixpoolError as error:
            return _request.image_failure(error, name, 0)
        return _request.result_of(response, name, 0)

    def _stream(
        self,
        spec: RequestSpec,
        sources: Iterable[ImageSource],
        on_error: OnError,
        ordered: bool,
        concurrency: int,
        timeout: float | None,
        progress: ProgressLike,
    ) -> Iterator[ImageResult]:
        # Not a generator itself: what is wrong with the arguments is said at once.
        _request.check_on_error(on_error)
        _request.check_concurrency(concurrency)
        seconds = self._seconds(timeout)
        total = len(sources) if isinstance(sources, Sized) else None
        headers = self._headers()

        def start(request: pb.ExtractFeaturesRequest, left: float | None) -> Any:
            return self._methods.extract_features.future(request, timeout=left, metadata=headers)

        window = Window(start, spec, self._retry, seconds, concurrency)

        def results() -> Iterator[ImageResult]:
            bar = Progress(progress, total)
            try:
                for result in window.run(sources, ordered):
                    yield _request.kept(result, on_error)
                    bar.update()
            finally:
                bar.close()

        return results()
