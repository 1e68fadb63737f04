"""What callers can make the server hold beside their requests in flight: counted and bounded."""

from __future__ import annotations

import concurrent.futures
import os
import re
import time

import grpc
import h2.exceptions
import numpy as np
import pytest

import pixpool
from api import field_paths, reason
from raw_grpc import RawGrpc, message
from server_memory import MIB, status_bytes

EXTRACT = "/pixpool.v1.FeatureService/ExtractFeatures"
STREAM = "/pixpool.v1.FeatureService/StreamFeatures"
POOL = "/pixpool.v1.FeatureService/PoolTensor"
INFER_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
BUDGET = 32 * MIB
LARGEST = 16 * MIB
MAX_TEXT = 4096


@pytest.fixture(scope="module")
def tight(start_server):
    """A server whose callers can make it hold little."""
    return start_server(
        *("--max-in-flight-bytes", str(BUDGET)),
        *("--max-message-bytes", str(LARGEST)),
        *("--max-image-bytes", str(LARGEST)),
    )


@pytest.fixture
def small(client):
    return client.image(np.zeros((32, 32, 3), np.uint8))


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def resident(server) -> int:
    return status_bytes(server.process.pid, "VmRSS")


def peak(server) -> int:
    return status_bytes(server.process.pid, "VmHWM")


