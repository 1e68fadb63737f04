"""A server under test, as its own process on free loopback ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class ServerProcess:
    def __init__(
        self,
        binary: Path,
        models: Path,
        log: Path,
        flags: tuple[str, ...] = (),
        target: str | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        """`wrapper` is a command that runs the server, such as prlimit."""
        self.target = target or f"127.0.0.1:{free_port()}"
        self.http = f"127.0.0.1:{free_port()}"
        self.log_path = log
        arguments = [
            *wrapper,
            binary,
            "--models-dir",
            models,
            "--listen",
            self.target,
            "--http-listen",
            self.http,
        ]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [str(a) for a in (*arguments, *flags)], stdout=sink, stderr=sink, env=environment
            )

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an HTTP GET; status 0 while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while self.get("/readyz")[0] != 200:
            assert self.process.poll() is None, f"the server ended:\n{self.log()}"
            assert time.monotonic() < end, f"not ready after {seconds} s:\n{self.log()}"
            time.sleep(0.05)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def lines(self, event: str) -> list[dict]:
        """The log's lines of one event."""
        rows = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [row for row in rows if row["event"] == event]

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        return self.process.wait(seconds)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.signal()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait()
        return self.process.returncode
