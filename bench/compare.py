"""Compares the server with its peers and with the in-process limit; bench/run sets up what this
needs.

Rounds alternate, so that all see the same weather: A B C, A B C, ... A figure is the median over
the rounds. Every server's vector is compared with a reference before and after; every call must be
answered, with an answer of full length. Writes a table for each model, bench.json and bench.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import load
import models
import pictures
import report
from contestants import PEERS, ROOT, Contestant, Pixpool, Plain, Triton, WidePlain

sys.path.append(str(PEERS))

# What a vector has to keep of the reference, float32 PyTorch's as the exporter has checked. A
# random network's int8 is run for its speed and promises nothing.
EXACT, CLOSE, RANDOM_INT8 = 0.999, 0.95, 0.5


def main() -> None:
    args = arguments()
    picture = pictures.make(args.image, ROOT / "build" / "samples")
    runs = {}
    for model in args.model:
        runs[model] = compare(model, picture, args)
        report.table(model, runs[model], len(picture), args)
        report.write(runs, args)  # after each, so that what is there stays if the next one fails


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models.add_arguments(parser)
    add = parser.add_argument
    add(
        "--peer-precision",
        choices=models.PRECISIONS,
        default="float32",
        help="int8: peers run our int8 graph, too",
    )
    add("--image", choices=list(pictures.KINDS), default="small", help="600x400 or 4000x3000 JPEG")
    add(
        "--decode",
        choices=["exact", "scaled"],
        default="exact",
        help="scaled: libjpeg shrinks while decoding, for all",
    )
    add("--concurrency", type=int, nargs="+", default=[1, 8, 32], help="calls in flight")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=4, help="length of a round, roughly")
    add(
        "--peers",
        nargs="*",
        choices=["plain", "wide", "triton"],
        default=["plain", "wide", "triton"],
    )
    add(
        "--plain",
        type=int,
        nargs=3,
        metavar=("WORKERS", "STREAMS", "THREADS"),
        help="settings of the plain server",
    )
    add("--triton", type=int, nargs=2, metavar=("INSTANCES", "BATCH"), help="settings of Triton")
    add(
        "--before",
        type=Path,
        metavar="SERVER",
        help="another build of pixpool-server, such as that before a change, as one more peer",
    )
    add("--server-flags", nargs="*", default=[], help="of pixpool-server, such as --instances=1")
    add(
        "--before-flags",
        nargs="*",
        metavar="FLAG",
        help="of --before instead of these, such as --decode-isolation=off of the same build",
    )
    add("--out", type=Path, default=models.BENCH, help="folder of bench.json and bench.svg")
    args = parser.parse_args()
    if args.peer_precision not in args.precision and args.peer_precision != "float32":
        parser.error("--peer-precision int8 needs --precision int8, which makes the graph")
    return args


def compare(model: str, picture: bytes, args: argparse.Namespace) -> dict[str, Any]:
    """Runs one model. Gives "settings" and "cosines" by name, and "rounds": name -> concurrency ->
    figure -> a list.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "picture.jpg"
        file.write_bytes(picture)
        ours, peers = contestants(model, folder, args)
        servers = [*ours.values(), *peers]
        try:
            for server in servers:
                server.start()
            reference = reference_vector(models.bundle(model, "float32"), picture)
            bounds = {s.name: bound(model, p, args) for p, s in ours.items()}
            bounds |= {s.name: bound(model, args.peer_precision, args) for s in peers}
            cosines = {
                s.name: check(s.wait_ready(picture), reference, s.name, bounds[s.name])
                for s in servers
            }
            rounds = measure(model, servers, list(ours), picture, file, args)
            for server in servers:
                check(server.call(picture), reference, server.name, bounds[server.name])
        finally:
            for server in servers:
                server.stop()
    return {
        "ours": {precision: server.name for precision, server in ours.items()},
        "limits": {precision: limit_name(precision) for precision in ours},
        "peers": [server.name for server in peers],
        "settings": {server.name: server.settings for server in servers},
        "cosines": cosines,
        "int8": report.fidelity(models.bundle(model, "int8")) if "int8" in ours else None,
        "learnt": model in models.LEARNT,
        "rounds": rounds,
    }


