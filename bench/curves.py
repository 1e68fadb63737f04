"""How the server scales: four curves, each measured with `pixpool bench`, into a table, curves.json and a plot.

- throughput and latency against calls in flight (closed loop);
- latency against offered rate, up to twice what the server can do (open loop, Poisson arrivals);
- cost against the size of the picture, decoded in full and at a scale;
- throughput against the number of model instances, and against the most images of a batch.

bench/curves sets up what this needs. Server and load share the machine, so compare points, not machines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pictures
import plot
from contestants import ROOT, Pixpool

BENCH = ROOT / "build/release/bin/pixpool"
CALLS = [1, 2, 4, 8, 16, 32, 64]
LOADS = [0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0]  # of what the server can do
SIDES = [256, 512, 1024, 2048, 3000]  # shorter side of a 4:3 picture, pixels
INSTANCES = [1, 2, 4]
BATCHES = [1, 2, 4, 8]


class Curves:
    def __init__(self, folder: Path, model: str, seconds: float) -> None:
        self.folder, self.model, self.seconds = folder, model, seconds

    def server(self, *flags: str) -> Server:
        return Server(self, flags)

    def picture(self, width: int, height: int) -> Path:
        path = self.folder / f"{width}x{height}.jpg"
        path.write_bytes(pictures.sized(width, height, ROOT / "build" / "samples"))
        return path


class Server:
    """A server with these flags while the context lasts."""

    def __init__(self, curves: Curves, flags: tuple[str, ...]) -> None:
        self.curves = curves
        self.process = Pixpool(curves.folder, ROOT / "models", curves.model, list(flags), scaled=False)

    def __enter__(self) -> Server:
        self.process.start()
        self.process.wait_ready(self.curves.picture(64, 48).read_bytes())
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def run(self, picture: Path, *flags: str) -> dict[str, Any]:
        """The run that these flags of `pixpool bench` ask for."""
        report = self.curves.folder / "report.json"
        command = [
            str(BENCH), "bench", str(picture), "--target", self.process.target, "--connections", "2", "--warm-up", "1",
            "--duration", str(self.curves.seconds), "--json", str(report), *flags,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode not in (0, 1, 3):  # shed requests are a result, too
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        (run,) = json.loads(report.read_text())["runs"]
        return run


def point(run: dict[str, Any], **x: float) -> dict[str, float]:
    latency = run["latency_ms"]
    failed = run["requests_failed"] / max(1, run["requests"])
    out = {**x, "rate": run["images_per_second"], "p50": latency["p50"], "p99": latency["p99"], "failed": failed}
    print("  " + "  ".join(f"{k} {v:,.2f}" for k, v in out.items()), flush=True)
    return out


def measure(curves: Curves) -> dict[str, Any]:
    small = curves.picture(600, 400)
    results: dict[str, Any] = {}
    with curves.server() as server:
        print("calls in flight")
        results["calls"] = [point(server.run(small, "--concurrency", str(n)), calls=n) for n in CALLS]
        most = max(p["rate"] for p in results["calls"])
        print(f"offered rate, of {most:.0f} images/s")
        results["offered"] = [
            point(server.run(small, "--rate", f"{share * most:.1f}", "--timeout", "5"), offered=share * most) for share in LOADS
        ]
        print("size of the picture")
        results["sizes"] = []
        for side in SIDES:
            picture = curves.picture(side * 4 // 3, side)
            for decode in ("exact", "scaled"):
                got = point(server.run(picture, "--concurrency", "8", "--decode", decode), megapixels=side * side * 4 / 3e6)
                results["sizes"].append({**got, "decode": decode})
    print("model instances")
    results["instances"] = []
    for n in INSTANCES:
        with curves.server(f"--instances={n}") as server:
            results["instances"].append(point(server.run(small, "--concurrency", "32"), instances=n))
    print("most images of a batch (TorchScript)")
    results["batches"] = []
    for n in BATCHES:
        with curves.server("--engine=torchscript", f"--max-batch-size={n}") as server:
            results["batches"].append(point(server.run(small, "--concurrency", "32"), batch=n))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/curves", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--seconds", type=float, default=4, help="that count, of each point")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="folder of curves.json and curves.svg")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        results = measure(Curves(Path(name), args.model, args.seconds))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "curves.json").write_text(json.dumps(results, indent=1) + "\n")
    plot.curves(results, args.out / "curves.svg")
    print(f"wrote {args.out / 'curves.json'} and curves.svg")


if __name__ == "__main__":
    main()
