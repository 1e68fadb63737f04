"""What a hit of the response cache costs: the time of a call whose picture is new to the server,
and of one whose picture it has seen.

    scripts/py bench/response_cache.py [--pictures 200] [--rounds 3] [--size 600x400]

Starts build/release/bin/pixpool-server on the default model (./run --once) with a cache, sends
distinct pictures, one call at a time, and then the same ones again, by `pixpool bench`. Prints the
medians and their ratio; ends with 1 where a hit takes more than a twentieth of a miss.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "client" / "python")]

import pictures  # noqa: E402
from exposition import total  # noqa: E402
from pixpool.samples import copy_samples  # noqa: E402
from server_process import ServerProcess  # noqa: E402

BIN = ROOT / "build" / "release" / "bin"
GOAL = 1 / 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="600x400")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_samples(folder)
        width, height = map(int, args.size.split("x"))
        picture = pictures.sized(width, height, folder)
        server = ServerProcess(
            BIN / "pixpool-server",
            args.models,
            folder / "log",
            ("--response-cache-bytes", "64MiB", "--log-level", "warning"),
        )
        try:
            server.wait_ready()
            ratios = [one_round(server, folder / str(r), picture, args) for r in range(args.rounds)]
        finally:
            server.stop()
    ratio = statistics.median(ratios)
    print(f"a hit takes {ratio:.3f} of a miss: 1/{1 / ratio:.0f}")
    sys.exit(ratio > GOAL)


def one_round(
    server: ServerProcess, folder: Path, picture: bytes, args: argparse.Namespace
) -> float:
    """The ratio of the medians over pictures that no round before has sent."""
    folder.mkdir()
    for i in range(args.pictures):
        # A comment makes it another file with the same pixels.
        comment = f"{folder.name} {i:6}".encode()
        marked = picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / f"{i}.jpg").write_bytes(marked + picture[2:])
    medians = []
    for outcome in ("miss", "hit"):
        before = total(server, "pixpool_response_cache_images_total", outcome=outcome)
        medians.append(median_ms(server, folder, args.pictures))
        counted = total(server, "pixpool_response_cache_images_total", outcome=outcome) - before
        assert counted >= args.pictures, f"{counted} of {args.pictures} were a {outcome}"
    print(
        f"{args.pictures} pictures of {len(picture):,} bytes: "
        f"p50 {medians[0]:.2f} ms for a miss, {medians[1]:.3f} ms for a hit",
        flush=True,
    )
    return medians[1] / medians[0]


def median_ms(server: ServerProcess, folder: Path, calls: int) -> float:
    """Of calls one after the other, each picture once."""
    report = folder.with_suffix(".json")
    command = [BIN / "pixpool", "bench", folder, "--target", server.target, "--no-probe"]
    load = ["--concurrency", "1", "--requests", calls, "--warm-up", "0", "--duration", "600"]
    subprocess.run(
        [str(word) for word in (*command, *load, "--json", report)], check=True, capture_output=True
    )
    (run,) = json.loads(report.read_text())["runs"]
    return run["latency_ms"]["p50"]


if __name__ == "__main__":
    main()
