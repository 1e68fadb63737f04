"""The plots, as SVG whose text stays text."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# The same figures give the same file; text as text is small, and can be searched.
matplotlib.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "pixpool", "font.family": "sans-serif", "font.size": 9}
)
import matplotlib.pyplot as plt  # noqa: E402


def bars(models: dict[str, Any], path: Path, title: str) -> None:
    """Images a second: a panel a model, and in it a group of bars for each number of calls in
    flight.
    """
    figure, panels = plt.subplots(
        len(models), figsize=(8.5, 3.6 * len(models)), layout="constrained", squeeze=False
    )
    for axes, (model, middle) in zip(panels.flat, models.items(), strict=True):
        concurrencies = list(next(iter(middle.values())))
        width = 0.85 / len(middle)
        for at, (name, by) in enumerate(middle.items()):
            places = [i + (at - (len(middle) - 1) / 2) * width for i in range(len(concurrencies))]
            drawn = axes.bar(places, [by[c]["rate"] for c in concurrencies], width, label=name)
            axes.bar_label(drawn, fmt="%.0f", fontsize=7)
        axes.set_xticks(range(len(concurrencies)), concurrencies)
        axes.set(xlabel="calls in flight", ylabel="images/s", title=f"{model}, {title}")
        axes.margins(y=0.12)
    figure.legend(
        *panels.flat[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2
    )
    save(figure, path)


def curves(results: dict[str, Any], folder: Path, prefix: str) -> list[str]:
    """The figures of curves.py, each a file; gives their names."""
    drawn = {
        "calls": _calls(results),
        "rate": _rate(results),
        "size": _size(results),
        "settings": _settings(results),
    }
    for what, figure in drawn.items():
        save(figure, folder / f"{prefix}-{what}.svg")
    return [f"{prefix}-{what}.svg" for what in drawn]


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # Matplotlib ends lines in blanks, which the repository does not have.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _panels(count: int) -> tuple[Any, list[Any]]:
    figure, panels = plt.subplots(
        1, count, figsize=(4.6 * count, 3.4), layout="constrained", squeeze=False
    )
    for axes in panels.flat:
        axes.grid(alpha=0.3)
    return figure, list(panels.flat)


def _line(
    axes: Any, points: list[dict[str, Any]], x: str, y: str, label: str, **style: Any
) -> None:
    axes.plot(
        [p[x] for p in points],
        [p[y] for p in points],
        marker="o",
        markersize=3.5,
        label=label,
        **style,
    )


def _numbered(axes: Any, values: list[float], label: str) -> None:
    """A logarithmic x axis that names the values that were tried."""
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{v:g}" for v in values])
    axes.minorticks_off()
    axes.set_xlabel(label)


def _calls(results: dict[str, Any]) -> Any:
    points = results["calls"]
    figure, (rate, latency) = _panels(2)
    _line(rate, points, "calls", "rate", "images/s")
    rate.set(ylabel="images/s", title="Throughput", ylim=(0, None))
    for name in ("p50", "p99"):
        _line(latency, points, "calls", name, name)
    latency.set(ylabel="latency, ms", yscale="log", title="Latency")
    latency.legend()
    for axes in (rate, latency):
        _numbered(axes, [p["calls"] for p in points], "calls in flight (closed loop)")
    return figure


def _rate(results: dict[str, Any]) -> Any:
    points = [
        {**p, "shed_percent": 100 * p["shed"], "late_percent": 100 * p["late"]}
        for p in results["offered"]
    ]
    figure, (latency, served, failed) = _panels(3)
    for name in ("p50", "p99"):
        _line(latency, points, "offered", name, name)
    latency.set(ylabel="latency of what was answered, ms", yscale="log", title="Latency")
    latency.legend()
    _line(served, points, "offered", "rate", "answered")
    served.plot(
        [p["offered"] for p in points],
        [p["offered"] for p in points],
        color="0.6",
        linestyle=":",
        label="offered",
    )
    served.set(ylabel="images/s", title="Answered", ylim=(0, None))
    served.legend()
    _line(failed, points, "offered", "shed_percent", "refused at once (OVERLOADED)")
    _line(failed, points, "offered", "late_percent", "past its deadline", linestyle="--")
    failed.set(ylabel="% of requests", title="Not answered", ylim=(0, 100))
    failed.legend(fontsize=8)
    for axes in (latency, served, failed):
        axes.axvline(results["saturation"], color="0.4", linewidth=0.8, linestyle="--")
        axes.set(xlabel="offered, requests/s (Poisson)", xlim=(0, None))
    return figure


def _size(results: dict[str, Any]) -> Any:
    figure, (cost, latency) = _panels(2)
    for decode in ("exact", "scaled"):
        points = [{**p, "cost": 1e3 / p["rate"]} for p in results["sizes"] if p["decode"] == decode]
        _line(cost, points, "megapixels", "cost", f"decode {decode}")
        _line(latency, points, "megapixels", "p50", f"decode {decode}")
    cost.set(ylabel="ms an image (1000 / images/s)", title="Cost", ylim=(0, None))
    latency.set(ylabel="p50, ms", title="Latency, 8 calls in flight", ylim=(0, None))
    for axes in (cost, latency):
        axes.set_xlabel("megapixels of a 4:3 JPEG")
        axes.legend()
    return figure


def _settings(results: dict[str, Any]) -> Any:
    figure, (instances, batches) = _panels(2)
    _line(instances, results["instances"], "instances", "rate", "images/s")
    instances.set(ylabel="images/s", title="Instances, 32 calls in flight", ylim=(0, None))
    _numbered(instances, [p["instances"] for p in results["instances"]], "--instances")
    for engine in dict.fromkeys(p["engine"] for p in results["batches"]):
        points = [p for p in results["batches"] if p["engine"] == engine]
        _line(batches, points, "batch", "rate", engine)
    batches.set(ylabel="images/s", title="Batches, 32 calls in flight", ylim=(0, None))
    batches.legend()
    _numbered(batches, sorted({p["batch"] for p in results["batches"]}), "--max-batch-size")
    return figure


def overload(results: dict[str, Any], path: Path) -> None:
    """The figure of overload.py: medians over its rounds, and the change of cores of the last."""
    figure, (answers, latency, changing) = _panels(3)
    points = [p for one in results["rounds"] for p in one["offered"]]
    loads = sorted({p["load"] for p in points})
    for deadline in sorted({p["deadline"] for p in points}):
        line = []
        for load in loads:
            at = [p for p in points if (p["load"], p["deadline"]) == (load, deadline)]
            if at:
                line.append(
                    {
                        "load": load,
                        "share": 100 * statistics.median(p["share"] for p in at),
                        "p99": statistics.median(p["p99"] for p in at),
                    }
                )
        _line(answers, line, "load", "share", f"deadline {deadline:g} s")
        _line(latency, line, "load", "p99", f"deadline {deadline:g} s")
    # Of what is possible: the peak, and beside ten times the peak what the cores have left.
    most = statistics.median(one["left"] / one["peak"]["rate"] for one in results["rounds"])
    for begin, end, height in ((loads[1], loads[-2], 95), (loads[-2] * 3, loads[-1], 95 * most)):
        answers.hlines(height, begin, end, color="0.4", linewidth=0.8, linestyle="--")
    answers.set(ylabel="answers in time, % of the peak", title="Answered", ylim=(0, 110))
    latency.set(ylabel="p99 of answers, ms", title="Latency", yscale="log")
    for axes in (answers, latency):
        _numbered(axes, loads, "offered, times the peak")
        axes.legend(fontsize=8)
    change = results["rounds"][-1]["cores"]
    changing.plot(*zip(*change["rates"], strict=True), marker="o", markersize=2.5)
    edges = [0, change["down"], change["up"], change["rates"][-1][0]]
    peaks = (change["all"], change["one"], change["all"])
    for begin, end, height in zip(edges, edges[1:], peaks, strict=False):
        changing.hlines(height, begin, end, color="0.4", linewidth=0.8, linestyle="--")
    changing.set(
        xlabel="s", ylabel="answers in time, 1/s", title="All cores, one, all", ylim=(0, None)
    )
    save(figure, path)
