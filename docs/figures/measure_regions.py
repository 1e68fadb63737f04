"""Measures what regions of a picture cost for docs/regions.md, beside the picture alone.

    PYTHONPATH=client/python python docs/figures/measure_regions.py [--requests 100]

One picture per request, one request at a time, on one thread, all ways in turns. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from live import Client, add_arguments, samples, server

COUNTS = (1, 10, 64)
HEADS = ("global_avg", "gem", "max_pool:kernel_size=3,stride=2")


def request(client: Client, source: np.ndarray, head: str, count: int, mode: str):
    """A request of one picture with so many regions of it."""
    pb = client.pb
    image = client.image(source)
    height, width, _ = source.shape
    rng = np.random.default_rng(count)
    for _ in range(count):
        left, top = rng.uniform(0, 0.6, 2)
        right, bottom = (left, top) + rng.uniform(0.2, 0.4, 2)
        image.regions.add(left=left, top=top, right=right, bottom=bottom, relative=True)
    return pb.ExtractFeaturesRequest(
        images=[image],
        heads=[client.head(head)],
        # All of the picture, at the recipe's size.
        input_options=pb.InputOptions(resize=pb.RESIZE_MODE_EXACT, crop=pb.CROP_MODE_NONE),
        region_options=pb.RegionOptions(mode=getattr(pb, f"REGION_MODE_{mode}")),
    )


def milliseconds(client: Client, message) -> tuple[float, float]:
    """Of a request: all of it, and the heads' share."""
    start = time.perf_counter()
    reply = client.stub.ExtractFeatures(message, timeout=60)
    end = time.perf_counter()
    assert reply.results[0].WhichOneof("outcome") == "features", reply.results[0].status
    return 1e3 * (end - start), 1e-6 * reply.stage_times.heads.nanos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100, help="requests that a median is over")
    add_arguments(parser)
    args = parser.parse_args()
    source = np.asarray(samples()["cat"])
    with server(args, "--instances=1", "--threads-per-instance=1") as (client, _):
        print("| head | regions | heads, ms | request, ms | of the picture alone |")
        print("|---|---|---|---|---|")
        for head in HEADS:
            ways = [(count, "MAP") for count in (0, *COUNTS)]
            messages = {way: request(client, source, head, *way) for way in ways}
            seen: dict[tuple[int, str], list[tuple[float, float]]] = {way: [] for way in ways}
            for _ in range(args.requests):  # in turns, so that all see the same weather
                for way, message in messages.items():
                    seen[way].append(milliseconds(client, message))
            alone = statistics.median(spent for spent, _ in seen[ways[0]])
            for count, mode in ways:
                spent, heads = (statistics.median(s) for s in zip(*seen[count, mode], strict=True))
                name = f"{count}" if count else "none: the picture"
                print(f"| `{head}` | {name} | {heads:.2f} | {spent:.2f} | {spent / alone:.3f} |")


if __name__ == "__main__":
    main()