def contestants(
    model: str, folder: Path, args: argparse.Namespace
) -> tuple[dict[str, Contestant], list[Contestant]]:
    cores, scaled = len(os.sched_getaffinity(0)), args.decode == "scaled"
    ours: dict[str, Contestant] = {}
    for precision in args.precision:
        flags = [f"--precision={precision}", *args.server_flags]
        repository = models.repository(model, precision)
        ours[precision] = Pixpool(folder, repository, model, flags, scaled, f"pixpool {precision}")
    graph = (models.bundle(model, args.peer_precision), args.peer_precision)
    peers: list[Contestant] = []
    if args.before:
        own = args.server_flags if args.before_flags is None else args.before_flags
        flags = [f"--precision={args.peer_precision}", *own]
        before = (folder, models.repository(model, args.peer_precision), model, flags, scaled)
        peers.append(Pixpool(*before, "pixpool before", args.before.resolve()))
    if "plain" in args.peers:
        peers.append(Plain(folder, *graph, args.plain or [2 * cores, cores, 1], scaled))
    if "wide" in args.peers:
        peers.append(WidePlain(folder, *graph, [2, 1, cores], scaled))
    if "triton" in args.peers:
        peers.append(Triton(folder, *graph, args.triton or [cores, 4], scaled))
    return ours, peers


def limit_name(precision: str) -> str:
    return f"in process {precision}, no server"


def bound(model: str, precision: str, args: argparse.Namespace) -> float:
    if precision == "int8" and model not in models.LEARNT:
        return RANDOM_INT8
    return EXACT if precision == "float32" and args.decode == "exact" else CLOSE


def reference_vector(bundle: Path, picture: bytes) -> np.ndarray:
    """Pillow and OpenVINO in this process: the exporter has checked the latter against PyTorch."""
    from backbone import Backbone, Bundle

    read = Bundle(bundle)
    return Backbone(read, 1, 1, 1)(read.prepare(picture, scaled=False)[None])[0]


def check(vector: np.ndarray, reference: np.ndarray, name: str, bound: float) -> float:
    cosine = float(vector @ reference / (np.linalg.norm(vector) * np.linalg.norm(reference)))
    if vector.shape != reference.shape or not cosine >= bound:
        raise SystemExit(
            f"{name} answers wrongly: {vector.shape} values, cosine {cosine:.6f} with the reference"
        )
    return cosine


def measure(
    model: str,
    servers: list[Contestant],
    precisions: list[str],
    picture: bytes,
    file: Path,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Name -> concurrency -> figures, each the list over the rounds."""
    bodies = {s.name: s.body(picture, args.image) for s in servers}
    length = {s.name: 0.0 for s in servers}
    results: dict[str, Any] = {}
    for concurrency in args.concurrency:
        requests = {}
        for server in servers:  # warm-up, which also tells how many calls a round takes
            warm = load.run(
                server.target,
                server.method,
                bodies[server.name],
                concurrency,
                max(40, 2 * concurrency),
            )
            requests[server.name] = max(2 * concurrency, 20, int(warm.rate * args.seconds))
            length[server.name] = warm.answer_bytes
        for _ in range(args.rounds):
            for server in servers:
                calls = requests[server.name]
                cpu, serving = server.cpu_seconds(), server.serving_seconds()
                got = load.run(
                    server.target, server.method, bodies[server.name], concurrency, calls
                )
                cpu, serving = server.cpu_seconds() - cpu, server.serving_seconds() - serving
                if abs(got.answer_bytes - length[server.name]) > 0.05 * length[server.name]:
                    raise SystemExit(
                        f"{server.name}: answers of {got.answer_bytes} bytes "
                        f"in place of {length[server.name]}"
                    )
                keep(
                    results,
                    server.name,
                    concurrency,
                    rate=got.rate,
                    p50=got.p50,
                    p99=got.p99,
                    cpu=1e3 * cpu / calls,
                    serving=1e3 * serving / calls,
                    mb=server.resident_mb(),
                )
            for precision in precisions:
                limit = in_process(
                    models.bundle(model, precision),
                    precision,
                    file,
                    args,
                    1 if concurrency == 1 else 1024,
                )
                keep(results, limit_name(precision), concurrency, **limit)
    return results


def in_process(
    bundle: Path, precision: str, file: Path, args: argparse.Namespace, workers: int
) -> dict[str, float]:
    command = [
        str(ROOT / "build/release/bin/pixpool-limit"),
        f"--model={bundle}",
        f"--image={file}",
        f"--seconds={args.seconds}",
        f"--precision={precision}",
        f"--workers={workers}",
        f"--decode={args.decode}",
    ]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    stages = {k: figures[k] for k in ("decode_ms", "resize_ms", "backbone_ms", "heads_ms")}
    return {
        "rate": figures["images_per_second"],
        "p50": sum(stages.values()),
        "cpu": figures["cpu_ms"],
        **stages,
    }


def keep(results: dict[str, Any], name: str, concurrency: int, **figures: float) -> None:
    at = results.setdefault(name, {}).setdefault(str(concurrency), {})
    for key, value in figures.items():
        at.setdefault(key, []).append(value)


if __name__ == "__main__":
    main()
