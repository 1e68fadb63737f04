"""The client of a pixpool server for asyncio; `_client` has the one for threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence, Sized
from typing import Any, Unpack

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._async_window import AsyncWindow, Gate
from pixpool._base import (
    ClassifyOptions,
    ClientBase,
    HeatmapOptions,
    MapForm,
    Plan,
    ScoreForm,
    scores_of,
)
from pixpool._call import Answer, Attempts, Call, Readiness
from pixpool._errors import PixpoolError
from pixpool._head_base import HeadsLike
from pixpool._images import ImageSource, image_name, list_images
from pixpool._models import Limits, ModelInfo
from pixpool._not_given import NOT_GIVEN, NotGiven
from pixpool._progress import Progress, ProgressLike
from pixpool._regions import RegionsLike
from pixpool._request import (
    OnError,
    Options,
    OptionsOfRegions,
    Priority,
    RealArray,
    heatmaps_of,
    image_failure,
    map_head,
    scores_head,
)
from pixpool._results import ClassScore, Extraction, Heatmap, ImageResult


class AsyncClient(ClientBase):
    """`Client` for asyncio: the same arguments, results and errors; its methods are awaited.

        async with pixpool.AsyncClient("127.0.0.1:50051") as client:
            vectors = (await client.extract(["a.jpg", "b.jpg"], heads="gem")).array

    Belongs to the event loop that runs when it is made. Not thread-safe.
    """

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
        timeout: float | None | NotGiven = NOT_GIVEN,
        priority: Priority | None = None,
        progress: ProgressLike = False,
        regions: RegionsLike = (),
        region_options: OptionsOfRegions = None,
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
            priority=priority,
            progress=progress,
            regions=regions,
            region_options=region_options,
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
        timeout: float | None | NotGiven = NOT_GIVEN,
        priority: Priority | None = "bulk",
        progress: ProgressLike = False,
        regions: RegionsLike = (),
        region_options: OptionsOfRegions = None,
    ) -> AsyncIterator[ImageResult]:
        """Features of any number of images, in bounded memory, as `Client.stream`.

        images: an iterable, or an async one. An iterable is read on the event loop, so one that
            blocks should be async; files are read on threads.
        Leaving the loop early: `contextlib.aclosing` cancels at once what is under way.
        """
        plan = self._plan(
            heads,
            model,
            model_version,
            input_options,
            on_error,
            concurrency,
            timeout,
            priority,
            regions,
            region_options,
        )
        sources = images if isinstance(images, AsyncIterable) else list_images(images)
        total = len(sources) if isinstance(sources, Sized) else None

        async def extract(source: ImageSource, index: int, gate: Gate) -> ImageResult:
            return await self._extract_one(plan, source, index, gate)

        results = AsyncWindow(extract, concurrency).run(sources, ordered)
        return _shown(results, Progress(progress, total), plan)

    async def classify(
        self,
        images: ImageSource | Iterable[ImageSource],
        top_k: int | None = None,
        *,
        score_type: ScoreForm | None = None,
        **options: Unpack[ClassifyOptions],
    ) -> list[list[ClassScore]]:
        """The highest scores of each image, as `Client.classify`."""
        return scores_of(await self.extract(images, scores_head(top_k, score_type), **options))

    async def heatmap(
        self,
        images: ImageSource | Iterable[ImageSource],
        class_index: int | None = None,
        *,
        layer: str | None = None,
        format: MapForm = "png_overlay",
        **options: Unpack[HeatmapOptions],
    ) -> list[Heatmap]:
        """Where the evidence for a class lies in each image, as `Client.heatmap`."""
        return heatmaps_of(
            await self.extract(images, map_head(class_index, layer, format), **options)
        )

    async def pool(
        self,
        tensor: RealArray,
        heads: HeadsLike,
        *,
        indices: NDArray[np.integer[Any]] | None = None,
        timeout: float | None | NotGiven = NOT_GIVEN,
        priority: Priority | None = None,
    ) -> Extraction:
        """Heads applied to feature maps of the caller's, as `Client.pool`."""
        return await self._do(self._pooling(tensor, heads, indices, timeout, priority))

    async def extract_features(
        self,
        request: pb.ExtractFeaturesRequest,
        *,
        timeout: float | None | NotGiven = NOT_GIVEN,
    ) -> pb.ExtractFeaturesResponse:
        """The API's own call: a message in, a message out, with the client's retries."""
        return await self._do(self._extracting(request, timeout))

    async def models(self) -> list[ModelInfo]:
        """All models of the server, without labels."""
        return await self._do(self._listing())

    async def model(self, name: str = "", version: str = "") -> ModelInfo:
        """One model in full, as `Client.model`."""
        return await self._do(self._describing(name, version))

    async def health(
        self, service: str = "", *, timeout: float | None | NotGiven = NOT_GIVEN
    ) -> bool:
        """Whether the server, a service or a model serves now, as `Client.health`."""
        return await self._do(self._checking(service, timeout))

    async def wait_until_ready(self, timeout: float = 60.0, service: str = "") -> None:
        """Returns when `health` says serving, as `Client.wait_until_ready`."""
        waiting = Readiness(timeout)
        while True:
            failure = None
            try:
                if await self.health(service, timeout=waiting.timeout()):
                    return
            except PixpoolError as error:
                failure = error
            await asyncio.sleep(waiting.pause_after(failure))

    @staticmethod
    def _open_channel(
        target: str,
        credentials: grpc.ChannelCredentials | None,
        settings: Sequence[tuple[str, Any]],
    ) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(target, settings)
        return grpc.aio.secure_channel(target, credentials, settings)

    async def _do(self, call: Call[Answer], gate: Gate | None = None) -> Answer:
        """The answer to a call; retries within the timeout, in which waits for the gate do not
        count.
        """
        headers = self._headers()
        attempts = Attempts(call, self.target)
        number = 0
        while True:
            if gate is not None:
                began = time.monotonic()
                number = await gate.enter()
                attempts.forgive(time.monotonic() - began)
            try:
                response = await call.method(
                    call.request, timeout=attempts.timeout(), metadata=headers
                )
                return call.result(response)
            except grpc.RpcError as failure:
                wait = attempts.wait_after(failure)
            finally:
                if gate is not None:
                    gate.leave(number, attempts.shed)
            await asyncio.sleep(wait)

    async def _ask_limits(self, plan: Plan) -> Limits | None:
        """None where the server does not say."""
        if self._limits.stale:
            try:
                limits = await self._do(self._asking_limits(plan))
            except PixpoolError:
                self._limits.put(None)
            else:
                self._limits.put(limits)
        return self._limits.limits

    async def _extract_one(
        self, plan: Plan, source: ImageSource, index: int, gate: Gate
    ) -> ImageResult:
        try:
            # Files are read on a thread, so that the event loop goes on meanwhile.
            loop = asyncio.get_running_loop()

            def ask() -> Limits | None:
                return asyncio.run_coroutine_threadsafe(self._ask_limits(plan), loop).result()

            call = await asyncio.to_thread(self._extracting_one, plan, source, index, ask)
            return await self._do(call, gate)
        except PixpoolError as error:
            return image_failure(error, image_name(source, index), index)


async def _shown(
    results: AsyncIterator[ImageResult], bar: Progress, plan: Plan
) -> AsyncIterator[ImageResult]:
    try:
        async for result in results:
            yield plan.kept(result)
            bar.update()
    finally:
        bar.close()
        await results.aclose()  # type: ignore[attr-defined]
