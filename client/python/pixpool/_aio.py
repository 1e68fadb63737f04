"""The client of a pixpool server for asyncio; `_client` has the one for threads."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence, Sized
from typing import Any, Literal

import grpc
import grpc.aio
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
from pixpool._client import DEFAULT
from pixpool._errors import PixpoolError, from_rpc_error
from pixpool._head_base import HeadsLike
from pixpool._images import ImageSource, image_name, list_images
from pixpool._methods import Methods
from pixpool._progress import Progress, ProgressLike
from pixpool._request import OnError, Options, RequestSpec
from pixpool._results import ClassScore, Extraction, Heatmap, ImageResult
from pixpool._retry import RetryPolicy, RetrySchedule


class AsyncClient:
    """`Client` for asyncio: the same arguments, results and errors; its methods are awaited.

        async with pixpool.AsyncClient("127.0.0.1:50051") as client:
            vectors = (await client.extract(["a.jpg", "b.jpg"], heads="gem")).array

    Belongs to the event loop that runs when it is made. Not thread-safe.
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
            grpc.aio.insecure_channel(target, settings)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, settings)
        )
        self._methods = Methods(self._channel)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls that are under way fail with CANCELLED."""
        await self._channel.close()

    async def extract(
        self,
        images: ImageSource | Iterable[ImageSource] | AsyncIterable[ImageSource],
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
        """Features of some images, held in memory; as `Client.extract`."""
        results = self.stream(
            images,
            heads,
            model=model,
            model_version=model_version,
            input_options=input_options,
            on_error=on_error,
            concurrency=concurrency,
            timeout=timeout,
            progress=progress,
        )
        return Extraction([result async for result in results])

    def stream(
        self,
        images: ImageSource | Iterable[ImageSource] | AsyncIterable[ImageSource],
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
    ) -> AsyncIterator[ImageResult]:
        """Features of any number of images, in bounded memory, as `Client.stream`.

        images: an iterable, or an async one. An iterable is read on the event loop, so one that
            blocks should be async; files are read on threads.
        Leaving the loop early: `contextlib.aclosing` cancels at once what is under way.
        """
        spec = RequestSpec.make(heads, model, model_version, input_options)
        _request.check_on_error(on_error)
        _request.check_concurrency(concurrency)
        seconds = self._seconds(timeout)
        sources = images if isinstance(images, AsyncIterable) else list_images(images)
        total = len(sources) if isinstance(sources, Sized) else None
        run = _Run(self, spec, seconds, concurrency)
        return _shown(run.results(sources, ordered), Progress(progress, total), on_error)

    async def classify(
        self,
        images: ImageSource | Iterable[ImageSource],
        top_k: int = 5,
        *,
        score_type: Literal["softmax", "logits"] = "softmax",
        **options: Any,
    ) -> list[list[ClassScore]]:
        """The highest scores of each image, as `Client.classify`."""
        head = _request.scores_head(top_k, score_type)
        extraction = await self.extract(images, head, **options)
        return [list(r[0].class_scores) if r.ok else [] for r in extraction]

    async def heatmap(
        self,
        images: ImageSource | Iterable[ImageSource],
        class_index: int | None = None,
        *,
        format: Literal["png_overlay", "png", "floats"] = "png_overlay",
        **options: Any,
    ) -> list[Heatmap]:
        """Where the evidence for a class lies in each image, as `Client.heatmap`."""
        head = _request.map_head(class_index, format)
        return _request.heatmaps_of(await self.extract(images, head, **options))

    async def pool(
        self,
        tensor: np.ndarray[Any, Any],
        heads: HeadsLike,
        *,
        indices: np.ndarray[Any, Any] | None = None,
        timeout: float | None = DEFAULT,
    ) -> Extraction:
        """Heads applied to feature maps of the caller's, as `Client.pool`."""
        request = _request.pool_request(tensor, heads, indices)
        return _request.pooled(await self._call(self._methods.pool_tensor, request, timeout))

    async def extract_features(
        self, request: pb.ExtractFeaturesRequest, *, timeout: float | None = DEFAULT
    ) -> pb.ExtractFeaturesResponse:
        """The API's own call: a message in, a message out, with the client's retries."""
        response: pb.ExtractFeaturesResponse = await self._call(
            self._methods.extract_features, request, timeout
        )
        return response

    async def models(self) -> list[pb.Model]:
        """All models of the server, without labels."""
        return list((await self._call(self._methods.list_models, pb.ListModelsRequest())).models)

    async def model(self, name: str = "", version: str = "") -> pb.Model:
        """One model in full, as `Client.model`."""
        request = pb.GetModelRequest(model=name, model_version=version)
        model: pb.Model = (await self._call(self._methods.get_model, request)).model
        return model

    async def health(self, service: str = "", *, timeout: float | None = DEFAULT) -> bool:
        """Whether the server, a service or a model serves now, as `Client.health`."""
        once = RetryPolicy(max_attempts=1)
        return bool(await self._call(self._methods.check_health, service, timeout, once))

    async def wait_until_ready(self, timeout: float = 60.0, service: str = "") -> None:
        """Returns when `health` says serving, as `Client.wait_until_ready`."""
        end = time.monotonic() + timeout
        pause = 0.1
        while True:
            state = "the server answers, and says that it does not serve"
            try:
                if await self.health(service, timeout=max(end - time.monotonic(), 0.1)):
                    return
            except PixpoolError as error:
                if error.code not in _request.WORTH_WAITING:
                    raise
                state = str(error)
            if time.monotonic() + pause >= end:
                raise _request.not_ready(timeout, state)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _seconds(self, timeout: float | None) -> float | None:
        seconds = self._timeout if timeout is DEFAULT else timeout
        _request.check_timeout(seconds)
        return seconds

    async def _call(
        self,
        method: Callable[..., Any],
        request: Any,
        timeout: float | None = DEFAULT,
        retry: RetryPolicy | None = None,
    ) -> Any:
        """The answer; retries within the timeout."""
        seconds = self._seconds(timeout)
        end = math.inf if seconds is None else time.monotonic() + seconds
        schedule = RetrySchedule(retry or self._retry)
        headers = self._headers()
        while True:
            left = end - time.monotonic()
            try:
                return await method(
                    request, timeout=None if math.isinf(left) else left, metadata=headers
                )
            except grpc.RpcError as failure:
                error = from_rpc_error(failure)
                delay = schedule.next(error, end - time.monotonic())
                if delay is None:
                    raise error from failure
            await asyncio.sleep(delay)

    async def _extract_one(
        self, spec: RequestSpec, source: ImageSource, index: int, timeout: float | None
    ) -> ImageResult:
        name = image_name(source, index)
        try:
            request = await asyncio.to_thread(spec.request, source, index)
            response = await self._call(self._methods.extract_features, request, timeout)
        except PixpoolError as error:
            return _request.image_failure(error, name, index)
        return _request.result_of(response, name, index)


