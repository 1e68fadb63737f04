"""Two replicas that are restarted again and again under load, with the settings that deploy/ ships.

    tests/rolling                   # 100,000 calls, balanced by the client
    tests/rolling --edge            # the same through Envoy, with deploy/envoy

One replica after the other is told to end, drains with the delay of deploy/kubernetes (behind the
edge: of deploy/compose), and starts anew at the same address. Clients of both protocols use the
service configs of deploy/client. A Deployment starts the new replica before it ends the old one;
here only one replica is left meanwhile, which is harder. No call may fail.
"""

from __future__ import annotations

import argparse
import collections
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from api import Api
from exposition import total
from server_process import ServerProcess, free_port
from soak import FLAGS, make_models
from soak_deck import KSERVE, OURS, Deck

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
METHODS = {OURS + "ExtractFeatures", KSERVE + "ModelInfer", OURS + "GetModel"}
EVEN = 0.35  # of the calls of two replicas: every client has found the new one
PATIENCE = 60  # seconds until a new replica has its share


def shipped_delays(edge: bool) -> dict[str, str]:
    """The variables PIXPOOL_DRAIN_... of compose, where the edge is, or of Kubernetes."""
    if edge:
        compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
        values = compose["services"]["pixpool"]["environment"]
    else:
        lines = (DEPLOY / "kubernetes" / "base" / "pixpool.env").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    return {k: str(v) for k, v in values.items() if k.startswith("PIXPOOL_DRAIN_")}


class Rolling:
    def __init__(self, binary: Path, folder: Path, models: Path, edge: bool = False) -> None:
        self.binary, self.folder, self.models, self.edge = binary, folder, models, edge
        self.flags = [*FLAGS, "--log-level", "warning"]
        for name, value in shipped_delays(edge).items():
            self.flags += [f"--{name.removeprefix('PIXPOOL_').lower().replace('_', '-')}", value]
        self.servers = [self._start(f"127.0.0.1:{free_port()}") for _ in range(2)]
        self.requests = folder / "requests.json"
        with tempfile.TemporaryDirectory() as stubs:
            deck = Deck(Api(ROOT / "proto", Path(stubs)), "tiny")
        calls = [c for c in deck.calls() if c.method in METHODS and not c.bad]
        self.requests.write_text(json.dumps([(c.method, c.messages[0].hex()) for c in calls]))
        self.restarts = 0

    def _start(self, target: str) -> ServerProcess:
        log = self.folder / f"log-{target.rsplit(':', 1)[1]}-{time.monotonic_ns()}"
        server = ServerProcess(self.binary, self.models, log, tuple(self.flags), target)
        server.wait_ready()
        return server

    def answered(self) -> list[int]:
        """Calls that each replica has answered."""
        return [int(total(server, "pixpool_requests_total", code="OK")) for server in self.servers]

    def restart(self, number: int) -> None:
        """One replica, and waits until it has its share of the calls."""
        old = self.servers[number]
        status = old.stop()
        assert status == 0, f"a replica ended with {status}:\n{old.log()[-2000:]}"
        self.servers[number] = self._start(old.target)
        self.restarts += 1
        end = time.monotonic() + PATIENCE
        while True:
            before = self.answered()
            time.sleep(1)
            grown = [b - a for a, b in zip(before, self.answered(), strict=True)]
            if sum(grown) and grown[number] >= EVEN * sum(grown):
                return
            assert time.monotonic() < end, f"a new replica gets {grown[number]} of {sum(grown)}"

    def run(self, target: str, calls: int, restarts: int, clients: int = 2) -> dict[str, int]:
        """At least so many calls and so many restarts of each replica; how the calls ended."""
        running, enough = [], []
        for _ in range(clients):
            options = {
                "target": target,
                "calls": -(-calls // clients),
                "requests": str(self.requests),
                "edge": self.edge,
            }
            client = subprocess.Popen(
                [
                    sys.executable,
                    "-B",
                    ROOT / "tests/support/rolling_client.py",
                    json.dumps(options),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            running.append(client)
            enough.append(threading.Thread(target=client.stdout.readline))
            enough[-1].start()
        try:
            while not sum(self.answered()):
                time.sleep(0.1)
            while self.restarts < 2 * restarts or any(t.is_alive() for t in enough):
                self.restart(self.restarts % 2)
        finally:
            ends: collections.Counter[str] = collections.Counter()
            for client in running:
                client.stdin.close()
            for client, thread in zip(running, enough, strict=True):
                thread.join()
                ends.update(json.loads(client.stdout.read()))
                client.wait()
        return dict(ends)

    def target(self) -> str:
        return "ipv4:" + ",".join(server.target for server in self.servers)

    def stop(self) -> None:
        for server in self.servers:
            server.signal()  # twice ends the delay, which nobody needs
            time.sleep(0.2)
            server.stop()


def find_envoy() -> str:
    beside = str(Path(sys.executable).parent)
    binary = shutil.which("envoy") or shutil.which("envoy", path=beside)
    if binary is None:
        raise SystemExit("envoy is not installed: ./test deploy installs it")
    return binary


def start_edge(envoy: str, servers: list[ServerProcess], folder: Path) -> Any:
    sys.path.insert(0, str(ROOT / "tests" / "deploy"))
    from edge import Edge

    return Edge(envoy, servers, folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests/rolling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--calls", type=int, default=100_000)
    add("--restarts", type=int, default=3, help="of each replica, at least")
    add("--edge", action="store_true", help="through Envoy, with deploy/envoy")
    add("--server", type=Path, default=ROOT / "build/release/bin/pixpool-server")
    args = parser.parse_args()
    envoy = find_envoy() if args.edge else ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rolling = Rolling(args.server, folder, make_models(folder, None), args.edge)
        edge = None
        try:
            if args.edge:
                edge = start_edge(envoy, rolling.servers, folder)
            target = edge.target if edge else rolling.target()
            begin = time.monotonic()
            ends = rolling.run(target, args.calls, args.restarts)
        finally:
            rolling.stop()
            if edge:
                edge.stop()
    failed = sum(ends.values()) - ends.get("OK", 0)
    print(
        f"{failed} of {sum(ends.values()):,} calls failed across {rolling.restarts} restarts in "
        f"{time.monotonic() - begin:.0f} s"
    )
    for what, count in ends.items():
        if what != "OK":
            print(f"{count:>9,}  {what}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
