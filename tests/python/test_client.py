"""The client for threads: results, order, bounds, retries and errors, against a server that follows
a script.
"""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc

import grpc
import numpy as np
import pytest

from pixpool import Client, Image, ImageError, PixpoolError, RetryPolicy, heads
from pixpool._request import pool_request
from pixpool.v1 import feature_service_pb2 as pb
from scripted_server import DIMENSIONS, SHED, Failure, expected

BAD = Failure(
    grpc.StatusCode.INVALID_ARGUMENT,
    "the JPEG ends early",
    "IMAGE_UNDECODABLE",
    (("images[0].encoded", "the JPEG ends early"),),
    alone=True,
)
QUICK = RetryPolicy(initial_backoff_s=0.01, max_backoff_s=0.02)


@pytest.fixture
def connect(serve):
    """connect(act, ...) gives a client of a server that follows the script, and the script."""
    clients = []

    def make(*arguments, retry=QUICK, **options):
        server = serve(*arguments)
        clients.append(Client(server.target, retry=retry, **options))
        return clients[-1], server.script

    yield make
    for client in clients:
        client.close()


def images(count):
    return [Image(data(i), f"n{i}") for i in range(count)]


def rows(count):
    return np.stack([expected(data(i)) for i in range(count)])


def data(i):
    return bytes([i % 250 + 1]) * (i + 3)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_extract_gives_a_row_an_image_in_order(connect, count):
    client, script = connect()
    got = client.extract(images(count), heads="gem:p=3,l2")
    np.testing.assert_array_equal(got.array, rows(count))
    np.testing.assert_array_equal(np.asarray(got), rows(count))
    assert got.array.dtype == np.float32
    assert got.names == [f"n{i}" for i in range(count)]
    assert got.space_ids == {"gem": "0" * 32}
    assert (got.model.name, got.model.version) == ("scripted", "1")
    assert got.stage_times.backbone == pytest.approx(0.005)
    assert got[0].size == (40, 30) and got[0]["gem"].layer == "features"
    sent = script.requests[0].heads[0]
    assert sent.gem.p == 3 and sent.l2_normalized


def test_one_image_is_a_list_of_one(connect, tmp_path):
    client, _ = connect()
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    for form in (path, str(path), b"abc", bytearray(b"abc"), np.frombuffer(b"abc", np.uint8)):
        np.testing.assert_array_equal(client.extract(form).array, expected(b"abc")[None])


def test_several_heads_are_found_by_id(connect):
    client, _ = connect()
    got = client.extract(images(2), heads=["gem", heads.GlobalMax(head_id="max")])
    assert got["gem"].shape == got["max"].shape == (2, DIMENSIONS)
    with pytest.raises(ValueError, match=r'several heads \(gem, max\): write extraction\["gem"\]'):
        _ = got.array
    with pytest.raises(KeyError, match='no head "avg"; the heads are gem, max'):
        _ = got["avg"]


def test_a_bad_image_is_named_and_carries_what_the_server_said(connect):
    client, _ = connect(lambda name, attempt: BAD if name == "n2" else None)
    for count in (5, 3):
        with pytest.raises(ImageError) as caught:
            client.extract(images(count))
        error = caught.value
        assert (error.image, error.index, error.code) == ("n2", 2, grpc.StatusCode.INVALID_ARGUMENT)
        assert (error.reason, error.fields[0].field) == ("IMAGE_UNDECODABLE", "images[0].encoded")
        assert error.metadata == {"limit": "7"}
        assert (
            str(error)
            == "n2: INVALID_ARGUMENT (IMAGE_UNDECODABLE): the JPEG ends early [images[0].encoded]"
        )


def test_a_bad_image_fails_alone_where_errors_are_returned(connect):
    client, _ = connect(lambda name, attempt: BAD if name == "n1" else None)
    got = client.extract(images(3), on_error="return")
    assert got.ok.tolist() == [True, False, True]
    np.testing.assert_array_equal(got.array[[0, 2]], rows(3)[[0, 2]])
    assert np.isnan(got.array[1]).all()
    np.testing.assert_array_equal(got.succeeded().array, rows(3)[[0, 2]])
    assert [r.index for r in got.succeeded()] == [0, 2]
    assert [e.image for e in got.errors] == ["n1"]
    with pytest.raises(ImageError, match="n1: INVALID_ARGUMENT"):
        _ = got[1].values


