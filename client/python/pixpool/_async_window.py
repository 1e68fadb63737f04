"""Many calls with a bound on how many are under way: what runs the calls of `AsyncClient`."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from pixpool._adaptive import AdaptiveLimit
from pixpool._images import ImageSource
from pixpool._order import ResultOrder
from pixpool._results import ImageResult


class Gate:
    """Lets as many calls be under way as an `AdaptiveLimit` says."""

    def __init__(self, most: int) -> None:
        self._limit = AdaptiveLimit(most)
        self._running = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    async def enter(self) -> int:
        """Waits for room; gives what `leave` is to be told."""
        if self._running < self._limit.size:
            self._running += 1
            return self._limit.sent()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._running -= 1
                self._admit()
            raise
        return self._limit.sent()

    def leave(self, number: int, shed: bool) -> None:
        """A call has ended; whether the server shed it."""
        self._running -= 1
        self._limit.ended(number, shed)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._running < self._limit.size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)


# Does all that an image takes: (image, index, gate) gives its result, or raises what ends the run.
# Each call to the server passes the gate.
Extract: TypeAlias = Callable[[ImageSource, int, Gate], Awaitable[ImageResult]]


class AsyncWindow:
    """Extracts the images of an iterable and yields their results; used once.

    A task reads the source, and a task per image does the rest; at most `limit` of these, of which
    fewer are with the server while it sheds.
    """

    def __init__(self, extract: Extract, limit: int) -> None:
        self._extract_image = extract
        # A permit per image, from when it is taken from the source until its result is yielded.
        self._room = asyncio.Semaphore(limit)
        self._gate = Gate(limit)
        # Results; the number of images once the source has ended; what ended the run early.
        self._events: asyncio.Queue[ImageResult | int | BaseException] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self, sources: Iterable[ImageSource] | AsyncIterable[ImageSource], ordered: bool
    ) -> AsyncIterator[ImageResult]:
        self._spawn(self._read(sources))
        order = ResultOrder(ordered)
        try:
            while not order.complete:
                event = await self._events.get()
                if isinstance(event, int):
                    order.total = event
                elif isinstance(event, BaseException):
                    raise event
                else:
                    order.add(event)
                while (result := order.take()) is not None:
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
            await self._events.put(await self._extract_image(image, index, self._gate))
        except Exception as error:
            await self._events.put(error)


async def _as_async(images: Iterable[ImageSource]) -> AsyncIterator[ImageSource]:
    for image in images:
        yield image
