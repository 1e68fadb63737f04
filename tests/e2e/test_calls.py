"""Calls at the door: refused before their message is read, malformed, never sent, never read."""

from __future__ import annotations

import re
import time

import grpc
import numpy as np
import pytest

from api import field_paths, reason
from raw_grpc import RawGrpc, message

EXTRACT = "/pixpool.v1.FeatureService/ExtractFeatures"
STREAM = "/pixpool.v1.FeatureService/StreamFeatures"
UNARY = [
    EXTRACT,
    "/pixpool.v1.FeatureService/PoolTensor",
    "/pixpool.v1.FeatureService/GetModel",
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelReady",
]
STREAMS = [STREAM, "/inference.GRPCInferenceService/ModelStreamInfer"]
GARBAGE = b"\xff\xff\xff\xff no message"


@pytest.fixture(scope="module")
def impatient(start_server):
    """A server whose calls have half a second where they say nothing."""
    return start_server("--default-deadline-ms", "500", "--max-deadline-ms", "2000")


@pytest.fixture
def small(client):
    return client.image(np.zeros((32, 32, 3), np.uint8))


def gauges(server, *names: str) -> list[float]:
    """Of one moment: what is counted may be over a little later."""
    text = server.get("/metrics")[1]
    found = [re.search(rf"^{name} (\S+)$", text, re.MULTILINE) for name in names]
    assert all(found), names
    return [float(match[1]) for match in found]


def gauge(server, name: str) -> float:
    return gauges(server, name)[0]