def test_a_file_that_cannot_be_read_fails_alone(connect, tmp_path):
    client, script = connect()
    (tmp_path / "empty.png").touch()
    got = client.extract(
        [tmp_path / "no.png", b"abc", tmp_path, tmp_path / "empty.png"], on_error="return"
    )
    codes = [e.code.name for e in got.errors]
    assert codes == ["NOT_FOUND", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    assert str(tmp_path / "no.png") in str(got.errors[0]) and "0 bytes" in str(got.errors[2])
    assert sum(script.attempts.values()) == 1


@pytest.mark.parametrize("count", [1, 12])
def test_shed_images_are_sent_again_and_none_is_lost_or_doubled(connect, count):
    client, script = connect(lambda name, attempt: SHED if attempt <= 2 else None)
    got = client.extract(images(count))
    np.testing.assert_array_equal(got.array, rows(count))
    assert set(script.attempts.values()) == {3}


def test_fewer_images_are_under_way_while_the_server_sheds(connect):
    """32 callers and room for 4: the window finds the room. Sent again as soon as they may be, all
    would be shed some thousand times.
    """
    room, shed = threading.Semaphore(4), []

    def act(name, attempt):
        if not room.acquire(blocking=False):
            shed.append(name)
            return SHED
        time.sleep(0.02)
        room.release()
        return None

    client, script = connect(act, retry=RetryPolicy(max_attempts=1000), timeout=60)
    results = list(client.stream(images(400), concurrency=32))
    np.testing.assert_array_equal(np.stack([r.head_results[0].values for r in results]), rows(400))
    assert sum(script.attempts.values()) == 400 + len(shed)
    assert 0 < len(shed) < 400


def test_waits_are_spread_so_that_nobody_comes_back_in_step(connect):
    """Shed together and told the same time, no two come back together."""
    together = threading.Barrier(16, timeout=30)
    shed = Failure(grpc.StatusCode.UNAVAILABLE, "full", "OVERLOADED", retry_after_s=0.5)
    back = []

    def act(name, attempt):
        if attempt == 1:
            together.wait()
            return shed
        back.append(time.monotonic())
        return None

    client, _ = connect(act, timeout=30)
    threads = [threading.Thread(target=client.extract, args=(images(16)[i],)) for i in range(16)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    back.sort()
    assert back[0] - began >= 0.5
    # A fifth of the wait is what they are spread over: 100 ms.
    assert back[-1] - back[0] > 0.03


def test_no_attempt_begins_beyond_the_timeout(connect):
    """Of an image: a wait that the server asked for is not begun where the timeout comes first."""
    shed = Failure(grpc.StatusCode.UNAVAILABLE, "full", "OVERLOADED", retry_after_s=2)
    client, script = connect(
        lambda name, attempt: shed, retry=RetryPolicy(max_attempts=1000), timeout=3
    )
    for given in (images(1), images(2)):
        script.attempts.clear()
        began = time.monotonic()
        with pytest.raises(PixpoolError, match="OVERLOADED"):
            client.extract(given)
        # The third would begin at 4 s or later. On a slow machine the second may come too late.
        assert max(script.attempts.values()) <= 2
        assert time.monotonic() - began < 4


def test_priority_reaches_the_server(connect):
    client, script = connect()

    def sent(work):
        script.requests.clear()
        list(work())
        return {pb.Priority.Name(request.priority) for request in script.requests}

    assert sent(lambda: client.extract(b"abc")) == {"PRIORITY_UNSPECIFIED"}
    assert sent(lambda: client.extract(images(2), priority="bulk")) == {"PRIORITY_BULK"}
    assert sent(lambda: client.classify(b"abc", priority="interactive")) == {"PRIORITY_INTERACTIVE"}
    assert sent(lambda: client.stream(images(2))) == {"PRIORITY_BULK"}
    assert sent(lambda: client.stream(images(2), priority=None)) == {"PRIORITY_UNSPECIFIED"}
    assert sent(lambda: client.stream(images(2), priority="interactive")) == {
        "PRIORITY_INTERACTIVE"
    }
    maps = np.ones((1, 2, 3, 3), np.float32)
    assert pool_request(maps, "gem", None, "bulk").priority == pb.PRIORITY_BULK
    for ask in (client.extract, client.stream):
        with pytest.raises(ValueError, match='priority must be "interactive", "bulk" or None'):
            ask(images(1), priority="urgent")
    with pytest.raises(ValueError, match="priority must be"):
        client.pool(maps, "gem", priority="urgent")


def test_the_server_says_how_long_to_wait(connect):
    """RetryInfo first; the pushback trailer wins, and a negative one forbids."""
    shed = Failure(grpc.StatusCode.UNAVAILABLE, "full", "OVERLOADED", retry_after_s=0.3)
    client, _ = connect(lambda name, attempt: shed if attempt == 1 else None)
    began = time.monotonic()
    client.extract(b"abc")
    assert 0.3 <= time.monotonic() - began < 5

    shed = Failure(
        grpc.StatusCode.UNAVAILABLE, "full", "OVERLOADED", retry_after_s=9, pushback="200"
    )
    client, _ = connect(lambda name, attempt: shed if attempt == 1 else None)
    began = time.monotonic()
    client.extract(images(2))
    assert 0.2 <= time.monotonic() - began < 5

    shed = Failure(grpc.StatusCode.UNAVAILABLE, "full", "OVERLOADED", pushback="-1")
    client, script = connect(lambda name, attempt: shed)
    with pytest.raises(ImageError, match="OVERLOADED"):
        client.extract(b"abc")
    assert sum(script.attempts.values()) == 1


@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        (SHED, 5),
        (Failure(grpc.StatusCode.UNAVAILABLE, reason="MODEL_LOADING"), 5),
        (Failure(grpc.StatusCode.UNAVAILABLE, reason="SOMETHING_ELSE"), 1),
        (Failure(grpc.StatusCode.RESOURCE_EXHAUSTED), 1),
        (Failure(grpc.StatusCode.DEADLINE_EXCEEDED, reason="DEADLINE_IN_QUEUE"), 1),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, reason="HEAD_INVALID"), 1),
        (Failure(grpc.StatusCode.INTERNAL, reason="INFERENCE_FAILED"), 1),
    ],
)
def test_what_is_tried_again_and_how_often(connect, failure, attempts):
    client, script = connect(lambda name, attempt: failure)
    for given in (images(1), images(2)):
        script.attempts.clear()
        with pytest.raises(PixpoolError) as caught:
            client.extract(given)
        assert caught.value.code is failure.code and caught.value.reason == failure.reason
        assert max(script.attempts.values()) == attempts