class _Run:
    """One stream: a task that reads the source, and a task an image; at most `limit` of them."""

    def __init__(
        self, client: AsyncClient, spec: RequestSpec, timeout: float | None, limit: int
    ) -> None:
        self._client = client
        self._spec = spec
        self._timeout = timeout
        # A permit an image, from when it is taken from the source until its result is yielded.
        self._room = asyncio.Semaphore(limit)
        # Results; the number of images once the source has ended; what ended the run early.
        self._events: asyncio.Queue[ImageResult | int | BaseException] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def results(
        self, sources: Iterable[ImageSource] | AsyncIterable[ImageSource], ordered: bool
    ) -> AsyncIterator[ImageResult]:
        self._spawn(self._read(sources))
        held: dict[int, ImageResult] = {}
        total: int | None = None
        yielded = 0
        try:
            while total is None or yielded < total:
                event = await self._events.get()
                if isinstance(event, int):
                    total = event
                elif isinstance(event, BaseException):
                    raise event
                else:
                    held[event.index if ordered else yielded] = event
                while yielded in held:
                    result = held.pop(yielded)
                    yielded += 1
                    self._room.release()
                    yield result
        finally:
            for task in self._tasks:
                task.cancel()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the event loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def _read(self, sources: Iterable[ImageSource] | AsyncIterable[ImageSource]) -> None:
        index = 0
        images = sources if isinstance(sources, AsyncIterable) else _as_async(sources)
        source = aiter(images)
        try:
            while True:
                await self._room.acquire()
                try:
                    image = await anext(source)
                except StopAsyncIteration:
                    break
                self._spawn(self._extract(image, index))
                index += 1
            await self._events.put(index)
        except Exception as error:  # raised where the results are awaited
            await self._events.put(error)

    async def _extract(self, image: ImageSource, index: int) -> None:
        try:
            result = await self._client._extract_one(self._spec, image, index, self._timeout)
            await self._events.put(result)
        except Exception as error:
            await self._events.put(error)


async def _as_async(images: Iterable[ImageSource]) -> AsyncIterator[ImageSource]:
    for image in images:
        yield image


async def _shown(
    results: AsyncIterator[ImageResult], bar: Progress, on_error: OnError
) -> AsyncIterator[ImageResult]:
    try:
        async for result in results:
            yield _request.kept(result, on_error)
            bar.update()
    finally:
        bar.close()
        await results.aclose()  # type: ignore[attr-defined]
