"""How the server scales: curves measured with `pixpool bench`, into a table, curves.json and plots.

- throughput and latency against calls in flight (closed loop);
- latency, what is answered and what is refused, against the offered rate, up to twice what the
  server can do (open loop, Poisson arrivals, requests that give up after 10 s);
- cost against the size of the picture, decoded in full and at a scale;
- throughput against the number of model instances, and against the most images of a batch.

With --docs the plots and the table of docs/scaling.md are written, too. bench/curves sets up what
this needs. Server and load share the machine, so compare points, not machines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import models
import pictures
import plot
import report
from contestants import ROOT, Pixpool

BENCH = ROOT / "build/release/bin/pixpool"
CALLS = [1, 2, 4, 8, 16, 32, 64]
LOADS = [0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0]  # of what the server can do
SIDES = [256, 512, 1024, 2048, 3000]  # shorter side of a 4:3 picture, pixels
INSTANCES = [1, 2, 4]
BATCHES = [1, 2, 4, 8]
# Of the open loop. A connection carries 100 calls at a time, and further ones wait in the client,
# where the server neither sees nor refuses them; so there are enough for all that may be on their
# way.
CONNECTIONS = 32
# seconds, of the open loop's requests; a warm-up as long lets the queue fill where more comes than
# is served
PATIENCE = 10
MARKS = ("<!-- measured: bench/curves --docs -->\n", "<!-- end -->\n")


class Curves:
    def __init__(self, folder: Path, model: str, precision: str, seconds: float) -> None:
        self.folder, self.model, self.precision, self.seconds = folder, model, precision, seconds

    def server(self, *flags: str) -> Server:
        return Server(self, flags)

    def picture(self, width: int, height: int) -> Path:
        path = self.folder / f"{width}x{height}.jpg"
        if not path.exists():
            path.write_bytes(pictures.sized(width, height, ROOT / "build" / "samples"))
        return path


class Server:
    """A server with these flags while the context lasts."""

    def __init__(self, curves: Curves, flags: tuple[str, ...]) -> None:
        self.curves = curves
        repository = models.repository(curves.model, curves.precision)
        precision = f"--precision={curves.precision}"
        self.process = Pixpool(
            curves.folder, repository, curves.model, [precision, *flags], scaled=False
        )

    def __enter__(self) -> Server:
        self.process.start()
        self.process.wait_ready(self.curves.picture(64, 48).read_bytes())
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def run(
        self, picture: Path, *flags: str, warm_up: float = 1, connections: int = 2
    ) -> dict[str, Any]:
        """The run that these flags of `pixpool bench` ask for."""
        file = self.curves.folder / "report.json"
        command = [
            str(BENCH),
            "bench",
            str(picture),
            "--target",
            self.process.target,
            "--connections",
            str(connections),
            "--warm-up",
            str(warm_up),
            "--duration",
            str(self.curves.seconds),
            "--json",
            str(file),
            *flags,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode not in (0, 1, 3):  # shed requests are a result, too
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        (run,) = json.loads(file.read_text())["runs"]
        return run


def point(run: dict[str, Any], **x: float) -> dict[str, float]:
    latency, requests = run["latency_ms"], max(1, run["requests"])
    shed = late = 0
    for failure in run["failures"]:
        if failure["reason"] == "OVERLOADED":
            shed += failure["count"]
        elif failure["code"] == "DEADLINE_EXCEEDED":
            late += failure["count"]
        else:
            raise SystemExit(f"requests fail in a way that no load explains: {failure}")
    if not run["images_per_second"]:
        raise SystemExit(
            f"nothing was answered within the {run['window_s']:g} s that count; give more --seconds"
        )
    out = {
        **x,
        "rate": run["images_per_second"],
        "p50": latency["p50"],
        "p99": latency["p99"],
        "shed": shed / requests,
        "late": late / requests,
    }
    print("  " + "  ".join(f"{k} {v:,.2f}" for k, v in out.items()), flush=True)
    return out


def measure(curves: Curves) -> dict[str, Any]:
    small = curves.picture(600, 400)
    results: dict[str, Any] = {
        "machine": report.machine(),
        "model": curves.model,
        "precision": curves.precision,
    }
    with curves.server() as server:
        print("calls in flight")
        results["calls"] = [
            point(server.run(small, "--concurrency", str(n)), calls=n) for n in CALLS
        ]
        most = results["saturation"] = max(p["rate"] for p in results["calls"])
        print(f"offered rate, of {most:.0f} images/s")
        results["offered"] = [
            point(
                server.run(
                    small,
                    "--rate",
                    f"{share * most:.1f}",
                    "--timeout",
                    str(PATIENCE),
                    warm_up=1 if share < 0.9 else PATIENCE,
                    connections=CONNECTIONS,
                ),
                offered=share * most,
            )
            for share in LOADS
        ]
        print("size of the picture")
        results["sizes"] = []
        for side in SIDES:
            picture = curves.picture(side * 4 // 3, side)
            for decode in ("exact", "scaled"):
                got = point(
                    server.run(picture, "--concurrency", "8", "--decode", decode),
                    megapixels=side * side * 4 / 3e6,
                )
                results["sizes"].append({**got, "decode": decode})
    print("model instances")
    results["instances"] = []
    for n in INSTANCES:
        with curves.server(f"--instances={n}") as server:
            results["instances"].append(
                point(server.run(small, "--concurrency", "32"), instances=n)
            )
    results["batches"] = []
    for engine in ["openvino"] if curves.precision == "int8" else ["openvino", "torchscript"]:
        print(f"most images of a batch, {engine}")
        for n in BATCHES:
            with curves.server(f"--engine={engine}", f"--max-batch-size={n}") as server:
                # TorchScript optimises its graph for each size of batch that comes first.
                got = point(
                    server.run(
                        small, "--concurrency", "32", warm_up=1 if engine == "openvino" else 6
                    ),
                    batch=n,
                )
                results["batches"].append({**got, "engine": engine})
    return results


def table(results: dict[str, Any]) -> str:
    """What docs/scaling.md says in numbers."""
    machine, sizes = results["machine"], results["sizes"]
    at = {p["calls"]: p for p in results["calls"]}
    load = {round(p["offered"] / results["saturation"], 1): p for p in results["offered"]}
    big = {p["decode"]: p for p in sizes if p["megapixels"] == max(q["megapixels"] for q in sizes)}

    def times(p: dict[str, float]) -> str:
        return f"{p['p50']:.0f} / {p['p99']:.0f}"

    rows = [
        (
            "images/s at 1 / 8 / 32 calls in flight",
            " / ".join(f"{at[n]['rate']:.0f}" for n in (1, 8, 32)),
        ),
        ("p50 / p99 ms at 1 call in flight, at 8", f"{times(at[1])}, {times(at[8])}"),
        (
            "p50 / p99 ms at 0.4 of the highest rate, at 0.8",
            f"{times(load[0.4])}, {times(load[0.8])}",
        ),
        ("the same at twice that rate, of what is answered", times(load[2.0])),
        (
            "answered at twice that rate, of the highest",
            f"{load[2.0]['rate'] / results['saturation']:.0%}",
        ),
        (
            "refused there",
            f"{load[2.0]['shed']:.0%}, and {load[2.0]['late']:.1%} "
            f"past their deadline of {PATIENCE} s",
        ),
        (
            "12 megapixels, exact / scaled decode, images/s",
            f"{big['exact']['rate']:.1f} / {big['scaled']['rate']:.1f}",
        ),
    ]
    has = ", ".join(machine["instructions"]) or "no AVX2"
    lines = [
        f"| {results['model']}, {results['precision']}, {machine['cores']} cores "
        f"({machine['processor']}; {has}) |  |",
        "| -- | -- |",
    ]
    return "\n".join([*lines, *(f"| {what} | {value} |" for what, value in rows)]) + "\n"


def write_docs(results: dict[str, Any]) -> None:
    plot.curves(results, ROOT / "docs" / "figures", "scaling")
    page = ROOT / "docs" / "scaling.md"
    before, rest = page.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    page.write_text(f"{before}{MARKS[0]}\n{table(results)}\n{MARKS[1]}{after}")
    print(f"wrote {page} and its figures")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/curves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_arguments(parser)
    parser.add_argument("--seconds", type=float, default=5, help="that count, of each point")
    parser.add_argument(
        "--out", type=Path, default=models.BENCH, help="folder of curves.json and the plots"
    )
    parser.add_argument(
        "--docs", action="store_true", help="write docs/scaling.md's plots and table, too"
    )
    args = parser.parse_args()
    if len(args.model) > 1 or len(args.precision) > 1:
        parser.error("one model and one precision at a time")
    with tempfile.TemporaryDirectory() as name:
        results = measure(Curves(Path(name), args.model[0], args.precision[0], args.seconds))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "curves.json").write_text(json.dumps(results, indent=1) + "\n")
    print("\n" + table(results))
    print(
        "wrote curves.json, "
        + ", ".join(plot.curves(results, args.out, "curves"))
        + f" in {args.out}"
    )
    if args.docs:
        write_docs(results)


if __name__ == "__main__":
    main()