def test_a_request_that_is_refused_ends_the_run(connect):
    """Every further image would fail alike, so the error is the call's, also where errors are
    returned.
    """
    refused = Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "p must be above 0",
        "HEAD_INVALID",
        (("heads[0].gem.p", "must be above 0"),),
    )
    client, script = connect(lambda name, attempt: refused)
    with pytest.raises(PixpoolError) as caught:
        list(client.stream(images(500), "gem", concurrency=4))
    assert not isinstance(caught.value, ImageError)
    assert str(caught.value) == (
        "INVALID_ARGUMENT (HEAD_INVALID): p must be above 0 [heads[0].gem.p: must be above 0]"
    )
    assert len(script.requests) < 20


def test_no_server_is_unavailable_without_a_reason():
    with (
        Client("127.0.0.1:1", retry=QUICK, timeout=5) as client,
        pytest.raises(PixpoolError) as caught,
    ):
        client.extract(b"abc")
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")


def test_the_timeout_bounds_waits_and_calls(connect):
    client, script = connect(lambda name, attempt: SHED, retry=RetryPolicy(max_attempts=1000))
    began = time.monotonic()
    with pytest.raises(PixpoolError, match="OVERLOADED"):
        client.extract(images(3), timeout=0.5)
    assert time.monotonic() - began < 3 and script.attempts["n0"] > 3

    never = threading.Event()
    client, _ = connect(lambda name, attempt: never)
    for given in (images(1), images(3)):
        with pytest.raises(ImageError) as caught:
            client.extract(given, timeout=0.2)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    never.set()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_takes_no_more_than_its_share(connect, ordered):
    """Images taken from the source and not yielded yet never exceed the bound, even behind one that
    is slow.
    """
    slow = threading.Event()
    client, script = connect(lambda name, attempt: slow if name == "n0" else None)
    taken = []

    def source():
        for image in images(60):
            taken.append(image.name)
            yield image

    results = client.stream(source(), concurrency=5, ordered=ordered)
    got = []
    if ordered:
        wait_for(
            lambda: len(script.requests) == 0
        )  # nothing happens before the first result is asked for
        first = threading.Thread(target=lambda: got.append(next(results)), daemon=True)
        first.start()
        wait_for(lambda: len(script.requests) == 5)
        time.sleep(0.2)
        assert len(taken) == 5 and not got  # four are done and wait behind the slow one
        slow.set()
        first.join(30)
    else:
        for result in results:
            got.append(result)
            assert len(taken) <= len(got) + 5
            if len(got) == 59:
                slow.set()
    got += results
    order = [r.index for r in got]
    assert sorted(order) == list(range(60))
    assert order == sorted(order) if ordered else order[-1] == 0
    np.testing.assert_array_equal(
        np.stack([r.values for r in sorted(got, key=lambda r: r.index)]), rows(60)
    )
    assert script.most_running <= 5


