"""Decoding in processes of their own, seen from outside: what the processes are, what becomes of
them, and what the server says where the system does not allow it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from server_process import ServerProcess

HEADS = ["global_avg"]


def workers(server: ServerProcess) -> list[int]:
    """The pids of the server's workers."""
    pids = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdecimal() or (entry / "comm").read_text() != "pixpool-decode-\n":
                continue
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == server.process.pid:
            pids.append(int(entry.name))
    return sorted(pids)


def status(pid: int, field: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    raise KeyError(field)


def metric(server: ServerProcess, name: str) -> float:
    for line in server.get("/metrics")[1].splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise KeyError(name)


def vector(client, picture: Path) -> list[float]:
    result = client.extract([picture.read_bytes()], HEADS, timeout=60).results[0]
    assert result.WhichOneof("outcome") == "features", result
    return list(result.features.head_results[0].values)


def await_true(what, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def photo(photos: dict[str, Path]) -> Path:
    return sorted(photos.values())[0]


def test_workers_have_nothing_and_may_do_nothing(start_server):
    server = start_server("--decode-threads=3", "--decode-isolation=on")
    pids = workers(server)
    assert len(pids) == 3
    (line,) = server.lines("decode_isolation")
    assert line["mode"] == "filtered_processes" and line["workers"] == 3
    assert metric(server, "pixpool_decode_workers") == 3
    assert metric(server, "pixpool_decode_workers_filtered") == 3
    for pid in pids:
        assert status(pid, "NoNewPrivs") == "1"
        assert status(pid, "Seccomp") == "2"  # a filter
        assert status(pid, "Threads") == "1"
        links = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert {links.pop(fd) for fd in "012"} == {"/dev/null"}
        assert links.pop("3").startswith("socket:") and links.pop("4").startswith("/memfd:")
        assert not links
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert {e.split(b"=")[0] for e in environment} <= {
            b"", b"LD_LIBRARY_PATH", b"OPENBLAS_NUM_THREADS", b"ASAN_OPTIONS", b"UBSAN_OPTIONS",
        }  # fmt: skip
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert limits.count("Max core file size        0                    0") == 1


def test_answers_are_the_same_with_and_without(start_server, api, photos):
    answers = []
    for mode in ("on", "off"):
        server = start_server(f"--decode-isolation={mode}")
        client = api.client(server.target)
        answers.append([vector(client, photo) for _, photo in sorted(photos.items())])
        assert bool(workers(server)) == (mode == "on")
        assert (metric(server, "pixpool_decode_workers") > 0) == (mode == "on")
    assert answers[0] == answers[1]


def test_a_worker_that_is_killed_is_replaced(start_server, api, photo):
    server = start_server("--decode-threads=2")
    client = api.client(server.target)
    right = vector(client, photo)
    first = workers(server)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    await_true(lambda: all(status(pid, "State").startswith("Z") for pid in workers(server)))
    for _ in range(4):
        assert vector(client, photo) == right
    killed = 'pixpool_decode_worker_failures_total{cause="killed"}'
    assert metric(server, killed) >= 1
    assert any(row["cause"] == "killed" for row in server.lines("decode_worker_failed"))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_server(start_server, end):
    server = start_server("--decode-threads=2")
    pids = workers(server)
    assert len(pids) == 2
    # A terminal's or a service manager's signal to all is the server's business.
    os.kill(pids[0], signal.SIGINT)
    os.kill(pids[1], signal.SIGTERM)
    time.sleep(0.2)
    assert workers(server) == pids
    server.signal(end)
    server.wait()
    await_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


# Runs a command under a filter of system calls that refuses some with EPERM, as containers do.
REFUSE = Path(__file__).resolve().parents[1] / "support" / "refuse_calls.py"


def refusing(*calls: str) -> tuple[str, ...]:
    return (sys.executable, str(REFUSE), *calls, "--")


@pytest.mark.parametrize(
    "calls, mode, said",
    [
        (["prctl_seccomp"], "unfiltered_processes", "seccomp"),
        (["memfd_create"], "none", "memfd_create: Operation not permitted"),
    ],
)
def test_goes_on_where_the_system_forbids_it(start_server, api, photo, calls, mode, said):
    server = start_server(wrapper=refusing(*calls))
    (line,) = server.lines("decode_isolation")
    assert line["mode"] == mode and line["level"] == "warning"
    assert said in line["message"]
    assert metric(server, "pixpool_decode_workers_filtered") == 0
    assert (metric(server, "pixpool_decode_workers") > 0) == (mode != "none")
    vector(api.client(server.target), photo)


def test_does_not_start_where_it_is_required(bin_dir, models_dir, tmp_path):
    log = tmp_path / "log"
    server = ServerProcess(
        bin_dir / "pixpool-server",
        models_dir,
        log,
        ("--decode-isolation=on",),
        wrapper=refusing("prctl_seccomp"),
    )
    assert server.wait() == 1
    last = log.read_text().splitlines()[-1]
    assert "--decode-isolation on" in last and "seccomp" in last
