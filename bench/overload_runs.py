"""What bench/overload runs: the peak, multiples of it, and a server that refuses everything. Each
function gives plain numbers for overload_goals.py; overload_mixed.py has the others.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

import loaded
import pictures
from contestants import ROOT

CALLERS = (8, 32)  # of the closed loop that finds the peak
LOADS = (0.8, 1.5, 2.0, 10.0)  # of the peak
DEADLINES = (0.25, 1.0, 5.0)  # seconds
CONNECTIONS = 16

Point = dict[str, Any]


class Lab:
    """Where runs take place: which server is measured, on what picture, how long a run counts."""

    def __init__(
        self, folder: Path, repository: Path, model: str, binary: Path, seconds: float, quick: bool
    ) -> None:
        self.folder, self.repository, self.model = folder, repository, model
        self.binary, self.seconds, self.quick = binary, seconds, quick
        self.cores = sorted(os.sched_getaffinity(0))
        self.picture = self.image(600, 400)
        self._reports = itertools.count()

    def image(self, width: int, height: int) -> Path:
        path = self.folder / f"{width}x{height}.jpg"
        path.write_bytes(pictures.sized(width, height, ROOT / "build" / "samples"))
        return path

    @contextlib.contextmanager
    def server(self, *flags: str) -> Iterator[loaded.Server]:
        server = loaded.Server(
            self.folder, self.repository, self.model, list(flags), binary=self.binary
        )
        server.start()
        try:
            server.wait_ready(self.picture.read_bytes())
            yield server
        finally:
            server.stop()

    def load(
        self,
        target: str,
        *flags: object,
        timeout: float,
        warm_up: float = 1,
        seconds: float | None = None,
        connections: int = CONNECTIONS,
    ) -> loaded.Load:
        """A load that counts `seconds`, else as long as all do."""
        report = self.folder / f"report-{next(self._reports)}.json"
        common: list[object] = ["--warm-up", warm_up, "--duration", seconds or self.seconds]
        common += ["--connections", connections, "--timeout", timeout]
        return loaded.Load(target, self.picture, report, *common, *flags)


def say(what: str, **figures: float) -> None:
    text = "  ".join(f"{name} {value:,.4g}" for name, value in figures.items())
    print(f"  {what:<34} {text}", flush=True)


def peak(lab: Lab, server: loaded.Server) -> Point:
    """The highest rate of the closed loop, and the processor time of server and client together
    that an answer takes there.
    """
    best: Point = {"rate": 0.0}
    for callers in CALLERS:
        server.wait_idle()
        before = server.cpu_seconds()
        run = lab.load(server.target, "--concurrency", callers, timeout=5).finish()
        spent = server.cpu_seconds() - before + run["generator"]["cpu_s"]
        if run["images_per_second"] > best["rate"]:
            best = {
                "rate": run["images_per_second"],
                "cpu": spent / run["totals"]["requests_ok"],
                "callers": callers,
            }
    say("peak", rate=best["rate"], cpu_ms=1e3 * best["cpu"])
    return best


def rate_now(lab: Lab, server: loaded.Server, callers: float) -> float:
    """The rate of the closed loop at this time. Where a machine's own rate moves by more than the
    goals allow, a figure is held against what was measured beside it.
    """
    server.wait_idle()
    load = lab.load(server.target, "--concurrency", int(callers), timeout=5, seconds=4)
    return float(load.finish()["images_per_second"])


def offered(lab: Lab, server: loaded.Server, at_first: Point) -> list[Point]:
    """Answers in time against the offered rate, for each deadline; their share is of the peak as
    it was just before and just after.
    """
    most, callers = at_first["rate"], at_first["callers"]
    few = {(load, 1.0) for load in LOADS} | {(2.0, 0.25), (2.0, 5.0), (0.8, 5.0), (0.8, 0.25)}
    points = []
    before = rate_now(lab, server, callers)
    for deadline, load in itertools.product(DEADLINES, LOADS):
        if lab.quick and (load, deadline) not in few:
            continue
        server.wait_idle()
        # In the warm-up the backlog grows to what the deadline lets it, and the server sees for two
        # seconds that it does.
        run = lab.load(
            server.target, "--rate", f"{load * most:.1f}", timeout=deadline, warm_up=4 + deadline
        ).finish()
        refusals = loaded.refused(run)
        after = rate_now(lab, server, callers)
        peak_now = (before + after) / 2
        before = after
        point = {
            "load": load,
            "deadline": deadline,
            "rate": run["images_per_second"],
            "peak": peak_now,
            "share": run["images_per_second"] / peak_now,
            "p50": run["latency_ms"]["p50"],
            "p99": run["latency_ms"]["p99"],
            "refused": refusals["count"] / max(1, run["requests"]),
            "refused_p99": refusals["p99"],
            "late": loaded.late(run) / max(1, run["requests"]),
            "sent": run["sent"] / run["generator"]["wall_s"] / most,
        }
        shown = {k: point[k] for k in ("peak", "share", "p99", "refused", "refused_p99", "late")}
        say(f"{load:g} times the peak, {deadline:g} s", **shown)
        points.append(point)
    return points


def refusing(lab: Lab, most: float) -> list[Point]:
    """Processor time a second that it takes to receive and refuse ten times the peak: a server
    whose only place is taken, then the same server as it drains.

    One call of thousands of pictures keeps the place. The threads that work on it only get what all
    others leave, and their time does not count.
    """
    flags = ["--max-in-flight-requests=1", "--max-stream-in-flight=1"]
    flags += ["--max-images-per-request=10000", "--max-message-bytes=1GiB"]
    flags += ["--max-deadline-ms=600000", "--drain-timeout-ms=600000"]
    flags += ["--instances=1", "--threads-per-instance=1", "--decode-threads=1"]
    points = []
    with lab.server(*flags) as server, _keeps_busy(lab, server):
        server.idle_workers()
        for how in ("full", "draining"):
            if how == "draining":
                server.process.terminate()
            before, begin = server.serving_seconds(), time.monotonic()
            run = lab.load(server.target, "--rate", f"{10 * most:.1f}", timeout=1).finish()
            spent = server.serving_seconds() - before
            client = run["generator"]["cpu_s"]
            point = {
                "how": how,
                "cores": (spent + client) / (time.monotonic() - begin),
                "server_us": 1e6 * spent / run["sent"],
                "client_us": 1e6 * client / run["sent"],
                "answered": run["totals"]["requests_ok"] / run["sent"],
                "refused_p99": loaded.refused(run)["p99"],
            }
            say(f"refuses everything: {how}", **{k: v for k, v in point.items() if k != "how"})
            points.append(point)
        server.process.kill()
    return points


@contextlib.contextmanager
def _keeps_busy(lab: Lab, server: loaded.Server) -> Iterator[None]:
    pictures_held = int(250 * (2 * lab.seconds + 6))
    message = server.pb.ExtractFeaturesRequest(
        images=[server.pb.Image(encoded=lab.image(224, 224).read_bytes())] * pictures_held
    )
    data = message.SerializeToString()
    channel = grpc.insecure_channel(server.target, [("grpc.max_send_message_length", -1)])
    held: Any = channel.unary_unary(server.method).future(data, timeout=600)
    end = time.monotonic() + 20
    while not server.in_flight():
        if held.done() or time.monotonic() > end:
            raise SystemExit(f"the call that is to keep the server busy ended: {held.exception()}")
        time.sleep(0.05)
    try:
        yield
        if held.done():
            raise SystemExit("the call that is to keep the server busy ended too early")
    finally:
        held.cancel()
        channel.close()
