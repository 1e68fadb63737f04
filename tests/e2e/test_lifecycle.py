"""Start, readiness, drain, and refusals to start, on the real binary."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


# The server refuses PIXPOOL_ variables that are not its own.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}


def run_server(
    bin_dir: Path, *flags: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the server with flags that keep it from serving."""
    return subprocess.run(
        [str(bin_dir / "pixpool-server"), *map(str, flags)],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT | environment,
    )


def health(target: str, service: str = "") -> int:
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


@pytest.mark.parametrize(
    "service",
    ["", "pixpool.v1.FeatureService", "inference.GRPCInferenceService", "efficientnet-lite0"],
)
def test_health_check_names_server_service_and_model(server, service):
    assert health(server.target, service) == SERVING


def test_health_check_of_an_unknown_service_is_not_found(server):
    with pytest.raises(grpc.RpcError) as error:
        health(server.target, "nope")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_the_log_names_the_port_that_port_0_became(start_server):
    server = start_server(target="127.0.0.1:0")
    (line,) = server.lines("listening")
    assert line["grpc"] != server.target
    assert health(line["grpc"]) == SERVING
    assert line["http"] == server.http


def test_health_watch_sees_start_and_drain(start_server):
    server = start_server(wait=False)
    seen = []
    channel = grpc.insecure_channel(server.target)
    grpc.channel_ready_future(channel).result(timeout=20)
    stub = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="efficientnet-lite0"))

    def follow() -> None:
        try:
            for update in watch:
                seen.append(update.status)
        except grpc.RpcError:
            pass

    follower = threading.Thread(target=follow)
    follower.start()
    server.wait_ready()
    server.signal()
    assert server.wait() == 0
    follower.join(20)
    assert seen[-2:] == [SERVING, NOT_SERVING]
    channel.close()


def test_reflection_lists_the_service_and_can_be_turned_off(server, start_server):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    with grpc.insecure_channel(server.target) as channel:
        names = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {
        "pixpool.v1.FeatureService",
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
    } <= set(names)

    silent = start_server("--reflection=false")
    with grpc.insecure_channel(silent.target) as channel:
        with pytest.raises(grpc.RpcError) as error:
            ProtoReflectionDescriptorDatabase(channel).get_services()
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_probes_and_unknown_paths(server):
    assert server.get("/livez") == (200, "ok\n")
    assert server.get("/readyz")[0] == 200
    assert server.get("/nope")[0] == 404


def test_listens_on_loopback_unless_told_otherwise(bin_dir):
    text = run_server(bin_dir, "--print-config").stdout
    assert '"127.0.0.1:50051"' in text and '"127.0.0.1:8080"' in text


def test_sigterm_when_idle_ends_at_once_with_zero(start_server):
    server = start_server()
    start = time.monotonic()
    server.signal(signal.SIGINT)
    assert server.wait() == 0
    assert time.monotonic() - start < 2
    assert [row["event"] for row in map(json.loads, server.log().splitlines())][-2:] == [
        "draining",
        "stopped",
    ]


def test_sigterm_while_the_model_loads_ends_with_zero(start_server):
    server = start_server(wait=False)
    end = time.monotonic() + 30
    while server.get("/livez")[0] != 200:
        assert time.monotonic() < end, server.log()
    server.signal()
    assert server.wait() == 0
    assert server.lines("stopped")


def test_sigterm_under_load_finishes_all_admitted_work(start_server, api, photos):
    """Calls succeed or are told to go elsewhere; none is lost, and the server ends with 0."""
    server = start_server()
    client = api.client(server.target)
    outcomes, lock = [], threading.Lock()

    def call() -> None:
        try:
            reply = client.extract([photos["cat.png"]] * 16, ["global_avg"], timeout=60)
            outcome = (
                "ok" if len(reply.results[15].features.head_results[0].values) == 1280 else "short"
            )
        except grpc.RpcError as error:
            outcome = error.code().name
        with lock:
            outcomes.append(outcome)

    client.extract([photos["cat.png"]])
    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    while " 0\n" in _gauge(server, "pixpool_in_flight_requests") and any(
        t.is_alive() for t in threads
    ):
        pass
    server.signal()
    for thread in threads:
        thread.join()
    assert server.wait() == 0
    assert len(outcomes) == 12
    assert set(outcomes) <= {"ok", "UNAVAILABLE"}
    assert "ok" in outcomes
    assert server.lines("stopped")[0]["finished"] is True


# Sent to a process they end it, unless it does something about it.
DEADLY = [
    *("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF"),
    *("SIGPOLL", "SIGXCPU", "SIGXFSZ", "SIGPWR", "SIGRTMIN"),
]


def test_other_signals_under_load_end_nothing_and_fail_no_call(start_server, api, photos):
    server = start_server()
    done, failed = [], []
    stop = threading.Event()

    def call() -> None:
        client = api.client(server.target)
        while not stop.is_set():
            try:
                client.extract([photos["cat.png"]], ["global_avg"], timeout=30)
                done.append(1)
            except grpc.RpcError as error:
                failed.append(error.code())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for name in DEADLY:
        before = len(done)
        server.signal(getattr(signal, name))
        end = time.monotonic() + 20
        while len(done) < before + 4 and time.monotonic() < end:
            assert server.process.poll() is None, (name, server.log())
            time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed and len(done) >= 4 * len(DEADLY)
    names = [row["signal"] for row in server.lines("signal_ignored")]
    assert names == [*DEADLY[1:-1], f"signal {signal.SIGRTMIN}"]
    assert server.lines("models_looked_at")  # what SIGHUP asks for
    # One that comes while the server drains does not end it early.
    server.signal()
    server.signal(signal.SIGHUP)
    assert server.wait() == 0