def gauge(server, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", server.get("/metrics")[1], re.MULTILINE)
    assert found, name
    return float(found[1])


def refusal(client, method: str, body: bytes) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        list(client.channel.stream_stream(method)(iter([body]), timeout=30))
    return error.value


@pytest.mark.parametrize(
    "method, body, path",
    [
        (EXTRACT, b"\x1a\x00" * (LARGEST // 2 - 8), "images[100000]"),
        (EXTRACT, b"\x22\x00" * (LARGEST // 2 - 8), "heads[100000]"),
        (EXTRACT, field(3, field(1, bytes(MAX_TEXT + 1))), "images[0].image_id"),
        (STREAM, field(1, field(1, bytes(8 * MIB))), "config.model"),
        (STREAM, field(2, field(1, bytes(8 * MIB))), "image.image_id"),
        (INFER_STREAM, field(5, field(1, bytes(8 * MIB))), "inputs[0].name"),
        (EXTRACT, field(99, b"") * (LARGEST // 4), ""),
    ],
)
def test_messages_that_are_dear_to_parse_are_refused_unparsed(
    api, tight, method: str, body: bytes, path: str
) -> None:
    before = peak(tight)
    error = refusal(api.client(tight.target), method, body)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error.details()
    assert reason(error) == "LIMIT_EXCEEDED"
    assert field_paths(error) == ([path] if path else [])
    assert path in error.details() and "the limit is" in error.details()
    # The message as it came, in gRPC's slices.
    assert peak(tight) - before < 3 * LARGEST


def test_a_picture_may_have_the_longest_name(client, small) -> None:
    small.image_id = "x" * MAX_TEXT
    response = client.stub.ExtractFeatures(client.pb.ExtractFeaturesRequest(images=[small]))
    assert response.results[0].image_id == small.image_id


def send_all(raw: RawGrpc, stream: int, data: bytes, seconds: float = 20) -> int:
    """Sends the data as the server gives window; says how much of it went."""
    sent = 0
    end = time.monotonic() + seconds
    while sent < len(data) and time.monotonic() < end:
        if stream in raw.trailers or stream in raw.resets:
            break
        try:
            if more := raw.send(stream, data[sent : sent + (1 << 20)]):
                sent += more
            raw.poll(0.001 if more else 0.05)
        except (OSError, h2.exceptions.ProtocolError):  # the server closed the connection
            break
    return sent


@pytest.mark.parametrize("method", [EXTRACT, STREAM])
def test_messages_that_never_end_are_bounded_in_all(api, tight, small, method: str) -> None:
    """Calls whose message lacks its end, from many connections, beside a caller who behaves.

    gRPC's quota ends calls and connections, and does not choose whose; the client's usual retries
    make up for it.
    """
    request = api.pb.ExtractFeaturesRequest(images=[small])
    body = message(bytes(LARGEST - 1024))[: -1024 * 64]
    connections = [RawGrpc(tight.target) for _ in range(20)]
    answered = 0
    try:
        with (
            pixpool.Client(tight.target) as client,
            concurrent.futures.ThreadPoolExecutor(4) as senders,
        ):
            client.extract_features(request)
            before = resident(tight)
            sent = [
                senders.submit(send_all, raw, raw.start(method, ("grpc-timeout", "30S")), body)
                for raw in connections
            ]
            while not all(one.done() for one in sent):
                client.extract_features(request, timeout=15)
                answered += 1
                assert resident(tight) - before < 4 * BUDGET
            client.extract_features(request, timeout=5)
        assert sum(one.result() for one in sent) > 2 * BUDGET, "nothing was put to the test"
        assert answered > 0
    finally:
        for raw in connections:
            raw.socket.close()


def test_the_settings_of_idle_streams_are_counted(api, tight) -> None:
    config = message(field(1, field(3, b"") * 90_000))
    with RawGrpc(tight.target) as raw:
        first = raw.start(STREAM)
        assert send_all(raw, first, config) == len(config)
        # They count as a message that is read, and then as settings: a level that stays is theirs.
        end = time.monotonic() + 10
        before, held = -1.0, 0.0
        while held < MIB or held != before:
            assert time.monotonic() < end
            raw.poll(0.2)
            before, held = held, gauge(tight, "pixpool_in_flight_bytes")
        second = raw.start(STREAM)
        assert send_all(raw, second, config) == len(config)
        trailers = raw.wait(second)
        assert trailers["grpc-status"] == "14" and "settings" in trailers["grpc-message"]
        assert first not in raw.trailers
    end = time.monotonic() + 10
    while gauge(tight, "pixpool_in_flight_bytes") > 0:
        assert time.monotonic() < end, "they are given back"
        time.sleep(0.05)


def test_fields_that_nobody_knows_are_not_kept(api, tight) -> None:
    with RawGrpc(tight.target) as raw:
        stream = raw.start(STREAM)
        body = message(field(1, field(99, bytes(8 * MIB))))
        assert send_all(raw, stream, body) == len(body)
        end = time.monotonic() + 10
        # Settings of some hundred bytes stay.
        while not 0 < gauge(tight, "pixpool_in_flight_bytes") < 10_000:
            assert time.monotonic() < end
            raw.poll(0.05)


def test_a_stream_of_messages_without_work_ends(server) -> None:
    for empty in (b"", b"\x0a\x00"):
        with RawGrpc(server.target) as raw:
            stream = raw.start(STREAM)
            raw.send(stream, message(empty) * 100)
            raw.poll(0.3)
            assert stream not in raw.trailers
            raw.send(stream, message(empty))
            trailers = raw.wait(stream)
            assert trailers["grpc-status"] == "3"
            assert "hold no work" in trailers["grpc-message"]


def test_settings_may_come_with_every_image(client, small) -> None:
    pb = client.pb
    config = pb.StreamFeaturesRequest(config=pb.StreamConfig())
    image = pb.StreamFeaturesRequest(image=small)
    answers = list(client.stub.StreamFeatures(iter([config, image] * 150), timeout=60))
    assert len(answers) == 150


def test_errors_of_a_kserve_stream_do_not_repeat_long_names(server) -> None:
    with RawGrpc(server.target, window=1 << 20) as raw:
        stream = raw.start(INFER_STREAM)
        raw.send(stream, message(field(5, field(1, b"n" * MAX_TEXT))), end=True)
        raw.wait(stream)
        assert 0 < raw.received[stream] < 1500


@pytest.mark.parametrize("timeout", ["60S", "2000000H", "2100000H", "3000000H", "99999999H"])
def test_a_deadline_may_be_as_far_away_as_the_protocol_can_say(
    client, server, small, timeout: str
) -> None:
    request = client.pb.ExtractFeaturesRequest(images=[small]).SerializeToString()
    with RawGrpc(server.target) as raw:
        stream = raw.start(EXTRACT, ("grpc-timeout", timeout))
        raw.send(stream, message(request), end=True)
        assert raw.wait(stream)["grpc-status"] == "0"


def test_reflection_takes_few_threads(server) -> None:
    def threads() -> int:
        return len(os.listdir(f"/proc/{server.process.pid}/task"))

    before = threads()
    with RawGrpc(server.target) as raw:
        streams = [raw.start(REFLECTION) for _ in range(60)]
        assert raw.wait(streams[-1])["grpc-status"] == "8"
        assert threads() <= before + 17
        assert any(stream not in raw.trailers for stream in streams), "some are served"
