"""Many mixed calls against one server: what the clients count is what the server counts, and
nothing grows.

    tests/soak                          # 1,000,000 calls
    tests/soak --calls 20000 --rounds 4
    tests/soak --help

Both protocols, calls and streams, all heads, pictures from 16 pixels up; 10 % of the calls are bad
and 5 % are given up by their client, by cancelling or by a deadline of a few milliseconds. A
network so small that the server itself is most of the work serves most of them; a share goes to the
default model where there is one (./run --once makes it).

After each round the clients' tally by method and code is compared with the server's
pixpool_requests_total. A call that is given up ends on both sides at its own time, or never reaches
the server, so for these the server's log says, by their trace id, what became of each: the counter
is then exactly the calls that were waited for plus those in the log. Descriptors, threads and
memory are read after each round, with all clients gone.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exposition import samples
from server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
REAL = "efficientnet-lite0"
# One thread for a network so small: else threads mostly wait for one another.
FLAGS = ("--instances", str(len(os.sched_getaffinity(0))), "--threads-per-instance", "1")
REFUSED = 0.01  # of the calls of a round at most
SETTLE = 10  # seconds until the server has counted a round's last call and closed its connections

Tally = collections.Counter[str]  # "Method CODE" -> calls


@dataclass
class Round:
    calls: int
    given_up: int = 0
    unseen: int = 0  # given up before the server had them
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    descriptors: int = 0
    threads: int = 0
    resident_mb: float = 0.0


class Soak:
    def __init__(
        self, binary: Path, folder: Path, models: Path, *flags: str, **options: Any
    ) -> None:
        """`options`: of soak_client.py, besides target, calls and seed."""
        self.options = {"model": "tiny", "bad": 0.1, "given_up": 0.05, **options}
        self.server = ServerProcess(binary, models, folder / "log", (*FLAGS, *flags))
        self.log_read = 0
        self.total: Tally = collections.Counter()

    def counted(self) -> Tally:
        counted: Tally = collections.Counter()
        for name, labels, value in samples(self.server):
            if name == "pixpool_requests_total" and value:
                counted[f"{labels['method']} {labels['code']}"] += int(value)
        return counted

    def metric(self, name: str) -> float:
        return float(re.search(rf"^{name} (\S+)$", self.server.get("/metrics")[1], re.M)[1])

    def logged(self) -> dict[str, str]:
        """Trace id -> code, of the new lines of the log."""
        out = {}
        with self.server.log_path.open("rb") as log:
            log.seek(self.log_read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self.log_read += len(line)
                if b'"trace_id"' in line:
                    row = json.loads(line)
                    out[row["trace_id"]] = row["code"]
        return out

    def round(self, calls: int, clients: int, seed: int) -> Round:
        before, begin = self.counted(), time.monotonic()
        reports = self._clients(calls, clients, seed)
        out = Round(calls, seconds=time.monotonic() - begin)
        kept: Tally = sum((collections.Counter(r["kept"]) for r in reports), collections.Counter())
        given_up = {row[0]: row for report in reports for row in report["given_up"]}
        for report in reports:
            out.problems += [f"{what} ({n} times)" for what, n in report["surprises"].items()]
        seen: dict[str, str] = {}
        end = time.monotonic() + SETTLE
        while True:
            seen.update(self.logged())
            expected = kept + self._seen(given_up, seen)
            got = self.counted()
            got.subtract(before)
            if +got == expected or time.monotonic() > end:
                break
            time.sleep(0.1)
        self._compare(out, kept, expected, got, given_up, seen)
        out.given_up, out.unseen = len(given_up), len(given_up.keys() - seen.keys())
        self.total += expected
        self._levels(out, end)
        return out

    def _clients(self, calls: int, clients: int, seed: int) -> list[dict[str, Any]]:
        running = []
        for i in range(clients):
            share = calls // clients + (i < calls % clients)
            options = self.options | {
                "target": self.server.target,
                "calls": share,
                "seed": seed * 1000 + i,
            }
            running.append(
                subprocess.Popen(
                    [sys.executable, "-B", SUPPORT / "soak_client.py", json.dumps(options)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        out = []
        for client in running:
            text = client.communicate()[0]
            assert client.returncode == 0, f"a client ended with {client.returncode}"
            out.append(json.loads(text))
        return out

    @staticmethod
    def _seen(given_up: dict[str, Any], seen: dict[str, str]) -> Tally:
        return collections.Counter(
            f"{given_up[trace][1]} {code}" for trace, code in seen.items() if trace in given_up
        )

    def _compare(
        self,
        out: Round,
        kept: Tally,
        expected: Tally,
        got: Tally,
        given_up: dict[str, Any],
        seen: dict[str, str],
    ) -> None:
        for what in sorted(expected.keys() | got.keys()):
            if expected[what] != got[what]:
                out.problems.append(
                    f"{what}: the server counts {got[what]}, the clients {expected[what]}"
                )
            if what.endswith((" INTERNAL", " UNKNOWN")) and got[what]:
                out.problems.append(f"{what}: {got[what]} times")
        refused = sum(n for what, n in kept.items() if what.endswith(" UNAVAILABLE"))
        if refused > REFUSED * out.calls:
            out.problems.append(f"{refused} calls were refused, although few are in flight")
        # What else a call that is given up ends with may be the client library's own word.
        for trace, (_, method, code) in given_up.items():
            if code == "OK" and seen.get(trace) != "OK":
                out.problems.append(f"{method} OK, of which the server says {seen.get(trace)}")
        if dropped := self.metric("pixpool_log_dropped_total"):
            out.problems.append(f"the log has lost {dropped:.0f} lines")
        for gauge in ("requests", "bytes", "pixels"):
            if held := self.metric(f"pixpool_in_flight_{gauge}"):
                out.problems.append(f"{held:.0f} {gauge} are still in flight")

    def _levels(self, out: Round, end: float) -> None:
        """Once the connections are closed; only the scrape's own may be open."""
        process = Path(f"/proc/{self.server.process.pid}")
        least = len(list((process / "fd").iterdir()))
        while time.monotonic() < end:
            time.sleep(0.2)
            now = len(list((process / "fd").iterdir()))
            if now == least:
                break
            least = now
        out.descriptors = least
        out.threads = len(list((process / "task").iterdir()))
        pages = int((process / "statm").read_text().split()[1])
        out.resident_mb = pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(rounds: list[Round]) -> tuple[float, list[str]]:
    """MiB that the later half of the rounds grew by, of a line through them; and what is not level.
    The first rounds fill caches.
    """
    later = rounds[len(rounds) // 2 :]
    n, memory = len(later), [r.resident_mb for r in later]
    middle = (n - 1) / 2
    squares = sum((i - middle) ** 2 for i in range(n))
    slope = sum((i - middle) * m for i, m in enumerate(memory)) / squares if n > 1 else 0.0
    grown = slope * (n - 1)
    problems = []
    if grown > max(16.0, 0.05 * memory[0]):
        problems.append(f"memory grew by {grown:.0f} MiB from {memory[0]:.0f}")
    early = rounds[: max(1, len(rounds) // 2)]
    for name in ("descriptors", "threads"):
        before, after = (max(getattr(r, name) for r in some) for some in (early, later))
        if after > before + 2:  # a scrape's connection, a thread that gRPC has in reserve
            problems.append(f"{name} grew from {before} to {after}")
    return grown, problems


def make_models(folder: Path, real: Path | None) -> Path:
    """A repository of the tiny model, and of the real one where there is one."""
    models = folder / "models"
    subprocess.run(
        [sys.executable, "-B", SUPPORT / "make_tiny_bundle.py", models],
        check=True,
        capture_output=True,
    )
    if real:
        shutil.copytree(real, models / REAL)
    return models


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--calls", type=int, default=1_000_000)
    add("--rounds", type=int, default=20)
    add("--clients", type=int, default=2, help="processes that send")
    add("--real-share", type=float, default=0.02, help="of inference calls, to the default model")
    add("--server", type=Path, default=ROOT / "build/release/bin/pixpool-server")
    add("--models", type=Path, default=ROOT / "models", help="where the default model is")
    args = parser.parse_args()
    real = args.models / REAL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = make_models(folder, real if args.real_share and real.is_dir() else None)
        both = {"real": REAL, "real_share": args.real_share} if (models / REAL).is_dir() else {}
        soak = Soak(args.server, folder, models, **both)
        try:
            soak.server.wait_ready()
            rounds = run(soak, args.calls, args.rounds, args.clients)
        finally:
            status = soak.server.stop()
    for what, count in sorted(soak.total.items()):
        print(f"{count:>9,}  {what}")
    grown, problems = growth(rounds)
    problems = [p for r in rounds for p in r.problems] + problems
    if status:
        problems.append(f"the server ended with {status}")
    print(
        f"\n{sum(soak.total.values()):,} calls counted by the server, "
        f"{sum(r.unseen for r in rounds):,} of {sum(r.given_up for r in rounds):,} given up before "
        f"it had them; memory {grown:+.1f} MiB over the later half"
    )
    print(*(f"FAILED: {p}" for p in problems), "tally and levels hold" * (not problems), sep="\n")
    sys.exit(bool(problems))


def run(soak: Soak, calls: int, rounds: int, clients: int) -> list[Round]:
    print(f"{'calls':>10} {'calls/s':>8} {'fds':>5} {'threads':>7} {'MiB':>7}", flush=True)
    out: list[Round] = []
    for number in range(rounds):
        done = soak.round(calls // rounds, clients, number)
        out.append(done)
        print(
            f"{(number + 1) * done.calls:>10,} {done.calls / done.seconds:>8.0f} "
            f"{done.descriptors:>5} {done.threads:>7} {done.resident_mb:>7.1f}",
            *done.problems,
            sep="\n    ",
            flush=True,
        )
    return out


if __name__ == "__main__":
    main()
