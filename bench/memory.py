"""Whether the server's memory levels and comes back: goal and figure of each.

    bench/memory [--passes 20000] [--server-flags ...]

- Random sizes: network inputs of random height and width up to 512 pixels. What the server holds
  after all of them, of what it holds after a tenth.
- Three layers: requests for three layers of the network, then a pause of 75 s. What is left beyond
  the idle server.
- Large inputs: eight calls at a time for inputs of 2048 x 2048 pixels, then a pause of 20 s.
  The most that the server ever had, of --max-memory (1792 MiB), and what is left.

Prints a table and ends with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import random
import sys
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "client" / "python")]

from api import Api, Client  # noqa: E402
from server_memory import MIB, status_bytes  # noqa: E402
from server_process import ServerProcess  # noqa: E402

LARGEST_RANDOM = 512
MAX_MEMORY = 1792 * MIB
THREE_LAYERS = ("gem:layer=stage2", "gem:layer=stage4", "gem")
CALLERS = 4


class Bench:
    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args = args
        self.folder = folder
        self.api = Api(ROOT / "proto", folder)
        self.picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
        self.good = True

    def server(self, *flags: str) -> ServerProcess:
        server = ServerProcess(
            self.args.server,
            self.args.models,
            self.folder / "log",
            ("--log-level", "warning", *flags, *self.args.server_flags),
        )
        server.wait_ready()
        return server

    def goal(self, what: str, figure: float, most: float, unit: str) -> None:
        met = figure <= most
        self.good = self.good and met
        verdict = "met" if met else "MISSED"
        print(f"{what:60} {figure:8.2f} {unit}, goal at most {most:.2f}: {verdict}", flush=True)

    def extract(self, client: Client, heads=(), **options: int) -> bool:
        """Whether the call was answered; it may be shed, or late where others use the cores."""
        try:
            client.extract([self.picture], heads, input_options=self.api.pb.InputOptions(**options))
        except grpc.RpcError as error:
            if error.code() not in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                raise
            return False
        return True

    def random_sizes(self, server: ServerProcess) -> None:
        client = self.api.client(server.target)
        sides = random.Random(0)
        sizes = [
            (sides.randint(32, LARGEST_RANDOM), sides.randint(32, LARGEST_RANDOM))
            for _ in range(self.args.passes)
        ]

        def one(size: tuple[int, int]) -> bool:
            return self.extract(client, input_height_px=size[0], input_width_px=size[1])

        tenth = self.args.passes // 10
        answered = 0
        with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
            for begin in range(0, self.args.passes, tenth):
                answered += sum(callers.map(one, sizes[begin : begin + tenth]))
                resident = status_bytes(server.process.pid, "VmRSS")
                if begin == 0:
                    first = resident
                print(f"  after {begin + tenth:6} sizes: {resident / MIB:.0f} MiB", flush=True)
        self.goal("calls without an answer", 100 * (1 - answered / len(sizes)), 1, "%")
        self.goal(
            f"memory after {self.args.passes} sizes, of that after {tenth}",
            resident / first,
            1.10,
            "times",
        )

    def three_layers(self, server: ServerProcess) -> None:
        client = self.api.client(server.target)
        for _ in range(50):
            self.extract(client)
        idle = status_bytes(server.process.pid, "VmRSS")
        with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
            list(callers.map(lambda _: self.extract(client, THREE_LAYERS), range(300)))
        busy = status_bytes(server.process.pid, "VmRSS")
        print(f"  idle {idle / MIB:.0f} MiB, with three layers {busy / MIB:.0f} MiB")
        time.sleep(75)
        left = status_bytes(server.process.pid, "VmRSS") / idle
        self.goal("memory after three-layer requests, of idle", left, 1.10, "times")

    def large_inputs(self, server: ServerProcess) -> None:
        client = self.api.client(server.target)
        idle = status_bytes(server.process.pid, "VmRSS")
        with concurrent.futures.ThreadPoolExecutor(8) as callers:
            done = list(
                callers.map(lambda _: self.extract(client, input_height_px=2048), range(16))
            )
        most = status_bytes(server.process.pid, "VmHWM")
        time.sleep(20)
        left = status_bytes(server.process.pid, "VmRSS")
        print(f"  {sum(done)} of {len(done)} answered, the others shed or late")
        self.goal("large calls without an answer", 100 * (1 - sum(done) / len(done)), 50, "%")
        self.goal(
            "most memory with 8 calls of 2048 x 2048 pixels", most / MIB, MAX_MEMORY / MIB, "MiB"
        )
        self.goal("memory after them, of idle", left / idle, 1.10, "times")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--passes", type=int, default=20_000, help="at least 10")
    parser.add_argument("--server-flags", nargs="*", default=[])
    parser.add_argument("--server", type=Path, default=ROOT / "build/release/bin/pixpool-server")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(args, Path(name))
        with bench.server("--max-memory", str(MAX_MEMORY)) as server:
            bench.large_inputs(server)
        with bench.server() as server:
            bench.three_layers(server)
        with bench.server() as server:
            bench.random_sizes(server)
    sys.exit(0 if bench.good else 1)


if __name__ == "__main__":
    main()
