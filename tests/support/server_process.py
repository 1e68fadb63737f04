"""A server under test, as its own process on free loopback ports."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

# Below the ports that Linux gives to connections (32768 and up): one that was found free there may
# be the own end of a connection by the time that a server wants it. Each process of tests starts
# somewhere else.
_PORTS = range(20000, 32000)
_turns = itertools.count(os.getpid() * 61)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and that this process hands out once."""
    for _ in _PORTS:
        port = _PORTS[next(_turns) % len(_PORTS)]
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError("no free port")


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
        self._wait_for("/readyz", seconds)

    def wait_live(self, seconds: float = 60) -> None:
        self._wait_for("/livez", seconds)

    def _wait_for(self, probe: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (status := self.get(probe)[0]) != 200:
            assert self.process.poll() is None, f"the server ended:\n{self.log()}"
            assert time.monotonic() < end, f"{probe}: {status} after {seconds} s:\n{self.log()}"
            time.sleep(0.05)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def lines(self, event: str) -> list[dict]:
        """The log's lines of one event."""
        whole = self.log().rpartition("\n")[0]  # the last line may be half written
        rows = (json.loads(line) for line in whole.splitlines() if line.startswith("{"))
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