def test_results_come_while_the_source_blocks(connect):
    """The next image exists only after the result of the one before: a stream must not read ahead
    to go on.
    """
    client, _ = connect()
    ready = threading.Semaphore(1)

    def source():
        for image in images(5):
            assert ready.acquire(timeout=30)
            yield image

    for result in client.stream(source(), concurrency=4):
        assert result.ok
        ready.release()


def test_a_stream_left_early_cancels_what_is_under_way(connect):
    never = threading.Event()
    client, script = connect(lambda name, attempt: None if name == "n0" else never)
    results = client.stream(images(100), concurrency=4, timeout=None)
    assert next(results).index == 0
    wait_for(lambda: len(script.requests) == 4)
    results.close()
    wait_for(
        lambda: script.ended == 4, 10
    )  # long before any of the three would have had its answer
    assert len(script.requests) == 4
    never.set()


def test_memory_of_a_stream_is_bounded(connect):
    """40 MB of images through a window of 2 MB; the script's server keeps what it saw outside of
    Python's heap.
    """
    client, _ = connect()
    source = (bytes([i + 1]) * 250_000 for i in range(160))
    tracemalloc.start()
    try:
        assert sum(r.ok for r in client.stream(source, concurrency=8)) == 160
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16e6


def test_what_the_source_raises_reaches_the_caller(connect):
    client, _ = connect()

    def source():
        yield b"abc"
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(client.stream(source()))
    with pytest.raises(TypeError, match="not int"):
        list(client.stream([b"abc", 5]))


def test_threads_share_a_client(connect):
    client, _ = connect()
    wrong = []

    def work():
        if not np.array_equal(client.extract(images(10)).array, rows(10)):
            wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_progress_counts_images(connect):
    client, _ = connect()
    seen = []
    client.extract(images(7), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 7) for i in range(1, 8)]
    seen.clear()
    list(client.stream(iter(images(3)), progress=lambda done, total: seen.append((done, total))))
    assert seen == [(1, None), (2, None), (3, None)]


def test_progress_is_a_bar_where_tqdm_is_installed(connect, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    client, _ = connect()
    client.extract(images(7), progress=True)
    assert "7/7" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert len(client.extract(images(7), progress=True)) == 7
    assert not capsys.readouterr().err


def test_metadata_model_and_options_reach_the_server(connect):
    from pixpool import InputOptions

    client, script = connect(metadata=(("authorization", "Bearer x"),))
    options = InputOptions(
        resize="exact",
        crop="none",
        input_size=(32, 48),
        background=(1, 2, 3),
        scales=(1, 0.5),
        damaged="refuse",
    )
    client.extract(images(2), model="m", model_version="7", input_options=options)
    assert script.metadata[0]["authorization"] == "Bearer x"
    request = script.requests[0]
    sent = request.input_options
    assert (request.model, request.model_version) == ("m", "7")
    assert (sent.input_height_px, sent.input_width_px, list(sent.scales)) == (32, 48, [1, 0.5])
    assert (sent.background.red, sent.background.green, sent.background.blue) == (1, 2, 3)
    assert not sent.HasField("apply_exif") and not sent.flip
    assert sent.damaged == pb.DAMAGED_MODE_REFUSE


def test_metadata_of_a_function_is_that_of_the_thread_that_calls(connect):
    """As a tracing library needs it: on another thread it would not say the caller's trace."""
    here = threading.local()
    here.span = "a"
    client, script = connect(
        metadata=lambda: [("traceparent", getattr(here, "span", "another thread"))]
    )
    client.extract(images(5))
    here.span = "b"
    client.extract(b"one")
    assert [sent["traceparent"] for sent in script.metadata] == [*"aaaaab"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"concurrency": 0}, "concurrency must be 1 to 1024, is 0"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"on_error": "ignore"}, 'on_error must be "raise" or "return"'),
        ({"heads": "nope"}, 'no kind "nope"; kinds are global_avg'),
    ],
)
def test_arguments_out_of_range_are_refused_at_once(arguments, message):
    with Client() as client:
        for given in ([b"a"], [b"a", b"b"]):
            with pytest.raises(ValueError, match=message):
                client.extract(given, **arguments)
        with pytest.raises(ValueError, match=message):
            client.stream([b"a"], **arguments)  # before it is iterated


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
