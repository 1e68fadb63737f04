"""What bench/overload runs beside plain load: cores that come and go, callers of two kinds, one
caller that asks for everything, and callers that give up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import loaded
from contestants import ROOT
from overload_runs import Lab, Point, peak, rate_now, say

BULK, INTERACTIVE = (
    ("--header", "pixpool-priority: bulk"),
    ("--header", "pixpool-priority: interactive"),
)
GREEDY = 1000  # calls in flight of the caller that must not starve another
SETTLE = 10  # seconds in which a server finds its new peak
SPREAD = (0.005, 0.25)  # seconds after which calls are given up


def cores(lab: Lab, server: loaded.Server, at_first: Point) -> Point:
    """The server loses all cores but one during load at twice its peak, and gets them back."""
    most = at_first["rate"]
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
    all_again = rate_now(lab, server, at_first["callers"])

    def share(begin: float, end: float, of: float) -> float:
        held = [rate for at, rate in rates if begin <= at and at + width <= end]
        return float(sum(held) / len(held) / of)

    point = {
        "one": one,
        "all": all_again,
        "rates": rates,
        "down": lead,
        "up": lead + hold,
        "share_down": share(lead + SETTLE, lead + hold, one),
        "share_up": share(lead + hold + SETTLE, lead + 2 * hold, all_again),
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
    return float(run["requests"] - run["requests_failed"]) / max(1, run["requests"])


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
