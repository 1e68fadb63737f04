"""Faults around the real server: its log's reader, its disk, its descriptors, its clock."""

from __future__ import annotations

import datetime
import fcntl
import json
import mmap
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from server_process import free_port

pytestmark = pytest.mark.endurance

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3600
PICTURE = np.full((40, 40, 3), 128, np.uint8)


class RawServer:
    """A server whose surroundings the test makes: what its descriptors are, its limits, what is
    preloaded.
    """

    def __init__(self, bin_dir: Path, models: Path, *flags: str, env=None, **popen) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.http_port = free_port()
        keep = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
        arguments = [
            str(bin_dir / "pixpool-server"),
            f"--models-dir={models}",
            f"--listen={self.target}",
            f"--http-listen=127.0.0.1:{self.http_port}",
            *flags,
        ]
        self.process = subprocess.Popen(arguments, env=keep | (env or {}), **popen)

    def get(self, path: str) -> str:
        """The whole answer to a GET; "" where there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.http_port), timeout=5) as s:
                s.settimeout(5)
                s.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                return b"".join(iter(lambda: s.recv(65536), b"")).decode()
        except OSError:
            return ""

    def counter(self, name: str) -> float:
        rows = [
            r for r in self.get("/metrics").splitlines() if r.startswith((name + " ", name + "{"))
        ]
        assert rows, name
        return sum(float(row.rsplit(" ", 1)[1]) for row in rows)

    def wait_ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while " 200 " not in self.get("/readyz")[:20]:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < end, f"not ready after {seconds} s"
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def raw_server(bin_dir: Path, tiny_models: Path):
    servers = []

    def start(*flags: str, models: Path = tiny_models, wait: bool = True, **popen) -> RawServer:
        servers.append(RawServer(bin_dir, models, *flags, **popen))
        if wait:
            servers[-1].wait_ready()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    script = ROOT / "tests" / "support" / "make_tiny_bundle.py"
    subprocess.run([sys.executable, "-B", script, folder], check=True, capture_output=True)
    return folder


def answers(client, count: int = 1) -> None:
    for _ in range(count):
        reply = client.extract([PICTURE], ["global_avg"], timeout=30)
        assert len(reply.results[0].features.head_results[0].values) == 10


# --- the log --------------------------------------------------------------------------------------


def full_pipe() -> tuple[int, int]:
    """A pipe that nobody reads and that takes nothing more."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b"x")
    except BlockingIOError:
        pass
    fcntl.fcntl(writer, fcntl.F_SETFL, flags)
    return reader, writer


