"""The processor time of a request that is not decode, resize and backbone, where those cost next to
nothing.

    bench/overhead [--concurrency 1 8 32] [--rounds 5] [--seconds 3]

The request is as long as that of the benchmark's small picture and asks for as many values, from
maps of the same size: but the JPEG in it has 28 x 28 pixels and a long comment, and the network is
one small convolution. So the server's whole processor time is little more than its own part, and
subtracting what decode, resize and backbone cost in process (`pixpool-limit`, same rounds) leaves
it without the noise of two large numbers. bench/run gives the same from a full load, where caches
are cold and threads are often put aside: more, and less certain.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import compare
import load
import models
import pictures
from contestants import ROOT, Pixpool

MODEL = "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--server-flags", nargs="*", default=[])
    args = parser.parse_args()
    args.decode = "exact"
    picture = padded(len(pictures.make("small", ROOT / "build" / "samples")))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "picture.jpg"
        file.write_bytes(picture)
        server = Pixpool(
            Path(name), models.repository(MODEL, "float32"), MODEL, args.server_flags, scaled=False
        )
        try:
            server.start()
            values = len(server.wait_ready(picture))
            body = server.body(picture, "padded")
            print(
                f"requests of {body.stat().st_size} bytes for {values} values; "
                f"medians of {args.rounds} rounds of {args.seconds:g} s"
            )
            print(
                f"{'at':>3} {'calls/s':>9} {'cpu ms':>7} {'in process':>11} {'of it head':>11} "
                f"{'outside ms':>11} {'(range)':>16} {'serving':>8}"
            )
            for concurrency in args.concurrency:
                row(server, body, file, concurrency, args)
        finally:
            server.stop()


def padded(length: int) -> bytes:
    """A JPEG of 28 x 28 pixels and `length` bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    data = out.getvalue()
    while len(data) < length:
        size = min(
            0xFFFF, max(2, length - len(data) - 2)
        )  # of a comment segment, its two bytes of length included
        data = data[:2] + b"\xff\xfe" + size.to_bytes(2, "big") + bytes(size - 2) + data[2:]
    return data


def row(
    server: Pixpool, body: Path, file: Path, concurrency: int, args: argparse.Namespace
) -> None:
    warm = load.run(server.target, server.method, body, concurrency, 1000)
    calls = int(warm.rate * args.seconds)
    rate, cpu, serving, limit, heads = [], [], [], [], []
    for _ in range(args.rounds):
        before = server.cpu_seconds(), server.serving_seconds()
        rate.append(load.run(server.target, server.method, body, concurrency, calls).rate)
        cpu.append(1e3 * (server.cpu_seconds() - before[0]) / calls)
        serving.append(1e3 * (server.serving_seconds() - before[1]) / calls)
        bundle, workers = models.bundle(MODEL, "float32"), 1 if concurrency == 1 else 1024
        figures = compare.in_process(bundle, "float32", file, args, workers)
        limit.append(figures["cpu"])
        heads.append(figures["heads_ms"])
    outside = [a - b + c for a, b, c in zip(cpu, limit, heads, strict=True)]
    middle = [statistics.median(values) for values in (rate, cpu, limit, heads, outside)]
    spread = f"{min(outside):.3f} to {max(outside):.3f}"
    print(
        f"{concurrency:>3} {middle[0]:9,.0f} {middle[1]:7.3f} {middle[2]:11.3f} {middle[3]:11.3f} "
        f"{middle[4]:11.3f} {spread:>16} {statistics.median(serving):8.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
