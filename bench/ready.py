"""How long the server takes from its start to its first answer, files warm.

bench/run sets up what this needs; then: $BENCH_PYTHON bench/ready.py [--starts N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import grpc

import models
import pictures
from contestants import ROOT, Pixpool

MODEL = "efficientnet-lite0"
POLL_SECONDS = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5)
    args = parser.parse_args()
    picture = pictures.make("small", ROOT / "build" / "samples")
    seconds = [first_answer(picture) for _ in range(args.starts + 1)][
        1:
    ]  # the first one warms the files
    print(f"first answer after {min(seconds):.2f} to {max(seconds):.2f} s, {args.starts} starts")


def first_answer(picture: bytes) -> float:
    with tempfile.TemporaryDirectory() as name:
        server = Pixpool(Path(name), models.repository(MODEL, "float32"), MODEL, [], scaled=False)
        begin = time.monotonic()
        server.start()
        try:
            while True:
                try:
                    server.call(picture)
                    return time.monotonic() - begin
                except grpc.RpcError:
                    if server.process.poll() is not None or time.monotonic() - begin > 60:
                        raise
                    time.sleep(POLL_SECONDS)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
