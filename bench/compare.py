"""Compares the server with its peers and with the in-process limit; bench/run sets up what this needs.

Rounds alternate, so that all see the same weather: A B C, A B C, ... A figure is the median over the rounds. Every
server's vector is compared with a reference before and after; every call must be answered, with an answer of full length.
Writes a table, bench.json and bench.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import load
import numpy as np
import pictures
import plot
from contestants import PEERS, ROOT, Contestant, Pixpool, Plain, Triton, WidePlain

LIMIT = "in process, no server"


def main() -> None:
    args = arguments()
    cores = len(os.sched_getaffinity(0))
    picture = pictures.make(args.image, ROOT / "build" / "samples")
    backbone = ROOT / "models" / args.model / "1" / "backbone.xml"
    scaled = args.decode == "scaled"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "picture.jpg"
        file.write_bytes(picture)
        precision = [] if args.precision == "float32" else [f"--precision={args.precision}"]
        servers: list[Contestant] = [
            Pixpool(folder, ROOT / "models", args.model, [*precision, *args.server_flags], scaled)
        ]
        if "plain" in args.peers:
            servers.append(Plain(folder, backbone, args.plain or [2 * cores, cores, 1], scaled))
        if "wide" in args.peers:
            servers.append(WidePlain(folder, backbone, [2, 1, cores], scaled))
        if "triton" in args.peers:
            servers.append(Triton(folder, backbone, args.triton or [cores, 4], scaled))
        try:
            for server in servers:
                server.start()
            reference = reference_vector(backbone, picture)
            bound = 0.999 if args.precision == "float32" and not scaled else 0.95
            cosines = {s.name: check(s.wait_ready(picture), reference, s.name, bound) for s in servers}
            results = measure(servers, picture, file, args)
            for server in servers:
                check(server.call(picture), reference, server.name, bound)
            report(results, servers, cosines, picture, args)
        finally:
            for server in servers:
                server.stop()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="efficientnet-lite0", help="a bundle in models/, version 1")
    add("--precision", choices=["float32", "int8"], default="float32", help="ours; peers stay float32")
    add("--image", choices=list(pictures.KINDS), default="small", help="600x400 or 4000x3000 JPEG")
    add("--decode", choices=["exact", "scaled"], default="exact", help="scaled: libjpeg shrinks while decoding, for all")
    add("--concurrency", type=int, nargs="+", default=[1, 8, 32], help="calls in flight")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=4, help="length of a round, roughly")
    add("--peers", nargs="*", choices=["plain", "wide", "triton"], default=["plain", "wide", "triton"])
    add("--plain", type=int, nargs=3, metavar=("WORKERS", "STREAMS", "THREADS"), help="settings of the plain server")
    add("--triton", type=int, nargs=2, metavar=("INSTANCES", "BATCH"), help="settings of Triton")
    add("--server-flags", nargs="*", default=[], help="of pixpool-server, such as --instances=1")
    add("--out", type=Path, default=ROOT / "build" / "bench", help="folder of bench.json and bench.svg")
    return parser.parse_args()


def reference_vector(backbone: Path, picture: bytes) -> np.ndarray:
    """Pillow and OpenVINO in this process: the exporter has checked the latter against PyTorch."""
    import sys

    sys.path.append(str(PEERS))
    from backbone import Backbone, prepare

    return Backbone(backbone, 1, 1, 1)(prepare(picture, scaled=False)[None])[0]


def check(vector: np.ndarray, reference: np.ndarray, name: str, bound: float) -> float:
    cosine = float(vector @ reference / (np.linalg.norm(vector) * np.linalg.norm(reference)))
    if vector.shape != reference.shape or not cosine >= bound:
        raise SystemExit(f"{name} answers wrongly: {vector.shape} values, cosine {cosine:.6f} with the reference")
    return cosine


def measure(servers: list[Contestant], picture: bytes, file: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Name -> concurrency -> figures, each the list over the rounds."""
    bodies = {s.name: s.body(picture, args.image) for s in servers}
    length = {s.name: 0.0 for s in servers}
    results: dict[str, Any] = {}
    for concurrency in args.concurrency:
        requests = {}
        for server in servers:  # warm-up, which also tells how many calls a round takes
            warm = load.run(server.target, server.method, bodies[server.name], concurrency, max(40, 2 * concurrency))
            requests[server.name] = max(2 * concurrency, 20, int(warm.rate * args.seconds))
            length[server.name] = warm.answer_bytes
        for _ in range(args.rounds):
            for server in servers:
                before = server.cpu_seconds()
                got = load.run(
                    server.target, server.method, bodies[server.name], concurrency, requests[server.name]
                )
                cpu = 1e3 * (server.cpu_seconds() - before) / requests[server.name]
                if abs(got.answer_bytes - length[server.name]) > 0.05 * length[server.name]:
                    raise SystemExit(f"{server.name}: answers of {got.answer_bytes} bytes in place of {length[server.name]}")
                keep(results, server.name, concurrency, rate=got.rate, p50=got.p50, p99=got.p99, cpu=cpu,
                     mb=server.resident_mb())  # fmt: skip
            limit = in_process(file, args, 1 if concurrency == 1 else 1024)
            keep(results, LIMIT, concurrency, **limit)
    return results


