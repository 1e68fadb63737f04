"""Measures times of heads and of passes for docs/heads.md, from the server's own StageTimes.

    PYTHONPATH=client/python python docs/figures/measure_costs.py [--requests 50]

One picture per request, one request at a time, on one thread: two threads wait for each other where
other work shares the processors, and the figures then tell of that work. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from live import Client, add_arguments, samples, server

HEADS = (
    "global_avg",
    "global_max",
    "avg_max",
    "cat_avg_max",
    "gem",
    "lse",
    "lp",
    "rmac",
    "crow",
    "spoc",
    "scda",
    "spatial_pyramid",
    "adaptive_avg:output_size=2",
    "adaptive_max:output_size=2",
    "max_pool:kernel_size=3,stride=2",
    "avg_pool:kernel_size=3,stride=2",
    "max_unpool:kernel_size=3,stride=2",
    "conv_pool:kernel_size=3,stride=2,mean_filter=true",
    "feature_map",
    "class_scores",
    "class_activation_map",
)
PASSES = {
    "plain": {},
    "flip": {"flip": True},
    "scales 1, 0.7071, 0.5": {"scales": [1, 0.7071, 0.5]},
    "both": {"scales": [1, 0.7071, 0.5], "flip": True},
}
ROUNDS = 5


def seconds(duration) -> float:
    return duration.seconds + duration.nanos * 1e-9


def times(client: Client, heads: list[str], count: int, **options) -> dict[str, float]:
    """Medians in milliseconds of `count` requests, after two that do not count."""
    image = np.asarray(samples()["cat"])
    seen: dict[str, list[float]] = {"backbone": [], "heads": [], "request": []}
    for number in range(count + 2):
        start = time.perf_counter()
        reply = client.extract([image], heads, input_options=client.pb.InputOptions(**options))
        end = time.perf_counter()
        assert reply.results[0].WhichOneof("outcome") == "features", reply.results[0].status
        if number >= 2:
            seen["backbone"].append(seconds(reply.stage_times.backbone))
            seen["heads"].append(seconds(reply.stage_times.heads))
            seen["request"].append(end - start)
    return {name: 1e3 * statistics.median(values) for name, values in seen.items()}


def cost_of_heads(client: Client, count: int) -> None:
    print("\n| head, alone | ms | of the backbone |\n|---|---|---|")
    backbones = []
    for head in HEADS:
        spent = times(client, [head], count)
        backbones.append(spent["backbone"])
        share = spent["heads"] / spent["backbone"]
        print(f"| `{head}` | {spent['heads']:.2f} | {share:.2%} |", flush=True)
    vectors = list(HEADS[:12])
    spent = times(client, vectors, count)
    share = spent["heads"] / spent["backbone"]
    print(f"| the {len(vectors)} that give vectors, in one | {spent['heads']:.2f} | {share:.2%} |")
    print(f"\nbackbone: median of the rows' medians {statistics.median(backbones):.1f} ms")


def cost_of_passes(client: Client, count: int) -> None:
    """Of whole requests: StageTimes.backbone is that of the longest batch of passes."""
    seen: dict[str, list[float]] = {name: [] for name in PASSES}
    for _ in range(ROUNDS):  # in turns, so that all see the same weather
        for name, options in PASSES.items():
            seen[name].append(times(client, ["gem"], count // ROUNDS, **options)["request"])
    print("\n| passes | whole request, ms | of plain |\n|---|---|---|")
    plain = statistics.median(seen["plain"])
    for name, found in seen.items():
        print(
            f"| {name} | {statistics.median(found):.1f} | {statistics.median(found) / plain:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=50, help="requests that a median is over")
    add_arguments(parser)
    args = parser.parse_args()
    with server(args, "--instances=1", "--threads-per-instance=1") as (client, _):
        cost_of_heads(client, args.requests)
        cost_of_passes(client, args.requests)


if __name__ == "__main__":
    main()
