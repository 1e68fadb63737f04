"""Clients go on when the server ends a connection for its age: no picture is lost, none is answered
twice, and no call fails.

The server asks connections to end after 2 s, and cuts what is still there after as long as a call
may take and a twelfth more.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from server_fixtures import run_script

pytestmark = pytest.mark.endurance

AGE = ["--max-connection-age-s", "2"]
CALLS = ["--max-deadline-ms", "4000", "--default-deadline-ms", "4000"]
LIFE_S = 2 * 1.1 + 4 * 13 / 12  # gRPC spreads the age by a tenth
# A pass of so small a network is one thread's work: on a busy machine several wait for each other.
FILES = 5000
SMALL = ["--instances", "1", "--threads-per-instance", "1"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run_script("make_tiny_bundle.py", folder)
    return folder


@pytest.fixture
def server(start_server, tiny):
    return start_server(*AGE, *CALLS, *SMALL, models=tiny)


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    """Eight small JPEGs that differ."""
    from PIL import Image

    rng = np.random.default_rng(7)
    out = []
    for _ in range(8):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        small.resize((480, 360)).save(buffer, "JPEG", quality=90)
        out.append(buffer.getvalue())
    return out


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory) -> Path:
    """As many files as the commands are busy with for several ages."""
    out = tmp_path_factory.mktemp("photos")
    for i, data in enumerate(pictures):
        (out / f"{i:05d}.jpg").write_bytes(data)
    for i in range(len(pictures), FILES):
        (out / f"{i:05d}.jpg").hardlink_to(out / f"{i % len(pictures):05d}.jpg")
    return out


@pytest.fixture
def pixpool(api):
    import pixpool

    return pixpool


@pytest.fixture
def vectors(pixpool, server, pictures):
    with pixpool.Client(server.target) as client:
        return client.extract(pictures).array


def start(bin_dir, *arguments: object) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
    return subprocess.Popen(
        [str(bin_dir / "pixpool"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def connections_of(server, method: str) -> int:
    """From how many ports the server had calls of a method, as its log has them."""
    return len({row["peer"] for row in server.lines("request") if row["method"] == method})


def calls_of(server, method: str) -> int:
    return sum(row["method"] == method for row in server.lines("request"))


def check(results, vectors) -> int:
    """Every picture in order, once, with its own vector; how many."""
    count = 0
    for result in results:
        assert result.index == count and result.ok, result.error
        np.testing.assert_allclose(
            result.head_results[0].values, vectors[count % len(vectors)], rtol=1e-4, atol=1e-5
        )
        count += 1
    return count


def endless(pictures, seconds: float, least: int):
    """Pictures for so long, and at least so many."""
    end = time.monotonic() + seconds
    i = 0
    while time.monotonic() < end or i < least:
        yield pictures[i % len(pictures)]
        i += 1


def test_streams_of_the_python_client(pixpool, server, pictures, vectors):
    with pixpool.Client(server.target) as client:
        source = endless(pictures, 2.2 * LIFE_S, 1000)
        assert check(client.stream(source, concurrency=4), vectors) >= 1000


def test_streams_of_the_client_for_asyncio(pixpool, server, pictures, vectors):
    async def work() -> list:
        async with pixpool.AsyncClient(server.target) as client:
            source = endless(pictures, 2.2 * LIFE_S, 1000)
            return [result async for result in client.stream(source, concurrency=4)]

    assert check(asyncio.run(work()), vectors) >= 1000


def test_unary_calls(pixpool, server, pictures, vectors):
    """10,000 over several connections."""
    began = time.monotonic()
    with pixpool.Client(server.target) as client:
        assert check(client.stream(endless(pictures, 0, 10_000), concurrency=8), vectors) == 10_000
    assert time.monotonic() - began > 2.2, "too quick for a connection to end"
    assert connections_of(server, "ExtractFeatures") > 1


def test_bulk(server, folder, vectors, tmp_path, api):
    from pixpool.bulk import run

    done = run(folder, tmp_path / "f.npy", target=server.target, progress=False, concurrency=2)
    assert (done.images, done.failed) == (FILES, 0)
    rows = np.load(tmp_path / "f.npy")
    np.testing.assert_allclose(rows, np.resize(vectors, rows.shape), rtol=1e-4, atol=1e-5)
    assert connections_of(server, "ExtractFeatures") > 1


def test_streams_of_the_command(server, bin_dir, folder, vectors):
    """And so of the C++ client."""
    running = start(
        bin_dir, "extract", folder, "--target", server.target, "--stream", "--concurrency", 4,
        "--format", "json",
    )  # fmt: skip
    # Who reads slowly holds the stream back: it is to be longer than two connections.
    pause = 2.2 * LIFE_S / FILES
    lines = []
    for line in running.stdout:
        lines.append(line)
        time.sleep(pause)
    assert running.wait(60) == 0, running.stderr.read()
    rows = [json.loads(line) for line in lines]
    assert [Path(row["path"]).name for row in rows] == [f"{i:05d}.jpg" for i in range(FILES)]
    got = np.array([row["heads"][0]["values"] for row in rows])
    np.testing.assert_allclose(got, np.resize(vectors, got.shape), rtol=1e-4, atol=1e-5)
    # One more than the server cut.
    assert calls_of(server, "StreamFeatures") > 2


@pytest.mark.parametrize(
    ("api_name", "stream", "method"),
    [
        ("pixpool", True, "StreamFeatures"),
        ("kserve", True, "ModelStreamInfer"),
        ("pixpool", False, "ExtractFeatures"),
        ("kserve", False, "ModelInfer"),
    ],
)
def test_bench(server, bin_dir, folder, tmp_path, api_name, stream, method):
    running = start(
        bin_dir, "bench", folder / "00000.jpg", folder / "00001.jpg", "--target", server.target,
        "--api", api_name, *(["--stream"] if stream else []), "--concurrency", 4,
        "--connections", 2, "--warm-up", 0, "--duration", 2.2 * LIFE_S,
        "--json", tmp_path / "report.json",
    )  # fmt: skip
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, out + err
    (run,) = json.loads((tmp_path / "report.json").read_text())["runs"]
    assert run["requests_failed"] == 0 and run["requests"] > 1000
    assert connections_of(server, method) > 4
    if stream:
        assert calls_of(server, method) > 4