def in_process(file: Path, args: argparse.Namespace, workers: int) -> dict[str, float]:
    command = [
        str(ROOT / "build/release/bin/pixpool-limit"), f"--model={ROOT / 'models' / args.model / '1'}", f"--image={file}",
        f"--seconds={args.seconds}", f"--precision={args.precision}", f"--workers={workers}", f"--decode={args.decode}",
    ]  # fmt: skip
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    stages = {k: figures[k] for k in ("decode_ms", "resize_ms", "backbone_ms", "heads_ms")}
    return {"rate": figures["images_per_second"], "p50": sum(stages.values()), **stages}


def keep(results: dict[str, Any], name: str, concurrency: int, **figures: float) -> None:
    at = results.setdefault(name, {}).setdefault(str(concurrency), {})
    for key, value in figures.items():
        at.setdefault(key, []).append(value)


def report(results: dict[str, Any], servers: list[Contestant], cosines: dict[str, float], picture: bytes, args: Any) -> None:
    medians = {
        name: {c: {k: statistics.median(v) for k, v in figures.items()} for c, figures in by.items()}
        for name, by in results.items()
    }
    peers = [s.name for s in servers[1:]]
    print(f"{args.model}, {args.precision}, {args.image} picture ({len(picture)} bytes), {args.decode} decode; "
          f"medians of {args.rounds} rounds of {args.seconds:g} s\n")  # fmt: skip
    print(f"{'':<30} {'at':>3} {'images/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'cpu ms':>7} {'MB':>6} {'x best peer':>12} {'of limit':>9}")
    for concurrency in map(str, args.concurrency):
        best = max((medians[p][concurrency]["rate"] for p in peers), default=None)
        limit = medians[LIMIT][concurrency]["rate"]
        for name, by in medians.items():
            row = by[concurrency]
            cells = f"{row['rate']:9.1f} {row['p50']:8.2f}"
            if name == LIMIT:
                cells += f" {'':>8} {'':>7} {'':>6}"
            else:
                cells += f" {row['p99']:8.2f} {row['cpu']:7.2f} {row['mb']:6.0f}"
            cells += f" {row['rate'] / best:12.2f}" if best else f" {'':>12}"
            print(f"{name:<30} {concurrency:>3} {cells} {row['rate'] / limit:8.0%}")
    for server in servers:
        print(f"{server.name}: {server.settings}; cosine with the reference {cosines[server.name]:.6f}")
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {s.name: s.settings for s in servers}
    options = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    text = json.dumps({"options": options, "settings": settings, "cosines": cosines, "medians": medians, "rounds": results})
    (args.out / "bench.json").write_text(text + "\n")
    plot.bars(medians, args.out / "bench.svg", f"{args.model}, {args.precision}, {args.image} picture, {args.decode} decode")
    print(f"wrote {args.out / 'bench.json'} and bench.svg")


if __name__ == "__main__":
    main()
