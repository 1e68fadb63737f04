"""The client for asyncio: the same results, bounds, retries and errors as the one for threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import grpc
import numpy as np
import pytest

from pixpool import AsyncClient, Image, ImageError, PixpoolError, RetryPolicy
from pixpool.v1 import feature_service_pb2 as pb
from scripted_server import SHED, Failure, expected

BAD = Failure(grpc.StatusCode.INVALID_ARGUMENT, "not a picture", "IMAGE_UNDECODABLE", alone=True)
QUICK = RetryPolicy(initial_backoff_s=0.01, max_backoff_s=0.02)


def images(count):
    return [Image(data(i), f"n{i}") for i in range(count)]


def rows(count):
    return np.stack([expected(data(i)) for i in range(count)])


def data(i):
    return bytes([i % 250 + 1]) * (i + 3)


@pytest.fixture
def play(serve):
    """play(act, work) runs the coroutine work(client, script) against a server that follows the
    script.
    """

    def run(act, work, **options):
        server = serve(act)

        async def inner():
            async with AsyncClient(server.target, **{"retry": QUICK} | options) as client:
                await asyncio.wait_for(work(client, server.script), 60)

        asyncio.run(inner())

    return run


def nothing(name, attempt):
    return None


def test_extract_from_all_kinds_of_iterables(play, tmp_path):
    async def work(client, script):
        got = await client.extract(images(30), "gem")
        np.testing.assert_array_equal(got.array, rows(30))
        assert got.space_ids == {"gem": "0" * 32}

        async def source():
            for image in images(5):
                await asyncio.sleep(0)
                yield image

        np.testing.assert_array_equal((await client.extract(source())).array, rows(5))
        (tmp_path / "a.jpg").write_bytes(b"abc")
        np.testing.assert_array_equal(
            (await client.extract(tmp_path / "a.jpg")).array[0], expected(b"abc")
        )

    play(nothing, work)


def test_shed_images_are_sent_again_and_bad_ones_fail_alone(play):
    async def work(client, script):
        got = await client.extract(images(12), on_error="return")
        assert [e.image for e in got.errors] == ["n7"] and got.errors[
            0
        ].reason == "IMAGE_UNDECODABLE"
        np.testing.assert_array_equal(got.succeeded().array, np.delete(rows(12), 7, 0))
        assert set(script.attempts.values()) == {3}
        with pytest.raises(ImageError, match="n7: INVALID_ARGUMENT"):
            await client.extract(images(12))

    play(lambda name, attempt: SHED if attempt <= 2 else BAD if name == "n7" else None, work)


def test_fewer_images_are_under_way_while_the_server_sheds(play):
    room, shed = threading.Semaphore(4), []

    def act(name, attempt):
        if not room.acquire(blocking=False):
            shed.append(name)
            return SHED
        time.sleep(0.02)
        room.release()
        return None

    async def work(client, script):
        got = await client.extract(images(200), concurrency=32, timeout=60)
        np.testing.assert_array_equal(got.array, rows(200))
        assert sum(script.attempts.values()) == 200 + len(shed)
        assert 0 < len(shed) < 200

    play(act, work, retry=RetryPolicy(max_attempts=1000))


def test_waits_for_the_window_do_not_count(play):
    """One shed image brings the window down; those behind it have their whole time still."""
    busy = threading.Lock()

    def act(name, attempt):
        if not busy.acquire(blocking=False):
            return SHED
        time.sleep(0.1)
        busy.release()
        return None

    async def work(client, script):
        got = await client.extract(images(40), concurrency=32, timeout=1.5)
        assert got.ok.all()

    play(act, work, retry=RetryPolicy(max_attempts=1000))


def test_priority_reaches_the_server(play):
    async def work(client, script):
        await client.extract(images(1), priority="interactive")
        assert [r.priority for r in script.requests] == [pb.PRIORITY_INTERACTIVE]
        script.requests.clear()
        assert [r.ok async for r in client.stream(images(2))] == [True, True]
        assert [r.priority for r in script.requests] == [pb.PRIORITY_BULK] * 2
        script.requests.clear()
        await client.extract(images(1))
        assert [r.priority for r in script.requests] == [pb.PRIORITY_UNSPECIFIED]
        with pytest.raises(ValueError, match="priority must be"):
            await client.pool(np.ones((1, 2, 3, 3), np.float32), "gem", priority="urgent")

    play(nothing, work)


def test_a_request_that_is_refused_ends_the_run(play):
    async def work(client, script):
        with pytest.raises(PixpoolError, match="HEAD_INVALID") as caught:
            await client.extract(images(100), concurrency=4)
        assert not isinstance(caught.value, ImageError) and len(script.requests) < 20

    play(
        lambda name, attempt: Failure(grpc.StatusCode.INVALID_ARGUMENT, "no", "HEAD_INVALID"), work
    )


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_takes_no_more_than_its_share(play, ordered):
    slow = threading.Event()
    taken = []

    def source():
        for image in images(40):
            taken.append(image.name)
            yield image

    async def work(client, script):
        got = []

        async def release():
            while len(script.requests) < 5:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.2)
            if ordered:
                assert len(taken) == 5 and not got
                slow.set()

        waiting = asyncio.ensure_future(release())
        async for result in client.stream(source(), concurrency=5, ordered=ordered):
            got.append(result)
            # In order, the reader may have gone on while this loop was suspended.
            assert len(taken) <= len(got) + 5
            if not ordered and len(got) == 39:
                slow.set()
        await waiting
        order = [r.index for r in got]
        assert sorted(order) == list(range(40))
        assert order == sorted(order) if ordered else order[-1] == 0
        np.testing.assert_array_equal(
            np.stack([r.values for r in sorted(got, key=lambda r: r.index)]), rows(40)
        )
        assert script.most_running <= 5

    play(lambda name, attempt: slow if name == "n0" else None, work)


def test_a_stream_left_early_cancels_what_is_under_way(play):
    never = threading.Event()

    async def work(client, script):
        async with contextlib.aclosing(
            client.stream(images(100), concurrency=4, timeout=None)
        ) as results:
            async for result in results:
                assert result.index == 0
                break
            while len(script.requests) < 4:
                await asyncio.sleep(0.005)
        end = time.monotonic() + 10  # long before any of the others would have had its answer
        while script.ended < len(script.requests):
            assert time.monotonic() < end
            await asyncio.sleep(0.005)
        assert len(script.requests) <= 6
        never.set()

    play(lambda name, attempt: None if name == "n0" else never, work)


def test_the_timeout_bounds_waits_and_calls(play):
    never = threading.Event()

    async def hang(client, script):
        with pytest.raises(ImageError) as caught:
            await client.extract(images(3), timeout=0.2)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        never.set()

    play(lambda name, attempt: never, hang)

    async def shed(client, script):
        began = time.monotonic()
        with pytest.raises(PixpoolError, match="OVERLOADED"):
            await client.extract(images(3), timeout=0.5)
        assert time.monotonic() - began < 3

    play(
        lambda name, attempt: Failure(
            grpc.StatusCode.UNAVAILABLE, "", "OVERLOADED", retry_after_s=0.2
        ),
        shed,
    )


def test_what_the_source_raises_reaches_the_caller(play):
    async def work(client, script):
        async def source():
            yield b"abc"
            raise RuntimeError("the disk is gone")

        with pytest.raises(RuntimeError, match="the disk is gone"):
            await client.extract(source())
        with pytest.raises(ValueError, match="no kind"):
            client.stream([b"abc"], "nope")

    play(nothing, work)
