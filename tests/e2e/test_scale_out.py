"""Several servers and one client that balances over them, with the service config that
deploy/client ships.
"""

from __future__ import annotations

import collections
import concurrent.futures
import json
import signal
import threading
import time
from pathlib import Path

import grpc
import pytest

from exposition import total

SERVICE_CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "client" / "service_config.json"
CALLERS = 4  # calls in flight
FLAGS = (
    "--instances",
    "1",
    "--threads-per-instance",
    "1",
    "--decode-threads",
    "1",
    "--log-level",
    "warning",
)


@pytest.fixture(scope="module")
def jpeg(photos) -> bytes:
    return photos["cat_92.jpg"].read_bytes()


class Balanced:
    """A client of several addresses. Where a name server would tell of new replicas, the addresses
    are fixed here, and a replica is new when it begins to listen on one of them.
    """

    def __init__(self, api, targets: list[str], jpeg: bytes) -> None:
        self.channel = grpc.insecure_channel(
            "ipv4:" + ",".join(targets),
            options=[
                ("grpc.service_config", SERVICE_CONFIG.read_text()),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 200),
            ],
        )
        self.stub = api.rpc.FeatureServiceStub(self.channel)
        self.request = api.pb.ExtractFeaturesRequest(images=[api.pb.Image(encoded=jpeg)])

    def call(self) -> str:
        try:
            reply = self.stub.ExtractFeatures(self.request, timeout=20)
            return "OK" if len(reply.results[0].features.head_results[0].values) else "EMPTY"
        except grpc.RpcError as error:
            return error.code().name

    def calls(self, count: int) -> collections.Counter[str]:
        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            return collections.Counter(pool.map(lambda _: self.call(), range(count)))


def answered(server) -> int:
    """Calls that a server has answered with OK."""
    return int(total(server, "pixpool_requests_total", code="OK", method="ExtractFeatures"))


def wait_for_share(client: Balanced, servers: list) -> None:
    """Calls until every server has been given one: connections are made one after the other."""
    before = [answered(server) for server in servers]
    end = time.monotonic() + 20
    while any(answered(server) == old for server, old in zip(servers, before, strict=True)):
        assert time.monotonic() < end, "a replica gets no calls"
        assert client.calls(6) == {"OK": 6}


def test_the_shipped_config_is_what_grpc_understands():
    config = json.loads(SERVICE_CONFIG.read_text())
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    retry = config["methodConfig"][0]["retryPolicy"]
    assert retry["retryableStatusCodes"] == ["UNAVAILABLE"], (
        "what else failed may fail again, or has cost work"
    )
    assert retry["maxAttempts"] == 5  # gRPC cuts more to five


@pytest.fixture
def three(start_server):
    return [start_server(*FLAGS) for _ in range(3)]


def test_even_spread_then_a_replica_dies_and_comes_back(api, start_server, three, jpeg):
    client = Balanced(api, [server.target for server in three], jpeg)
    wait_for_share(client, three)

    # Calls go round, so the shares differ by little, whichever takes longer.
    before = [answered(server) for server in three]
    assert client.calls(90) == {"OK": 90}
    shares = [answered(server) - old for server, old in zip(three, before, strict=True)]
    assert sum(shares) == 90
    assert max(shares) - min(shares) <= CALLERS, shares

    # A replica is killed while it works: what it held is tried again elsewhere.
    outcomes: collections.Counter[str] = collections.Counter()
    flood = threading.Thread(target=lambda: outcomes.update(client.calls(150)))
    before_kill = answered(three[0])
    flood.start()
    while answered(three[0]) < before_kill + 5:
        pass
    three[0].signal(signal.SIGKILL)
    flood.join()
    assert outcomes == {"OK": 150}

    # Another takes its place and gets its share.
    replacement = start_server(*FLAGS, target=three[0].target)
    servers = [replacement, *three[1:]]
    wait_for_share(client, servers)
    before = [answered(server) for server in servers]
    assert client.calls(60) == {"OK": 60}
    shares = [answered(server) - old for server, old in zip(servers, before, strict=True)]
    assert max(shares) - min(shares) <= CALLERS, shares
    client.channel.close()
    for server in servers:
        assert server.stop() == 0


def test_a_rolling_restart_fails_no_call(api, start_server, jpeg):
    """One after the other is told to end, and started again: the drain as a Deployment does it."""
    flags = (*FLAGS, "--drain-delay-ms", "500")
    servers = [start_server(*flags) for _ in range(2)]
    client = Balanced(api, [server.target for server in servers], jpeg)
    wait_for_share(client, servers)
    stop, outcomes = threading.Event(), collections.Counter()

    def flood() -> None:
        while not stop.is_set():
            outcomes.update(client.calls(10))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for i, server in enumerate(servers):
            assert server.stop() == 0
            servers[i] = start_server(*flags, target=server.target)
            end = time.monotonic() + 20
            while answered(servers[i]) == 0:
                assert time.monotonic() < end, "the new replica gets no calls"
                time.sleep(0.05)
    finally:
        stop.set()
        thread.join()
    client.channel.close()
    assert outcomes.keys() == {"OK"} and outcomes["OK"] > 20, outcomes
