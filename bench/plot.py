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
