"""A closed loop over HTTP/2 with h2load: it hardly uses the machine, and every answer's time is
kept.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import subprocess
import tempfile
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Round:
    """What one round of load gave."""

    rate: float  # answers a second
    p50: float  # milliseconds
    p99: float
    answer_bytes: float  # of one answer, with its frame


def frame(message: bytes) -> bytes:
    """A gRPC message on the wire, not compressed."""
    return b"\0" + struct.pack(">I", len(message)) + message


def run(target: str, method: str, body: Path, concurrency: int, requests: int) -> Round:
    """`requests` calls with the framed message in `body`, `concurrency` at a time, on up to four
    connections.
    """
    connections = min(concurrency, 4)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [
            "h2load",
            "-n",
            str(requests),
            "-c",
            str(connections),
            "-m",
            str(concurrency // connections),
            "-t",
            "1",
            "-d",
            str(body),
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            f"--log-file={log}",
            f"http://{target}{method}",
        ]
        text = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=600
        ).stdout
        # Start in microseconds since the epoch, HTTP status, duration in microseconds.
        rows = [tuple(map(int, line.split()[:3])) for line in log.read_text().splitlines()]
    good = [row for row in rows if row[1] == 200]
    if len(good) != requests:
        raise RuntimeError(f"{len(good)} of {requests} calls were answered:\n{text}")
    elapsed = (max(r[0] + r[2] for r in good) - min(r[0] for r in good)) / 1e6
    times = sorted(r[2] / 1e3 for r in good)
    data = int(re.search(r"\((\d+)\) data", text)[1])
    return Round(
        requests / elapsed,
        times[len(times) // 2],
        times[min(len(times) - 1, int(len(times) * 0.99))],
        data / requests,
    )
