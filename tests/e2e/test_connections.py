"""Connections: too many, silent, short of descriptors, kept alive; and a port that is deaf."""

from __future__ import annotations

import contextlib
import http.client
import re
import resource
import socket
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from raw_http2 import PING, PREFACE, SETTINGS, RawConnection, frame
from server_memory import status_bytes

pytestmark = pytest.mark.endurance

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, scope="module")
def many_descriptors():
    """Of this process, for thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(server) -> socket.socket:
    host, port = server.target.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=10)


def metric(server, name: str) -> float:
    text = server.get("/metrics")[1]
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)[1])


def refused(server, reason: str) -> float:
    return metric(server, f'pixpool_connections_refused_total{{reason="{reason}"}}')


def becomes(seconds: float, condition) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(10)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@contextlib.contextmanager
def same_answers(api, server, photos):
    """Calls of the same picture on a connection that is there before, and on new ones, get the same
    answer in the body of this context and after it.
    """
    old = api.client(server.target)
    before = old.features(photos["cat.png"], "global_avg")[0]

    def check() -> None:
        fresh = api.client(server.target)
        for client in (old, fresh):
            answer = client.features(photos["cat.png"], "global_avg")[0]
            np.testing.assert_array_equal(answer, before)
        fresh.channel.close()

    yield check
    check()


@pytest.mark.parametrize("first", [b"", PREFACE + frame(SETTINGS)], ids=["silent", "idle"])
def test_more_connections_than_descriptors(start_server, api, photos, first):
    """gRPC's own accept loop is deaf for good after this."""
    server = start_server(wrapper=("prlimit", "--nofile=1024:1024"))
    limit = metric(server, "pixpool_connections_limit")
    assert limit == 1024 - 256
    with same_answers(api, server, photos) as check:
        crowd = []
        for _ in range(1100):
            crowd.append(connect(server))
            with contextlib.suppress(OSError):  # closed at once
                crowd[-1].sendall(first)
        if not first:
            check()
        assert becomes(10, lambda: metric(server, "pixpool_connections") >= limit * 0.8)
        assert metric(server, "pixpool_connections") <= limit
        assert refused(server, "no_preface" if not first else "address") > 300
        assert refused(server, "descriptors") == 0
        for connection in crowd:
            connection.close()
        assert becomes(5, lambda: metric(server, "pixpool_connections") < 10)
    assert server.get("/livez")[0] == 200


def test_thousands_of_idle_connections(start_server, api, photos, many_descriptors):
    if many_descriptors < 6000:
        pytest.skip("needs 6,000 descriptors")
    server = start_server()
    with same_answers(api, server, photos) as check:
        crowd = [RawConnection(server.target) for _ in range(5000)]
        assert becomes(20, lambda: metric(server, "pixpool_connections") >= 5000)
        check()
        for connection in crowd:
            connection.socket.close()
        assert becomes(10, lambda: metric(server, "pixpool_connections") < 10)


def test_a_connection_takes_what_the_sizing_guide_says(start_server, many_descriptors):
    if many_descriptors < 4000:
        pytest.skip("needs 4,000 descriptors")
    guide = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
    (kilobytes,) = re.findall(r"(\d+) KB a connection", guide)
    assert f"connections = {kilobytes} KB * connections" in guide
    server = start_server()
    channels = []

    def grow(count: int) -> float:
        """Opens so many, each with a call behind it; what memory has grown by for each."""
        before = status_bytes(server.process.pid, "VmRSS")
        for _ in range(count):
            # Each its own socket; else all channels share one.
            channels.append(
                grpc.insecure_channel(
                    server.target, options=[("grpc.use_local_subchannel_pool", 1)]
                )
            )
            health_pb2_grpc.HealthStub(channels[-1]).Check(
                health_pb2.HealthCheckRequest(), timeout=10
            )
        return (status_bytes(server.process.pid, "VmRSS") - before) / count

    grow(1000)  # into what the start has left free
    # Free memory that the server returns meanwhile, all at once, makes one of them less.
    each = sorted(grow(700) for _ in range(3))[1] / 1000
    assert metric(server, "pixpool_connections") >= 3000
    assert 0.7 * int(kilobytes) < each < 1.15 * int(kilobytes)
    for channel in channels:
        channel.close()


@pytest.mark.parametrize(
    "first",
    [b"", PREFACE[:-1], PREFACE, PREFACE + frame(SETTINGS)[:-1]],
    ids=["nothing", "half a preface", "no settings", "half of the settings"],
)
def test_who_does_not_go_on_is_cut_after_ten_seconds(server, first):
    start = time.monotonic()
    with RawConnection(server.target, first) as connection:
        connection.read(15)
        assert connection.closed
        assert 9 < time.monotonic() - start < 13


def test_other_protocols_are_closed_at_once(server, api, photos):
    with same_answers(api, server, photos):
        for first in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"PRI * HTTP/1.1\r\n\r\n",
        ):
            with RawConnection(server.target, first) as connection:
                connection.read(5)
                assert connection.closed