def wait_for(what, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def call(client, method: str, *messages: bytes) -> grpc.RpcError:
    """The error of a call with these messages."""
    stub = client.channel.stream_stream(method)
    with pytest.raises(grpc.RpcError) as error:
        list(stub(iter(messages), timeout=20))
    return error.value


@pytest.mark.parametrize("method", UNARY + STREAMS)
def test_bytes_that_are_no_message_are_the_callers_fault(client, method: str) -> None:
    error = call(client, method, GARBAGE)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == "REQUEST_INVALID"
    assert "no message of the type" in error.details()


@pytest.mark.parametrize("method", UNARY)
def test_a_unary_call_has_one_message(client, method: str) -> None:
    none = call(client, method)
    assert none.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "has no message" in none.details()


def test_two_messages_are_too_many(client, small) -> None:
    request = client.pb.ExtractFeaturesRequest(images=[small] * 32).SerializeToString()
    two = call(client, EXTRACT, request, request)
    assert two.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "more than one message" in two.details()


def test_an_unknown_method_is_named(client) -> None:
    for method in ("/pixpool.v1.FeatureService/Nope", "/nobody.Knows/This"):
        error = call(client, method, b"")
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        assert reason(error) == "NOT_IMPLEMENTED"
        assert method in error.details()


def test_a_call_is_refused_before_its_message_is_sent(server) -> None:
    with RawGrpc(server.target) as raw:
        for method in (EXTRACT, STREAM, UNARY[1], UNARY[3], STREAMS[1]):
            stream = raw.start(method, ("pixpool-priority", "urgent"))
            trailers = raw.wait(stream)
            assert trailers["grpc-status"] == "3", method
            assert "pixpool-priority" in trailers["grpc-message"]


def test_a_message_that_never_arrives_ends_at_the_deadline(impatient) -> None:
    with RawGrpc(impatient.target) as raw:
        silent = raw.start(EXTRACT)
        slow = raw.start(UNARY[4])
        raw.send(slow, message(bytes(1000))[:100])
        for stream in (silent, slow):
            trailers = raw.wait(stream, 5)
            assert trailers["grpc-status"] == "4"
            assert "arrived" in trailers["grpc-message"]


@pytest.mark.parametrize("headers", [[], [("grpc-timeout", "900m")]], ids=["server's", "its own"])
def test_an_answer_counts_until_it_is_read(impatient, client, small, headers) -> None:
    """The client reads none of the answer; the server holds it to the budget and to its time, which
    is the server's or the client's own deadline."""
    request = client.pb.ExtractFeaturesRequest(
        images=[small], heads=[client.head("feature_map:layer=stem")], priority=1
    ).SerializeToString()
    dropped = gauge(impatient, "pixpool_unread_answers_dropped_total")
    with RawGrpc(impatient.target, window=0) as raw:
        stream = raw.start(EXTRACT, *headers)
        raw.send(stream, message(request), end=True)
        seen = []

        def unread() -> bool:
            seen[:] = gauges(
                impatient,
                "pixpool_unread_answers",
                "pixpool_unread_answer_bytes",
                "pixpool_in_flight_requests",
                "pixpool_in_flight_bytes",
            )
            return seen[0] == 1

        wait_for(unread)
        assert seen[1] > 1_000_000
        assert seen[2] == 1
        assert seen[3] > 1_000_000
        wait_for(lambda: gauge(impatient, "pixpool_in_flight_requests") == 0)
        assert gauge(impatient, "pixpool_unread_answers") == 0
        assert gauge(impatient, "pixpool_unread_answers_dropped_total") == dropped + 1
    wait_for(lambda: impatient.lines("answer_unread"))
    line = impatient.lines("answer_unread")[-1]
    assert (line["method"], line["caller"]) == ("ExtractFeatures", "127.0.0.1")
    assert line["bytes"] > 1_000_000


def test_a_stream_that_nobody_reads_ends(impatient, api, client, small) -> None:
    pb = client.pb
    # The first pass over a layer is a slow one, and with a deadline as short as this one five such
    # passes would be refused.
    for _ in range(8):
        api.client(impatient.target).features(
            np.zeros((32, 32, 3), np.uint8), "feature_map:layer=stem"
        )
    config = pb.StreamConfig(heads=[client.head("feature_map:layer=stem")])
    one = message(pb.StreamFeaturesRequest(config=config, image=small).SerializeToString())
    with RawGrpc(impatient.target, window=0) as raw:
        stream = raw.start(STREAM)
        for _ in range(5):
            raw.send(stream, one)
        counted = ("pixpool_unread_answers", "pixpool_in_flight_requests")
        wait_for(lambda: gauges(impatient, *counted) == [5, 5])
        wait_for(lambda: gauge(impatient, "pixpool_in_flight_requests") == 0)
        assert gauge(impatient, "pixpool_unread_answers") == 0
    wait_for(lambda: "has read none" in impatient.log())
    line = [row for row in impatient.lines("request") if row["method"] == "StreamFeatures"][-1]
    assert line["reason"] == "CANCELLED" and line["images"] == 5


def test_an_unread_answer_does_not_hold_the_drain_beyond_its_timeout(start_server, client, small):
    server = start_server("--drain-timeout-ms", "700")
    request = client.pb.ExtractFeaturesRequest(
        images=[small], heads=[client.head("feature_map:layer=stem")]
    ).SerializeToString()
    with RawGrpc(server.target, window=0) as raw:
        raw.send(raw.start(EXTRACT), message(request), end=True)
        wait_for(lambda: gauge(server, "pixpool_unread_answers") == 1)
        begun = time.monotonic()
        server.signal()
        assert server.wait(10) == 1
        assert 0.6 < time.monotonic() - begun < 5


def test_priorities_that_are_none_are_refused(client, small) -> None:
    pb = client.pb
    for priority in (0, pb.PRIORITY_INTERACTIVE, pb.PRIORITY_BULK):
        client.stub.ExtractFeatures(
            pb.ExtractFeaturesRequest(images=[small], priority=priority),
            metadata=[("pixpool-priority", "bulk")],
        )
    with pytest.raises(grpc.RpcError) as error:
        client.stub.ExtractFeatures(pb.ExtractFeaturesRequest(images=[small], priority=77))
    assert reason(error.value) == "REQUEST_INVALID"
    assert field_paths(error.value) == ["priority"]
    for metadata, complaint in [
        (["urgent"], '"urgent"; it must be interactive or bulk'),
        (["bulk", "bulk"], "given 2 times; give it once, interactive or bulk"),
    ]:
        with pytest.raises(grpc.RpcError, match=complaint) as error:
            client.stub.ExtractFeatures(
                pb.ExtractFeaturesRequest(images=[small]),
                metadata=[("pixpool-priority", value) for value in metadata],
            )
        assert field_paths(error.value) == ["pixpool-priority"]
    with pytest.raises(grpc.RpcError) as error:
        client.stub.GetModel(pb.GetModelRequest(model="no"), metadata=[("pixpool-priority", "?")])
    assert reason(error.value) == "MODEL_NOT_FOUND"


def test_long_names_in_errors_fit_into_the_trailers(client, small) -> None:
    for name in ("x" * 4096, "\u00e9\u4e2d" * 819, '"\n' * 2048):
        head = client.pb.Head(layer=name)
        head.gem.SetInParent()
        request = client.pb.ExtractFeaturesRequest(images=[small], heads=[head])
        with pytest.raises(grpc.RpcError) as error:
            client.stub.ExtractFeatures(request)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
        assert reason(error.value) == "LAYER_NOT_FOUND"
        assert field_paths(error.value) == ["heads[0].layer"]


# What the log says of a call.


def test_the_log_says_whose_a_call_was_and_how_urgent(start_server, api, small) -> None:
    server = start_server("--caller-header", "x-team")
    client = api.client(server.target)
    pb = client.pb
    request = pb.ExtractFeaturesRequest(images=[small])
    bulk = pb.ExtractFeaturesRequest(images=[small], priority=pb.PRIORITY_BULK)
    red = [("x-team", "red")]

    def stream(priority) -> list:
        config = pb.StreamConfig(priority=priority)
        return list(
            client.stub.StreamFeatures(
                iter([pb.StreamFeaturesRequest(config=config, image=small)]), timeout=20
            )
        )

    client.stub.ExtractFeatures(request, timeout=20, metadata=red)
    client.stub.ExtractFeatures(bulk, timeout=20)
    with pytest.raises(grpc.RpcError):
        client.stub.ExtractFeatures(
            pb.ExtractFeaturesRequest(), timeout=20, metadata=[("pixpool-priority", "bulk"), *red]
        )
    stream(pb.PRIORITY_UNSPECIFIED)
    stream(pb.PRIORITY_INTERACTIVE)
    client.stub.ListModels(pb.ListModelsRequest(), timeout=20, metadata=red)
    wait_for(lambda: len(server.lines("request")) >= 6)
    rows = [(row["caller"], row.get("priority")) for row in server.lines("request")]
    assert rows == [
        ("@red", "interactive"),
        ("127.0.0.1", "bulk"),
        ("@red", "bulk"),
        ("127.0.0.1", "bulk"),
        ("127.0.0.1", "interactive"),
        ("@red", None),
    ]
