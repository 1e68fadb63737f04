"""What compare.py has measured: a table for each model, bench.json and bench.svg."""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from pathlib import Path
from typing import Any

import plot


def medians(rounds: dict[str, Any]) -> dict[str, Any]:
    """Name -> concurrency -> figure."""
    return {
        name: {
            c: {k: statistics.median(v) for k, v in figures.items()} for c, figures in by.items()
        }
        for name, by in rounds.items()
    }


def overhead(run: dict[str, Any], precision: str, concurrency: str) -> dict[str, float]:
    """Processor milliseconds of a call that are not decode, resize and backbone.

    `serving` is exact: the threads that receive, answer and log. `heads` is the head's own time.
    `outside` is the server's whole less that of the in-process limit at as many threads in the same
    round, and the head on top: the difference of two large sums, so as uncertain as they are.
    overhead.py measures it without them.
    """
    ours = run["rounds"][run["ours"][precision]][concurrency]
    limit = run["rounds"][run["limits"][precision]][concurrency]
    heads = statistics.median(limit["heads_ms"])
    differences = [a - b for a, b in zip(ours["cpu"], limit["cpu"], strict=True)]
    return {
        "outside": statistics.median(differences) + heads,
        "outside_low": min(differences) + heads,
        "outside_high": max(differences) + heads,
        "serving": statistics.median(ours["serving"]),
        "heads": heads,
    }


def fidelity(bundle: Path) -> dict[str, Any]:
    """What the exporter measured of the int8 graph."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    return next(e["fidelity"] for e in manifest["engines"] if e["precision"] == "int8")


def table(model: str, run: dict[str, Any], picture_bytes: int, args: argparse.Namespace) -> None:
    middle = medians(run["rounds"])
    print(
        f"\n{model}, {args.image} picture ({picture_bytes} bytes), {args.decode} decode; "
        f"medians of {args.rounds} rounds of {args.seconds:g} s\n"
    )
    print(
        f"{'':<30} {'at':>3} {'images/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'cpu ms':>7} {'MB':>6} "
        f"{'x best peer':>12} {'of limit':>9}"
    )
    for concurrency in map(str, args.concurrency):
        best = max((middle[p][concurrency]["rate"] for p in run["peers"]), default=math.nan)
        for name, by in middle.items():
            limit = limit_of(run, middle, name, concurrency)
            print(f"{name:<30} {concurrency:>3} {_cells(by[concurrency], best, limit)}")
    _ratios(run, middle, args)
    for name, settings in run["settings"].items():
        print(f"{name}: {settings}; cosine with the reference {run['cosines'][name]:.6f}")
    if run["int8"]:
        _int8(run)


def limit_of(run: dict[str, Any], middle: dict[str, Any], name: str, concurrency: str) -> float:
    """The in-process limit in the precision of `name`."""
    text = f"{name} {run['settings'].get(name, '')}"
    precision = next((p for p in run["limits"] if p in text), next(iter(run["limits"])))
    return middle[run["limits"][precision]][concurrency]["rate"]


def _cells(row: dict[str, float], best: float, limit: float) -> str:
    tail = f" {row['p99']:8.2f}" if "p99" in row else f" {'':>8}"
    tail += f" {row['cpu']:7.2f}"
    tail += f" {row['mb']:6.0f}" if "mb" in row else f" {'':>6}"
    tail += f" {row['rate'] / best:12.2f}" if best == best else f" {'':>12}"
    return f"{row['rate']:9.1f} {row['p50']:8.2f}{tail} {row['rate'] / limit:8.0%}"


def _ratios(run: dict[str, Any], middle: dict[str, Any], args: argparse.Namespace) -> None:
    at = list(map(str, args.concurrency))
    numbers = ", ".join(at)
    print(f"\nat {numbers} calls in flight:")
    if len(run["ours"]) == 2:
        fast, exact = (middle[run["ours"][p]] for p in ("int8", "float32"))
        print(
            "  int8 / float32, images/s: "
            + ", ".join(f"{fast[c]['rate'] / exact[c]['rate']:.2f}" for c in at)
        )
    for precision in run["ours"]:
        parts = [overhead(run, precision, c) for c in at]
        print(
            f"  {precision}, processor ms a call of threads that receive, answer and log: "
            + ", ".join(f"{p['serving']:.2f}" for p in parts)
            + "; of the head: "
            + ", ".join(f"{p['heads']:.2f}" for p in parts)
        )
        print(
            "    outside decode, resize and backbone, as the difference to the limit "
            "(bench/overhead has it without the noise): "
            + ", ".join(
                f"{p['outside']:.2f} ({p['outside_low']:.2f} to {p['outside_high']:.2f})"
                for p in parts
            )
        )


def _int8(run: dict[str, Any]) -> None:
    got = run["int8"]
    what = (
        f"cosine {got['cosine_median']:.4f} at the median, "
        f"{got['cosine_p5']:.4f} at the 5th percentile"
    )
    if "top1_agreement" in got:
        what += f", the same top label on {got['top1_agreement']:.1%}"
    print(
        f"int8 ({got['float_layers']} in float32) against float32, "
        f"on {got['pictures']} pictures not calibrated on: {what}"
    )
    if not run["learnt"]:
        print("  The weights are random: speed is that of learnt ones, fidelity is not.")


def write(runs: dict[str, Any], args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    options = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    out: dict[str, Any] = {"options": options, "machine": machine(), "models": {}}
    for model, run in runs.items():
        at = map(str, args.concurrency)
        costs = {c: {p: overhead(run, p, c) for p in run["ours"]} for c in at}
        out["models"][model] = {**run, "medians": medians(run["rounds"]), "overhead_cpu_ms": costs}
    (args.out / "bench.json").write_text(json.dumps(out) + "\n")
    rates = {model: medians(run["rounds"]) for model, run in runs.items()}
    plot.bars(rates, args.out / "bench.svg", f"{args.image} picture, {args.decode} decode")
    print(f"wrote {args.out / 'bench.json'} and bench.svg")


def machine() -> dict[str, Any]:
    """The processor, as far as it says what it is."""
    text = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    has = [
        flag
        for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
        if flag in text.split()
    ]
    return {
        "processor": fields.get("model name", "unknown"),
        "instructions": has,
        "cores": len(os.sched_getaffinity(0)),
    }