def test_the_bounds_of_options(start_server, api, photos):
    server = start_server("--max-connections", "40", "--max-connections-per-address", "30")
    with same_answers(api, server, photos):
        crowd = [RawConnection(server.target) for _ in range(29)]
        assert becomes(10, lambda: metric(server, "pixpool_connections") >= 30)
        assert is_closed(connect(server)), "the address has as many as it may"
        # Its own question finds its way: nothing turns although nobody else may come in.
        end = time.monotonic() + 13
        while time.monotonic() < end:
            assert server.get("/livez") == (200, "ok\n")
            for connection in crowd[:1]:
                connection.read(0.5)
        assert refused(server, "address") >= 1
        for connection in crowd:
            connection.socket.close()
        assert becomes(5, lambda: metric(server, "pixpool_connections") < 10)


def test_too_many_new_ones_wait_and_none_fails(start_server, api, photos):
    server = start_server("--connection-rate", "20")
    crowd = [RawConnection(server.target) for _ in range(260)]
    start = time.monotonic()
    late = api.client(server.target)
    late.extract([photos["cat.png"]], ["global_avg"], timeout=20)
    assert 1 < time.monotonic() - start < 12
    assert refused(server, "rate") == 0
    for connection in crowd:
        connection.socket.close()


def test_a_deaf_port_turns_liveness_and_recovers(start_server, api, photos):
    """No new descriptor can be had, not even the one in reserve, so nobody can connect."""
    server = start_server()
    host, port = server.http.split(":")
    kept = http.client.HTTPConnection(host, int(port), timeout=5)  # no new one gets in there either

    def probe(path: str) -> tuple[int, str]:
        kept.request("GET", path)
        reply = kept.getresponse()
        return reply.status, reply.read().decode()

    assert probe("/livez") == (200, "ok\n")
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    start = time.monotonic()
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    assert becomes(20, lambda: probe("/livez")[0] == 503)
    assert time.monotonic() - start > 7
    assert re.fullmatch(r"not live: port: [\d.:]+ has not answered for 1\d s\n", probe("/livez")[1])
    assert "has not answered" in probe("/readyz")[1]
    assert becomes(2, lambda: bool(server.lines("not_live")))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert becomes(10, lambda: probe("/livez")[0] == 200)
    assert becomes(2, lambda: probe("/readyz")[0] == 200)
    api.client(server.target).extract([photos["cat.png"]], timeout=20)
    assert becomes(2, lambda: bool(server.lines("live_again")))


LEAST_INTERVAL = 10  # docs/operations.md


def test_keepalive_at_the_documented_interval(server, api, photos):
    """With and without calls, raw and by gRPC's own client; who pings more often is cut."""
    options = [
        ("grpc.keepalive_time_ms", LEAST_INTERVAL * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    channel = grpc.insecure_channel(server.target, options=options)
    stub = api.rpc.FeatureServiceStub(channel)
    more = threading.Event()

    def requests():
        more.wait(120)
        yield from ()

    stream = stub.StreamFeatures(requests(), timeout=None)
    patient, eager = RawConnection(server.target), RawConnection(server.target)
    dead = RawConnection(server.target, answers_pings=False)
    with patient, eager, dead:
        start = time.monotonic()
        for tick in range(5 * LEAST_INTERVAL):
            if tick % LEAST_INTERVAL == 0:
                patient.send(frame(PING, payload=bytes(8)))
            if tick % 3 == 0:
                eager.send(frame(PING, payload=bytes(8)))
            while time.monotonic() < start + tick + 1:
                for connection in (patient, eager, dead):
                    connection.read(0.1)
        assert not patient.closed and patient.goaway is None
        assert eager.goaway == "too_many_pings"
        assert dead.closed and dead.goaway != "too_many_pings", "the server's own pings"
        assert stream.is_active()
        more.set()
        assert list(stream) == []
        assert stream.code() == grpc.StatusCode.OK
    channel.close()


def test_a_stream_that_idles_for_90_s_goes_on(server, api, photos):
    """With the keepalive of our clients, 30 s: its next picture is answered on its connection."""
    options = [("grpc.keepalive_time_ms", 30_000), ("grpc.http2.max_pings_without_data", 0)]
    channel = grpc.insecure_channel(server.target, options=options)
    states = []
    channel.subscribe(states.append)
    client = api.client(server.target)
    idle = threading.Event()

    def requests():
        for wait in (0, 90):
            idle.wait(wait)
            yield client.pb.StreamFeaturesRequest(image=client.image(photos["cat.png"]))

    stream = api.rpc.FeatureServiceStub(channel).StreamFeatures(requests(), timeout=None)
    start = time.monotonic()
    answers = [reply.result.WhichOneof("outcome") for reply in stream]
    assert answers == ["features", "features"]
    assert time.monotonic() - start > 90
    assert stream.code() == grpc.StatusCode.OK
    assert states.count(grpc.ChannelConnectivity.READY) == 1, "a GOAWAY would have ended it"
    assert states[-1] == grpc.ChannelConnectivity.READY
    channel.close()