def test_a_log_that_nobody_reads_holds_nothing_up(raw_server, api):
    reader, writer = full_pipe()
    server = raw_server(stdout=writer, stderr=writer)
    client = api.client(server.target)
    answers(client)
    assert server.counter("pixpool_log_dropped_total") == 0

    def refused(count: int) -> None:
        own = api.client(server.target)
        for _ in range(count):
            with pytest.raises(grpc.RpcError) as error:
                own.extract([PICTURE], model="nope")
            assert error.value.code() == grpc.StatusCode.NOT_FOUND

    # The log holds 8192 lines.
    threads = [threading.Thread(target=refused, args=(2500,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.counter("pixpool_log_dropped_total") > 1000
    answers(client, 20)
    # Noise that gRPC itself would write about.
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", int(server.target.split(":")[1]))) as s:
            s.sendall(b"not HTTP/2 at all\r\n\r\n" * 10)
    answers(client, 20)
    start = time.monotonic()
    server.process.terminate()
    assert server.process.wait(20) == 0
    assert time.monotonic() - start < 10
    os.close(reader)
    os.close(writer)


def test_a_refusal_to_start_does_not_wait_for_a_reader(raw_server, tmp_path):
    reader, writer = full_pipe()
    (tmp_path / "empty").mkdir()
    server = raw_server(models=tmp_path / "empty", wait=False, stdout=writer, stderr=writer)
    assert server.process.wait(20) == 1
    os.close(reader)
    os.close(writer)


def test_a_log_whose_reader_has_gone_ends_nothing(raw_server, api):
    reader, writer = os.pipe()
    server = raw_server(stdout=writer, stderr=writer)
    os.close(writer)
    os.close(reader)
    answers(api.client(server.target), 20)
    assert server.counter("pixpool_log_dropped_total") > 0
    server.process.terminate()
    assert server.process.wait(20) == 0


# --- the disk -------------------------------------------------------------------------------------


def test_a_full_disk_below_the_log_holds_nothing_up(raw_server, api):
    with open("/dev/full", "wb") as full:
        server = raw_server(stdout=full, stderr=full)
    answers(api.client(server.target), 20)
    assert server.counter("pixpool_log_dropped_total") >= 20
    server.process.terminate()
    assert server.process.wait(20) == 0


def test_nothing_is_written_anywhere(raw_server, api, tmp_path):
    """No file may grow, not even by a byte, and no folder for temporary files exists."""

    def no_writing() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    reader, writer = os.pipe()  # a pipe has no size
    server = raw_server(
        env={"TMPDIR": str(tmp_path / "not-there")},
        preexec_fn=no_writing,
        stdout=writer,
        stderr=writer,
    )
    answers(api.client(server.target), 20)
    server.process.terminate()
    assert server.process.wait(20) == 0
    os.close(writer)
    os.close(reader)


# --- descriptors ----------------------------------------------------------------------------------


def test_no_descriptor_is_free(raw_server, api, tmp_path):
    """Those who are connected are served, the log goes on, and the rest come back with the
    descriptors.
    """
    log = tmp_path / "log"
    with log.open("wb") as sink:
        server = raw_server(stdout=sink, stderr=sink)
    client = api.client(server.target)
    answers(client)
    used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used, 4096))
    answers(client, 20)
    assert server.get("/metrics") == ""
    lines = log.read_text().count('"event":"request"')
    assert lines >= 20
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    end = time.monotonic() + 20
    while "pixpool_requests_total" not in server.get("/metrics"):
        assert time.monotonic() < end, "the HTTP port stays deaf"
        time.sleep(0.1)
    answers(client, 5)
    server.process.terminate()
    assert server.process.wait(20) == 0


# --- the clock ------------------------------------------------------------------------------------


class WallClock:
    """What a server's wall clock is off by, in seconds."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        self._file = path.open("r+b")
        self._page = mmap.mmap(self._file.fileno(), 8)

    def set(self, seconds: int) -> None:
        self._page[:] = struct.pack("<q", seconds)


@pytest.fixture(scope="module")
def clock_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = ROOT / "tests" / "support" / "clock_shim.cc"
    compiler = os.environ.get("CXX", "c++")
    subprocess.run(
        [compiler, "-std=c++20", "-O1", "-shared", "-fPIC", "-o", library, source], check=True
    )
    return library


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_the_wall_clock_jumps(raw_server, clock_library, api, tmp_path, jump):
    clock = WallClock(tmp_path / "offset")
    log = tmp_path / "log"
    env = {"LD_PRELOAD": str(clock_library), "TEST_CLOCK_FILE": str(tmp_path / "offset")}
    with log.open("wb") as sink:
        server = raw_server("--drain-timeout-ms=20000", env=env, stdout=sink, stderr=sink)
    client = api.client(server.target)
    answers(client)
    counted = server.counter("pixpool_requests_total")

    # Calls and a stream are under way while it jumps to and fro.
    stop = threading.Event()
    failures: list[grpc.RpcError] = []

    def call() -> None:
        own = api.client(server.target)
        while not stop.is_set():
            try:
                own.extract([PICTURE], ["global_avg"], timeout=5)
            except grpc.RpcError as error:
                failures.append(error)
            stop.wait(0.02)

    def requests():
        config = client.pb.StreamConfig(heads=[client.head("global_avg")])
        yield client.pb.StreamFeaturesRequest(config=config)
        while not stop.wait(0.01):
            yield client.pb.StreamFeaturesRequest(image=client.image(PICTURE))

    results = []

    def stream() -> None:
        try:
            for reply in client.stub.StreamFeatures(requests(), timeout=60):
                results.append(reply.result)
        except grpc.RpcError as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    threads.append(threading.Thread(target=stream))
    for thread in threads:
        thread.start()
    for offset in (jump, 0, jump, 0, jump):
        time.sleep(0.3)
        clock.set(offset)
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join()
    assert [error.details() for error in failures] == []
    assert len(results) > 20
    assert [r.status.message for r in results if r.WhichOneof("outcome") != "features"] == []

    # A stream that waits for its client ends at its deadline, for that reason, and in time.
    clock.set(0)
    waiting = threading.Event()
    start = time.monotonic()
    idle = client.stub.StreamFeatures(iter(waiting.wait, True), timeout=3)
    time.sleep(0.5)
    clock.set(jump)
    with pytest.raises(grpc.RpcError) as error:
        next(idle)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert 2.5 < time.monotonic() - start < 20
    waiting.set()

    def ends() -> list[str]:
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        return [row["code"] for row in rows if row.get("method") == "StreamFeatures"]

    end = time.monotonic() + 10
    while len(ends()) < 2:
        assert time.monotonic() < end, "the stream goes on"
        time.sleep(0.05)
    assert ends()[0] == "OK"

    # The log follows the clock; counters only rise.
    stamp = log.read_text().splitlines()[-1].split('"time":"')[1].split('"')[0]
    logged = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    off = (logged - datetime.datetime.now(datetime.UTC)).total_seconds()
    assert abs(off - jump) < 60
    assert server.counter("pixpool_requests_total") > counted

    # What waits for a time waits by the steady clock.
    server.process.terminate()
    time.sleep(0.05)
    clock.set(0)
    start = time.monotonic()
    assert server.process.wait(20) == 0
    assert time.monotonic() - start < 10
