"""Many calls with a bound on how many are under way: what runs the calls of `Client`."""

from __future__ import annotations

import heapq
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import grpc

from pixpool._adaptive import AdaptiveLimit
from pixpool._api import pb
from pixpool._errors import ImageError, from_rpc_error
from pixpool._images import ImageSource, image_name
from pixpool._models import Limits
from pixpool._order import ResultOrder
from pixpool._request import RequestSpec, image_failure, result_of
from pixpool._results import ImageResult
from pixpool._retry import RetryPolicy, RetrySchedule

# Starts a call: (request, timeout in seconds or None) gives a grpc.Future.
Start: TypeAlias = Callable[[pb.ExtractFeaturesRequest, float | None], Any]


class _Call:
    """One image on its way: its request, kept for sending again, and the time that it has left.

    Only time under way and waits that the server asked for count, not a slow consumer's.
    """

    def __init__(
        self, request: pb.ExtractFeaturesRequest, name: str, index: int, schedule: RetrySchedule,
        left_s: float,
    ) -> None:  # fmt: skip
        self.request = request
        self.name = name
        self.index = index
        self.schedule = schedule
        self.left_s = left_s
        self.number = 0
        self.began = 0.0
        self.future: Any = None

    def start(self, start: Start, done: Callable[[_Call], None]) -> None:
        self.began = time.monotonic()
        self.future = start(self.request, None if math.isinf(self.left_s) else self.left_s)

        def finished(_: Any) -> None:
            self.left_s -= time.monotonic() - self.began
            done(self)

        self.future.add_done_callback(finished)


class Window:
    """Sends the images of an iterable and yields their results; used once.

    Images taken from the source and not yielded yet are at most `limit`, which bounds memory; fewer
    are with the server while it sheds. The source is read on a thread of its own, so results come
    while it blocks. All else happens on the thread that iterates.
    """

    def __init__(
        self,
        start: Start,
        spec: RequestSpec,
        retry: RetryPolicy,
        timeout: float | None,
        limit: int,
        ask_limits: Callable[[], Limits | None],
        target: str,
    ) -> None:
        self._target = target
        self._start = start
        self._ask_limits = ask_limits
        self._spec = spec
        self._retry = retry
        self._timeout_s = math.inf if timeout is None else timeout
        self._room = threading.Semaphore(limit)
        self._stopped = threading.Event()
        # What happened, for the iterating thread: an image was read, the source ended (None) or
        # failed, a call has ended.
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._limit = AdaptiveLimit(limit)
        self._running: set[_Call] = set()
        self._ready: list[tuple[int, _Call]] = []  # a heap by index: the oldest goes first
        self._delayed: list[tuple[float, int, _Call]] = []  # a heap by time

    def run(self, source: Iterable[ImageSource], ordered: bool) -> Iterator[ImageResult]:
        """Raises what the source raises, and PixpoolError where all further images would fail."""
        threading.Thread(
            target=self._read, args=(source,), name="pixpool-source", daemon=True
        ).start()
        order = ResultOrder(ordered)
        try:
            while not order.complete:
                event = self._next_event()
                if isinstance(event, int):
                    order.total = event
                elif isinstance(event, BaseException) and not isinstance(event, ImageError):
                    raise event
                elif (ended := self._handle(event)) is not None:
                    order.add(ended)
                while (result := order.take()) is not None:
                    self._room.release()
                    yield result
        finally:
            self._stopped.set()
            self._room.release()  # wakes the reading thread
            for call in list(self._running):
                call.future.cancel()

    def _read(self, source: Iterable[ImageSource]) -> None:
        """Runs on the source's thread."""
        index = 0
        try:
            for image in _with_room(source, self._room, self._stopped):
                try:
                    request = self._spec.request(image, index, self._ask_limits)
                except ImageError as error:
                    self._events.put(error)
                else:
                    schedule = RetrySchedule(self._retry)
                    name = image_name(image, index)
                    self._events.put(_Call(request, name, index, schedule, self._timeout_s))
                index += 1
            self._events.put(index)
        except BaseException as error:  # raised where the results are awaited
            self._events.put(error)

    def _next_event(self) -> Any:
        """Blocks until something happened; sends what is due again meanwhile."""
        while True:
            timeout = None
            while self._delayed:
                timeout = self._delayed[0][0] - time.monotonic()
                if timeout > 0:
                    break
                self._make_ready(heapq.heappop(self._delayed)[2])
                timeout = None
            self._send_ready()
            try:
                return self._events.get(timeout=timeout)
            except queue.Empty:
                continue

    def _make_ready(self, call: _Call) -> None:
        heapq.heappush(self._ready, (call.index, call))

    def _send_ready(self) -> None:
        while self._ready and len(self._running) < self._limit.size:
            call = heapq.heappop(self._ready)[1]
            self._running.add(call)
            call.number = self._limit.sent()
            call.start(self._start, self._events.put)

    def _handle(self, event: ImageError | _Call) -> ImageResult | None:
        """The result of an image if it has one now. An image just read is to be sent."""
        if isinstance(event, ImageError):
            return ImageResult(event.image, event.index, event)
        if event.future is None:
            self._make_ready(event)
            return None
        self._running.discard(event)
        if event.future.code() is grpc.StatusCode.OK:
            self._limit.answered()
            return result_of(event.future.result(), event.name, event.index)
        failure = from_rpc_error(event.future, self._target)
        self._limit.ended(event.number, failure.shed)
        delay = event.schedule.next(failure, event.left_s)
        if delay is None:
            return image_failure(failure, event.name, event.index)
        event.left_s -= delay
        heapq.heappush(self._delayed, (time.monotonic() + delay, event.index, event))
        return None


def _with_room(
    source: Iterable[ImageSource], room: threading.Semaphore, stopped: threading.Event
) -> Iterator[ImageSource]:
    """The images, each taken from the source when there is room for it."""
    images = iter(source)
    while True:
        room.acquire()
        if stopped.is_set():
            return
        try:
            image = next(images)
        except StopIteration:
            return
        yield image
