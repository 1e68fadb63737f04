"""How many PoolTensor calls per second the server answers: the cost of a request without picture or
backbone.

    bench/run sets up what this needs; then: $BENCH_PYTHON bench/pool_tensor.py [--shape 1 64 7 7]
    [--head gem]

Prints the rate and the processor time of a call, at several concurrencies.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import load
from contestants import ROOT, Pixpool

METHOD = "/pixpool.v1.FeatureService/PoolTensor"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--shape", type=int, nargs=4, default=[1, 64, 7, 7], metavar=("N", "C", "H", "W")
    )
    parser.add_argument("--head", default="global_avg")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=30_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = Pixpool(Path(name), ROOT / "models", "efficientnet-lite0", [], scaled=False)
        values = np.random.default_rng(0).random(args.shape, np.float32)
        request = server.pb.PoolTensorRequest()
        request.tensor.shape.extend(args.shape)
        request.tensor.values.extend(values.ravel().tolist())
        getattr(request.heads.add(), args.head).SetInParent()
        body = Path(name) / "request"
        body.write_bytes(load.frame(request.SerializeToString()))
        try:
            server.start()
            server.wait_ready((ROOT / "build/samples/cat.png").read_bytes())
            for concurrency in args.concurrency:
                load.run(server.target, METHOD, body, concurrency, 2_000)
                before = server.cpu_seconds()
                got = load.run(server.target, METHOD, body, concurrency, args.requests)
                cpu = 1e6 * (server.cpu_seconds() - before) / args.requests
                print(
                    f"{args.head} of {args.shape} at {concurrency:>2}: {got.rate:8,.0f} calls/s, "
                    f"p50 {got.p50:.3f} ms, p99 {got.p99:.3f} ms, "
                    f"{cpu:.0f} us of processor time a call"
                )
        finally:
            server.stop()


if __name__ == "__main__":
    main()
