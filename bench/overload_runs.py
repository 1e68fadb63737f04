"""What bench/overload runs: each function gives plain numbers for overload_goals.py."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
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
BULK, INTERACTIVE = (
    ("--header", "pixpool-priority: bulk"),
    ("--header", "pixpool-priority: interactive"),
)
GREEDY = 1000  # calls in flight of the caller that must not starve another
SETTLE = 10  # seconds in which a server finds its new peak
SPREAD = (0.005, 0.25)  # seconds after which calls are given up

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
        common = ("--warm-up", warm_up, "--duration", seconds or self.seconds)
        common += ("--connections", connections, "--timeout", timeout)
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
            best = {"rate": run["images_per_second"], "cpu": spent / run["totals"]["requests_ok"]}
    say("peak", rate=best["rate"], cpu_ms=1e3 * best["cpu"])
    return best


def offered(lab: Lab, server: loaded.Server, most: float) -> list[Point]:
    """Answers in time against the offered rate, for each deadline."""
    few = {(load, 1.0) for load in LOADS} | {(2.0, 0.25), (2.0, 5.0), (0.8, 5.0), (0.8, 0.25)}
    points = []
    for deadline, load in itertools.product(DEADLINES, LOADS):
        if lab.quick and (load, deadline) not in few:
            continue
        server.wait_idle()
        # In the warm-up the backlog grows to what the deadline lets it.
        run = lab.load(
            server.target, "--rate", f"{load * most:.1f}", timeout=deadline, warm_up=1 + deadline
        ).finish()
        refusals = loaded.refused(run)
        point = {
            "load": load,
            "deadline": deadline,
            "rate": run["images_per_second"],
            "share": run["images_per_second"] / most,
            "p50": run["latency_ms"]["p50"],
            "p99": run["latency_ms"]["p99"],
            "refused": refusals["count"] / max(1, run["requests"]),
            "refused_p99": refusals["p99"],
            "late": loaded.late(run) / max(1, run["requests"]),
            "sent": run["sent"] / run["generator"]["wall_s"] / most,
        }
        shown = {k: point[k] for k in ("share", "p99", "refused", "refused_p99", "late")}
        say(f"{load:g} times the peak, {deadline:g} s", **shown)
        points.append(point)
    return points


def refusing(lab: Lab, most: float) -> list[Point]:
    """Processor time a second that it takes to receive and refuse ten times the peak: a server
    whose only place is taken, then the same server as it drains.

    One call of thousands of pictures keeps the place. The threads that work on it only get what all
    others leave, and their time does not count.
    """
    flags = (
        "--max-in-flight-requests=1",
        "--max-stream-in-flight=1",
        "--max-images-per-request=10000",
    )
    flags += (
        "--max-deadline-ms=600000",
        "--drain-timeout-ms=600000",
        "--instances=1",
        "--max-message-bytes=1GiB",
    )
    flags += ("--threads-per-instance=1", "--decode-threads=1")
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
    call = channel.unary_unary(server.method)
    held = call.future(data, timeout=600)
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


def cores(lab: Lab, server: loaded.Server, most: float) -> Point:
    """The server loses all cores but one during load at twice its peak, and gets them back."""
    few, hold = set(lab.cores[:1]), SETTLE + (4 if lab.quick else 15)
    server.use_cores(few)
    one = peak(lab, server)["rate"]
    server.use_cores(set(lab.cores))
    server.wait_idle()
    lead, warm_up = 5, 2
    load = lab.load(
        server.target,
        "--rate",
        f"{2 * most:.1f}",
        timeout=1,
        warm_up=warm_up,
        seconds=lead + 2 * hold,
    )
    time.sleep(warm_up + lead)
    server.use_cores(few)
    time.sleep(hold)
    server.use_cores(set(lab.cores))
    run = load.finish()
    width = run["interval_s"]
    rates = [(row["s"], row["images_ok"] / width) for row in run["timeline"]]

    def share(begin: float, end: float, of: float) -> float:
        held = [rate for at, rate in rates if begin <= at and at + width <= end]
        return sum(held) / len(held) / of

    point = {
        "one": one,
        "rates": rates,
        "down": lead,
        "up": lead + hold,
        "share_down": share(lead + SETTLE, lead + hold, one),
        "share_up": share(lead + hold + SETTLE, lead + 2 * hold, most),
    }
    say("one core, then all", one=one, down=point["share_down"], up=point["share_up"])
    return point


def classes(lab: Lab, server: loaded.Server, most: float) -> Point:
    """Bulk beside interactive calls, told apart by `pixpool-priority`."""

    def rate(share: float) -> tuple[str, str]:
        return "--rate", f"{share * most:.1f}"

    def interactive(share: float) -> loaded.Load:
        return lab.load(server.target, *rate(share), *INTERACTIVE, timeout=1)

    def beside(bulk: float, other: float) -> tuple[Point, Point]:
        server.wait_idle()
        # It is there for a second before the other begins, and until after its end.
        background = lab.load(
            server.target, *rate(bulk), *BULK, timeout=5, warm_up=1.5, seconds=lab.seconds + 1
        )
        time.sleep(1)
        run = interactive(other).finish()
        return run, background.finish()

    server.wait_idle()
    alone = interactive(0.3).finish()
    flooded, bulk = beside(12, 0.3)
    _, kept = beside(2, 2)
    point = {
        "alone_answered": answered(alone),
        "alone_p99": alone["latency_ms"]["p99"],
        "answered": answered(flooded),
        "p99": flooded["latency_ms"]["p99"],
        "bulk": bulk["images_per_second"] / most,
        "kept": kept["images_per_second"] / most,
    }
    say("interactive 0.3 beside bulk 12", **point)
    return point


def answered(run: Point) -> float:
    """The answered share; 0 also where a call that never came back keeps its caller waiting."""
    return (run["requests"] - run["requests_failed"]) / max(1, run["requests"])


def fairness(lab: Lab, server: loaded.Server) -> Point:
    """One caller with a thousand calls in flight, and another, at another address, with one. Both
    ask again as the client library does: who would not wait after a refusal would measure how fast
    refusals come.
    """
    relay = subprocess.Popen(
        [sys.executable, str(ROOT / "bench/relay.py"), server.target, "127.0.0.2"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert relay.stdout
    target = relay.stdout.readline().strip()

    def quiet() -> Point:
        return lab.load(target, "--concurrency", 1, "--retry", timeout=5, connections=1).finish()

    try:
        server.wait_idle()
        alone = quiet()
        greedy = lab.load(
            server.target, "--concurrency", GREEDY, "--retry", timeout=10, seconds=lab.seconds + 2
        )
        time.sleep(1)
        beside = quiet()
        other = greedy.finish()
    finally:
        relay.terminate()
        relay.wait()
    point = {
        "alone_p99": alone["latency_ms"]["p99"],
        "alone_rate": alone["images_per_second"],
        "answered": answered(beside),
        "p99": beside["latency_ms"]["p99"],
        "rate": beside["images_per_second"],
        "greedy_rate": other["images_per_second"],
    }
    say(f"one call beside {GREEDY}", **point)
    return point


def waste(lab: Lab, server: loaded.Server, most: float) -> Point:
    """Calls that are cancelled or expire soon, at twice the peak: how many of them reached decode
    or backbone after their end.

    The server counts them (pixpool_wasted_work_total). What every build gives is pictures through
    the backbone less answers that somebody got: also those whose call ended during their work.
    """
    count = 3_000 if lab.quick else 10_000
    server.wait_idle()
    before = server.counters()
    command = [sys.executable, str(ROOT / "bench/give_up.py"), server.target, server.method]
    command += [str(server.body(lab.picture.read_bytes(), "waste")), f"{2 * most:.1f}", str(count)]
    done = subprocess.run(
        [*command, *map(str, SPREAD)], check=True, timeout=600, stdout=subprocess.PIPE
    )
    ends = json.loads(done.stdout)
    server.wait_idle()
    after = server.counters()

    def grown(prefix: str, ending: str = "") -> float:
        names = (n for n in after if n.startswith(prefix) and n.endswith(ending))
        return sum(after[n] - before.get(n, 0) for n in names)

    counter = "pixpool_wasted_work_total"
    counted = any(name.startswith(counter) for name in after)
    point = {
        "calls": grown("pixpool_requests_total"),
        "answered": ends.get("OK", 0),
        "for_nobody": grown("pixpool_batch_size_sum") - ends.get("OK", 0),
        "counted": counted,
        "wasted": grown(counter),
    }
    say("given up at twice the peak", **point)
    return point
