"""The plot of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402


def bars(medians: dict[str, Any], path: Path, title: str) -> None:
    """Images a second, a group of bars for each concurrency."""
    concurrencies = list(next(iter(medians.values())))
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    width = 0.8 / len(medians)
    for at, (name, by) in enumerate(medians.items()):
        places = [i + (at - (len(medians) - 1) / 2) * width for i in range(len(concurrencies))]
        drawn = axes.bar(places, [by[c]["rate"] for c in concurrencies], width, label=name)
        axes.bar_label(drawn, fmt="%.0f", fontsize=8)
    axes.set_xticks(range(len(concurrencies)), concurrencies)
    axes.set(xlabel="calls in flight", ylabel="images a second", title=title)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def curves(results: dict[str, Any], path: Path) -> None:
    """The four curves of curves.py."""
    figure, panels = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    closed, offered, sizes, settings = panels.flat

    def line(axes: Any, points: list[dict[str, float]], x: str, y: str, label: str, **style: Any) -> None:
        axes.plot([p[x] for p in points], [p[y] for p in points], marker="o", markersize=4, label=label, **style)

    line(closed, results["calls"], "calls", "rate", "images a second")
    line(closed, results["calls"], "calls", "p50", "p50, ms", linestyle="--")
    line(closed, results["calls"], "calls", "p99", "p99, ms", linestyle="--")
    closed.set(xscale="log", title="Calls in flight", xlabel="calls in flight", ylim=(0, None))
    closed.set_xticks([p["calls"] for p in results["calls"]], [f"{p['calls']:.0f}" for p in results["calls"]])

    line(offered, results["offered"], "offered", "p50", "p50, ms")
    line(offered, results["offered"], "offered", "p99", "p99, ms")
    line(offered, results["offered"], "offered", "rate", "served, images a second", linestyle="--")
    offered.set(yscale="log", title="Offered rate (Poisson)", xlabel="requests a second")

    for decode in ("exact", "scaled"):
        points = [p for p in results["sizes"] if p["decode"] == decode]
        cost = [{**p, "cost": 1e3 / p["rate"]} for p in points]
        line(sizes, cost, "megapixels", "cost", f"decode {decode}")
    sizes.set(xscale="log", title="Size of the picture, 8 calls in flight", xlabel="megapixels",
              ylabel="ms an image (1 / rate)", ylim=(0, None))  # fmt: skip

    line(settings, results["instances"], "instances", "rate", "instances (OpenVINO)")
    line(settings, results["batches"], "batch", "rate", "most images of a batch (TorchScript)")
    settings.set(title="Settings, 32 calls in flight", xlabel="number", ylabel="images a second", ylim=(0, None))

    for axes in panels.flat:
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