def _gauge(server, name: str) -> str:
    for line in server.get("/metrics")[1].splitlines(keepends=True):
        if line.startswith(name + " "):
            return line
    return " 0\n"


def test_port_in_use_is_one_clear_line(server, bin_dir, models_dir):
    run = run_server(
        bin_dir, "--models-dir", models_dir, "--listen", server.target, "--http-listen", ""
    )
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert server.target in last and "--listen" in last


def test_http_port_in_use_is_one_clear_line(server, bin_dir, models_dir):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    own = f"127.0.0.1:{port}"
    run = run_server(
        bin_dir, "--models-dir", models_dir, "--listen", own, "--http-listen", server.http
    )
    assert run.returncode == 1
    assert server.http in run.stderr.splitlines()[-1]


def test_every_configuration_problem_is_listed(bin_dir):
    flags = ("--max-batch-size", "0", "--devise", "cpu", "--log-level", "loud")
    run = run_server(bin_dir, *flags, PIXPOOL_LISTEM="x")
    assert run.returncode == 2
    for part in ("max-batch-size", "devise", "log-level", "PIXPOOL_LISTEM"):
        assert part in run.stderr, run.stderr


def test_check_config_accepts_what_print_config_prints(bin_dir, tmp_path):
    file = tmp_path / "pixpool.toml"
    file.write_text(run_server(bin_dir, "--print-config").stdout)
    run = run_server(bin_dir, "--config", file, "--check-config")
    assert run.returncode == 0, run.stderr


def refusal(bin_dir: Path, models: Path) -> str:
    run = run_server(
        bin_dir, "--models-dir", models, "--listen", "127.0.0.1:0", "--http-listen", ""
    )
    assert run.returncode == 1, run.stderr
    return run.stderr.splitlines()[-1]


def limited(bin_dir: Path, models: Path, *wrapper: str) -> str:
    """The last line of a server that may not have what it needs, and ends with 1."""
    command = [*wrapper, str(bin_dir / "pixpool-server"), "--models-dir", str(models)]
    run = subprocess.run(
        [*command, "--listen", "127.0.0.1:0", "--http-listen", ""],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
    )
    assert run.returncode == 1, run.stderr
    return run.stderr.splitlines()[-1]


# In steps, since each meets another place: the libraries' start, our threads, gRPC's, the model's.
@pytest.mark.parametrize("megabytes", range(450, 901, 75))
def test_too_little_address_space_is_one_clear_line(bin_dir, models_dir, megabytes):
    line = limited(bin_dir, models_dir, "prlimit", f"--as={megabytes * 1000 * 1024}")
    assert line.startswith("pixpool-server: ")
    assert "ulimit -v" in line or ("load" in line and "memory" in line), line


def test_too_few_descriptors_is_one_clear_line(bin_dir, models_dir):
    line = limited(bin_dir, models_dir, "prlimit", "--nofile=20")
    assert "20 are allowed" in line and "ulimit -n" in line


@pytest.mark.parametrize("threads", [1, 20, 40])
def test_too_few_threads_is_one_clear_line(bin_dir, models_dir, threads):
    if os.geteuid() != 0:
        pytest.skip("needs root, to run as a user without processes")
    # Root has no such limit. The capability lets the other user read what root may.
    user = ("setpriv", "--reuid=65531", "--clear-groups", "--inh-caps=+dac_override")
    limit = ("--ambient-caps=+dac_override", "prlimit", f"--nproc={threads}")
    assert "ulimit -u" in limited(bin_dir, models_dir, *user, *limit)


def test_no_model_says_how_to_make_one(bin_dir, tmp_path):
    (tmp_path / "models").mkdir()
    assert "pixpool.export" in refusal(bin_dir, tmp_path / "models")


def copied(models_dir: Path, tmp_path: Path) -> tuple[Path, Path]:
    target = tmp_path / "models"
    shutil.copytree(models_dir / "efficientnet-lite0", target / "efficientnet-lite0")
    return target, target / "efficientnet-lite0" / "1"


def test_a_flipped_byte_is_noticed(bin_dir, models_dir, tmp_path):
    models, bundle = copied(models_dir, tmp_path)
    data = bytearray((bundle / "backbone.ts").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "backbone.ts").write_bytes(data)
    assert "backbone.ts" in refusal(bin_dir, models)


def test_a_model_that_gives_another_golden_vector_is_refused(bin_dir, models_dir, tmp_path):
    """Digests match, so only the golden check can tell."""
    import hashlib

    import numpy as np

    models, bundle = copied(models_dir, tmp_path)
    values = np.fromfile(bundle / "golden.f32", "<f4")
    values[::-1].tofile(bundle / "golden.f32")
    manifest = json.loads((bundle / "manifest.json").read_text())
    for row in manifest["files"]:
        if row["path"] == "golden.f32":
            row["sha256"] = hashlib.sha256((bundle / "golden.f32").read_bytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    line = refusal(bin_dir, models)
    assert "golden" in line and "cosine" in line


def test_each_request_is_one_json_line(start_server, api, photos):
    server = start_server()
    client = api.client(server.target)
    client.extract([photos["cat.png"]], ["gem"], request_id="abc-1")
    with pytest.raises(grpc.RpcError):
        client.extract([photos["cat.png"]], model="nope")
    server.stop()
    rows = server.lines("request")
    assert len(rows) == 2
    assert (
        rows[0]["request_id"] == "abc-1"
        and rows[0]["code"] == "OK"
        and rows[0]["backbone_seconds"] > 0
    )
    assert rows[1]["reason"] == "MODEL_NOT_FOUND" and rows[1]["code"] == "NOT_FOUND"
    for line in server.log().splitlines():
        json.loads(line)
