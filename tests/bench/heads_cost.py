"""What more heads cost: requests with one head and with eight, in turns, on a real server.

    python tests/bench/heads_cost.py                # a build and the default bundle at hand; ./run
    --once makes both

Closed loop on the machine itself: rounds of one head and of eight alternate, so that both see the
same weather. A round's figures are the median latency, the rate, the server's processor time a
picture (from its metrics) and its time in the heads. Replies are not parsed, so that the client
costs the same whatever they hold. Prints the medians over the rounds and their ratios; exit code 0.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "client" / "python")]

from api import Api  # noqa: E402
from exposition import total  # noqa: E402
from server_process import ServerProcess  # noqa: E402

ONE = ("global_avg",)
SETS = {
    "global": (*ONE, "global_max", "avg_max", "cat_avg_max", "gem", "lse", "lp", "spoc"),
    "spatial": (*ONE, "global_max", "gem", "avg_max", "rmac", "crow", "spoc", "scda"),
    "map": (*ONE, "class_activation_map"),
}
METHOD = "/pixpool.v1.FeatureService/ExtractFeatures"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=9, help="rounds of each kind, one more is not counted"
    )
    parser.add_argument("--requests", type=int, default=150, help="requests a round")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--heads", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--server-flags", nargs="*", default=[], help="such as --instances=1")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        api = Api(ROOT / "proto", out)
        photo = make_photo(out)
        server = ServerProcess(
            ROOT / "build/release/bin/pixpool-server",
            ROOT / "models",
            out / "log",
            tuple(args.server_flags),
        )
        try:
            server.wait_ready()
            client = api.client(server.target)
            call = client.channel.unary_unary(METHOD)  # bytes in, bytes out
            print(
                f"{'heads':<10} {'at':>3} {'':>8} {'p50 ms':>8} {'images/s':>9} {'cpu ms':>7} "
                f"{'heads ms':>9}"
            )
            for name in args.heads:
                for concurrency in args.concurrency:
                    compare(server, client, call, photo, name, concurrency, args)
        finally:
            server.stop()


def make_photo(folder: Path) -> bytes:
    from PIL import Image

    from pixpool.samples import copy_samples

    source = next(p for p in copy_samples(folder) if p.name == "coffee.png")
    Image.open(source).convert("RGB").resize((600, 400)).save(folder / "photo.jpg", quality=90)
    return (folder / "photo.jpg").read_bytes()


def compare(server, client, call, photo: bytes, name: str, concurrency: int, args) -> None:
    kinds = {"one": ONE, f"{len(SETS[name])}": SETS[name]}
    bodies = {
        kind: client.pb.ExtractFeaturesRequest(
            images=[client.image(photo)], heads=[client.head(h) for h in heads]
        ).SerializeToString()
        for kind, heads in kinds.items()
    }
    rows: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in kinds}
    with ThreadPoolExecutor(concurrency) as pool:
        for number in range(args.rounds + 1):
            for kind, body in bodies.items():
                figures = run_round(server, call, pool, body, args.requests)
                if number > 0:
                    rows[kind].append(figures)
    medians = {
        kind: [statistics.median(column) for column in zip(*r, strict=True)]
        for kind, r in rows.items()
    }
    one, more = medians.values()
    for kind, (p50, rate, cpu, heads) in medians.items():
        print(
            f"{name:<10} {concurrency:>3} {kind:>8} {p50:8.2f} {rate:9.1f} {cpu:7.2f} {heads:9.3f}"
        )
    ratio = [b / a for a, b in zip(one, more, strict=True)]
    print(
        f"{name:<10} {concurrency:>3} {'ratio':>8} {ratio[0]:8.3f} {ratio[1]:9.3f} {ratio[2]:7.3f}",
        flush=True,
    )


def run_round(
    server, call, pool: ThreadPoolExecutor, body: bytes, requests: int
) -> tuple[float, ...]:
    def one(_: int) -> float:
        start = time.perf_counter()
        call(body, timeout=60)
        return time.perf_counter() - start

    before, start = read(server), time.perf_counter()
    latencies = list(pool.map(one, range(requests)))
    elapsed, after = time.perf_counter() - start, read(server)
    cpu, heads, passes = (b - a for a, b in zip(before, after, strict=True))
    return (
        statistics.median(latencies) * 1e3,
        requests / elapsed,
        cpu / requests * 1e3,
        heads / passes * 1e3,
    )


def read(server) -> tuple[float, float, float]:
    """Processor seconds, seconds in heads, backbone passes, so far."""
    return (
        total(server, "process_cpu_seconds_total"),
        total(server, "pixpool_stage_duration_seconds_sum", stage="heads"),
        total(server, "pixpool_batch_size_count"),
    )


if __name__ == "__main__":
    main()
