"""Faults injected into the real server: what breaks, what its neighbours and its probes see."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from api import Client, reason
from exposition import total
from make_faulty_bundle import FAULTS, SLOW
from server_fixtures import run_script
from server_process import ServerProcess

FOR_EVER = (1, 255, 0)


@pytest.fixture(scope="module")
def faulty_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    run_script("make_faulty_bundle.py", folder)
    return folder


def extract(client: Client, height: int, colour: tuple[int, int, int] = (60, 90, 120)):
    """The features of a picture that reaches the backbone pixel for pixel."""
    picture = np.full((height, 32, 3), colour, np.uint8)
    options = client.pb.InputOptions(
        resize=client.pb.RESIZE_MODE_NONE, crop=client.pb.CROP_MODE_NONE
    )
    return client.extract([picture], ["global_avg"], input_options=options, timeout=300)


def values(reply) -> list[float]:
    assert reply.results[0].WhichOneof("outcome") == "features", reply
    return list(reply.results[0].features.head_results[0].values)


def gauge(server: ServerProcess, name: str) -> float:
    return total(server, name)


def wait_until(condition, seconds: float, what: str) -> float:
    """Waits for a condition; returns how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + seconds, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - start


def health(target: str) -> int:
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status


# --- the backbone ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty(start_server, faulty_models: Path) -> ServerProcess:
    return start_server("--instances", "2", models=faulty_models)


@pytest.mark.parametrize("height", FAULTS.values(), ids=FAULTS)
def test_a_backbone_that_goes_wrong_fails_its_batch_alone(faulty, api, height):
    client = api.client(faulty.target)
    good = values(extract(client, 32))
    outcomes: list[object] = []
    neighbours = [
        threading.Thread(target=lambda: outcomes.append(values(extract(client, 32))))
        for _ in range(6)
    ]
    for thread in neighbours:
        thread.start()
    with pytest.raises(grpc.RpcError) as error:
        extract(client, height)
    for thread in neighbours:
        thread.join()
    assert error.value.code() == grpc.StatusCode.INTERNAL
    assert reason(error.value) == "INFERENCE_FAILED"
    assert error.value.details() == "the model failed", "no detail of our bugs"
    assert outcomes == [good] * 6
    assert values(extract(client, 32)) == good
    assert faulty.lines("inference_failed"), "the log has the cause"
    wait_until(lambda: gauge(faulty, "pixpool_in_flight_requests") == 0, 5, "permits")
    assert faulty.get("/readyz")[0] == 200


def in_background(call, *arguments) -> threading.Thread:
    def run() -> None:
        try:
            call(*arguments)
        except grpc.RpcError:
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def units_for(server: ServerProcess, client: Client, seconds: float) -> int:
    """How many units of the slow graph take about that long here and now, at least."""
    start = time.monotonic()
    extract(client, SLOW, (4, 0, 0))
    unit = (time.monotonic() - start) / 4
    return min(255, int(seconds / unit) + 1)


def test_a_pass_that_hangs_turns_readiness_and_turns_it_back(start_server, faulty_models, api):
    server = start_server("--instances", "2", "--hang-timeout-ms", "1000", models=faulty_models)
    client = api.client(server.target)
    units = units_for(server, client, 25)
    call = in_background(extract, client, SLOW, (units, 0, 0))
    wait_until(lambda: server.get("/readyz")[0] == 503, 10, "readiness turns")
    status, body = server.get("/readyz")
    assert "backbone" in body and "tiny" in body, body
    wait_until(
        lambda: health(server.target) == health_pb2.HealthCheckResponse.NOT_SERVING, 5, "gRPC"
    )
    assert server.get("/livez")[0] == 200, "it may end yet"
    assert gauge(server, "pixpool_oldest_pass_seconds") > 1
    assert server.lines("not_ready"), server.log()
    values(extract(client, 32))  # the other instance serves
    call.join(120)
    assert not call.is_alive()
    wait_until(lambda: server.get("/readyz")[0] == 200, 5, "readiness comes back")
    wait_until(lambda: health(server.target) == health_pb2.HealthCheckResponse.SERVING, 5, "gRPC")
    assert gauge(server, "pixpool_oldest_pass_seconds") == 0
    assert server.lines("ready_again")


def test_a_pass_that_hangs_turns_readiness_within_ten_seconds_by_default(
    start_server, faulty_models, api
):
    server = start_server(models=faulty_models)
    client = api.client(server.target)
    in_background(extract, client, SLOW, FOR_EVER)
    wait_until(lambda: gauge(server, "pixpool_oldest_pass_seconds") > 0, 5, "the pass begins")
    wait_until(lambda: server.get("/readyz")[0] == 503, 10, "readiness turns")
    server.process.kill()


def test_a_second_signal_ends_a_drain_that_would_wait(start_server, faulty_models, api):
    server = start_server(models=faulty_models)
    client = api.client(server.target)
    in_background(extract, client, SLOW, FOR_EVER)
    wait_until(lambda: gauge(server, "pixpool_oldest_pass_seconds") > 0, 5, "the pass begins")
    server.signal()
    wait_until(lambda: server.lines("draining"), 5, "the drain begins")
    time.sleep(0.5)
    assert server.process.poll() is None, "the first one waits for the call"
    ended_by_second_signal(server)


def ended_by_second_signal(server: ServerProcess) -> None:
    server.signal()
    assert server.wait(5) == 1
    (line,) = server.lines("stopped")
    assert (line["finished"], line["message"]) == (False, "a second signal came")


def test_a_pass_that_never_ends_turns_liveness_and_ends_with_the_drain(
    start_server, faulty_models, api
):
    server = start_server(
        "--hang-timeout-ms", "300", "--drain-timeout-ms", "1000", models=faulty_models
    )
    client = api.client(server.target)
    in_background(extract, client, SLOW, FOR_EVER)
    wait_until(lambda: server.get("/livez")[0] == 503, 30, "liveness turns")
    server.signal()
    start = time.monotonic()
    assert server.wait(60) == 1
    assert time.monotonic() - start < 20
    (line,) = server.lines("stopped")
    assert (line["finished"], line["message"]) == (False, "calls that were cut have not ended")


# --- the load -------------------------------------------------------------------------------------


def hung_in_its_load(start_server, models: Path, *flags: str) -> ServerProcess:
    server = start_server(*flags, models=models, wait=False)
    server.wait_live(20)
    time.sleep(1)
    assert server.get("/readyz")[0] == 503
    server.signal()
    wait_until(lambda: server.lines("draining"), 5, "the drain begins")
    return server


def test_a_load_that_hangs_ends_with_the_drain(start_server, hanging_models):
    server = hung_in_its_load(start_server, hanging_models, "--drain-timeout-ms", "1000")
    assert server.wait(10) == 1
    (line,) = server.lines("stopped")
    assert (line["finished"], line["message"]) == (False, "still loads: tiny 1")


def test_a_second_signal_ends_a_load_that_hangs(start_server, hanging_models):
    server = hung_in_its_load(start_server, hanging_models)
    time.sleep(0.5)
    assert server.process.poll() is None, "the first one waits for the load"
    ended_by_second_signal(server)
