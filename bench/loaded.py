"""A server under load: `pixpool bench` as a process of its own, the server's counters, the time of
processors that both take, and the cores that the server may use.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contestants import ROOT, Pixpool

BENCH = ROOT / "build/release/bin/pixpool"
SAMPLE = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


class Server(Pixpool):
    """A server with metrics, at the port after its own."""

    def __init__(
        self, folder: Path, models: Path, model: str, flags: list[str], binary: Path
    ) -> None:
        super().__init__(folder, models, model, flags, scaled=False, binary=binary)
        self.http = f"127.0.0.1:{self.port + 1}"

    def command(self) -> list[str]:
        command = super().command()
        command[command.index("--http-listen") + 1] = self.http
        return command

    def counters(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels."""
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        return {name + labels: float(value) for name, labels, value in SAMPLE.findall(text)}

    def in_flight(self) -> float:
        return self.counters()["pixpool_in_flight_requests"]

    def wait_idle(self, seconds: float = 30) -> None:
        """Until nothing is in flight and nobody is refused for an overload that is over, so that a
        run does not begin with what another has left.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.counters()
            if not now["pixpool_in_flight_requests"] and not now.get("pixpool_overloaded"):
                return
            time.sleep(0.05)

    def threads(self) -> Iterator[tuple[int, str]]:
        """Number and name of each thread."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended
                yield int(task.name), (task / "comm").read_text().strip()

    def each_thread(self, act: Callable[[int], None], wanted: Callable[[str], bool]) -> None:
        for thread, name in self.threads():
            if wanted(name):
                with contextlib.suppress(ProcessLookupError):
                    act(thread)

    def use_cores(self, cores: set[int]) -> None:
        """From now on the server has these cores. Threads that begin meanwhile inherit either set,
        so there is a second look.
        """
        for _ in range(2):
            self.each_thread(lambda t: os.sched_setaffinity(t, cores), lambda name: True)

    def idle_workers(self) -> None:
        """The threads that decode and run the model only get what all others leave."""
        self.each_thread(
            lambda t: os.sched_setscheduler(t, os.SCHED_IDLE, os.sched_param(0)),
            lambda name: name == "decode" or name.startswith("instance-"),
        )


class Load:
    """A run of `pixpool bench` under way."""

    def __init__(self, target: str, picture: Path, report: Path, *flags: object) -> None:
        self.report = report
        self.command = [
            str(BENCH),
            "bench",
            str(picture),
            "--target",
            target,
            # A connection carries a hundred calls; those beyond wait in the client, unseen.
            "--max-in-flight",
            "65536",
            "--no-probe",
            "--json",
            str(report),
            *map(str, flags),
        ]
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(self) -> dict[str, Any]:
        """The run of its report, with the processor time and the number of all that was sent."""
        output = self.process.communicate(timeout=600)[0]
        if self.process.returncode not in (0, 1):  # what is refused is a result, too
            raise SystemExit(
                f"{' '.join(self.command)} ended with {self.process.returncode}:\n{output}"
            )
        report = json.loads(self.report.read_text())
        (run,) = report["runs"]
        return {**run, "sent": report["totals"]["requests"]}

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def refused(run: dict[str, Any]) -> dict[str, float]:
    """How many the server refused, and the p99 of the time that this took."""
    kinds = [f for f in run["failures"] if f["code"] == "UNAVAILABLE" and f["reason"]]
    most = max(kinds, key=lambda f: f["count"], default=None)
    return {
        "count": sum(f["count"] for f in kinds),
        "p99": most["latency_ms"]["p99"] if most else float("nan"),
    }


def late(run: dict[str, Any]) -> int:
    """How many got no answer in time."""
    return sum(f["count"] for f in run["failures"] if f["code"] == "DEADLINE_EXCEEDED")
