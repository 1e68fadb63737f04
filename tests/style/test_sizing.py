"""The rates of docs/sizing.md are those of docs/performance.md, and what it works out is right."""

import math
import re

import pytest

from project_tree import ROOT

SIZING = (ROOT / "docs/sizing.md").read_text(encoding="utf-8")
PERFORMANCE = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
CURRENT = PERFORMANCE[: PERFORMANCE.index("\n## An earlier run")]
BUSY = 0.7
PRICE = 0.04


def cells(text, heading, row):
    """The first cell after its name of the first row called `row`, in the table after `heading`."""
    table = text[text.index(heading) :]
    return re.search(rf"^\| {re.escape(row)} \| ([^|]*) \|", table, re.M)[1].split(" / ")


def measured():
    """Images/s of the server on two cores with 8 calls in flight, as performance.md states them."""
    small = "| images/s at 1 / 8 / 32 | EfficientNet-Lite0"
    torch = re.search(r"TorchScript\s+gives (\d+), AOTInductor", CURRENT)
    return {
        "images/s per core at full load": float(cells(CURRENT, small, "pixpool, float32")[1]),
        "the same in int8": float(cells(CURRENT, small, "pixpool, int8")[1]),
        "the same with TorchScript": float(torch[1]),
        "12-megapixel JPEGs, OpenVINO float32": float(
            cells(CURRENT, "| images/s | exact | scaled |", "pixpool")[0]
        ),
    }


def stated():
    """By row of the table of symbols: images/s of a core, and of the two that were measured."""
    rows = re.findall(r"^\| (?:`r`)? ?\| ([^|]+) \| (\d+): ([\d.]+) images/s on two", SIZING, re.M)
    return {name: (float(core), float(both)) for name, core, both in rows}


def test_every_rate_is_the_measured_one():
    assert stated().keys() == measured().keys()
    for name, (core, both) in stated().items():
        assert both == measured()[name], name
        assert both / 2 * 0.98 <= core <= both / 2 * 1.02, name


def test_the_example_buys_enough_replicas():
    core = stated()["images/s per core at full load"][0]
    cores, rate, wanted, replicas = map(
        int,
        re.search(
            r"serves \d+ \* (\d) \* 0\.7 = (\d+) images/s, so\s+you need"
            r" ceil\((\d+) / \d+\) \+ 1 = (\d+)",
            SIZING,
        ).groups(),
    )
    assert rate == int(core * cores * BUSY)
    assert replicas == math.ceil(wanted / rate) + 1
    requests, peak, wait = re.search(
        r"\((\d+)\), which at (\d+) images/s\s+is a wait of ([\d.]+) s", SIZING
    ).groups()
    assert int(peak) == core * cores
    assert float(wait) == round(int(requests) / int(peak), 1)


@pytest.mark.parametrize(
    ("row", "rate"),
    [
        ("600x400 JPEG, float32", "images/s per core at full load"),
        ("the same in int8", "the same in int8"),
        ("12-megapixel JPEG, float32", "12-megapixel JPEGs, OpenVINO float32"),
    ],
)
def test_the_cost_follows_from_the_rate(row, rate):
    core, hours, cost = re.search(
        rf"^\| {row} \| 1e6 / \((\d+) \* 0\.7 \* 3600\) = ([\d.]+) \| ([\d.]+) \|", SIZING, re.M
    ).groups()
    assert float(core) == stated()[rate][0]
    assert float(hours) == round(1e6 / (float(core) * BUSY * 3600), 1)
    assert float(cost) == round(PRICE * float(hours), 2)


def test_the_overlay_serves_what_its_comment_says():
    overlay = (ROOT / "deploy/kubernetes/overlays/cpu/kustomization.yaml").read_text()
    said = int(re.search(r"Four cores a replica: about (\d+) images/s", overlay)[1])
    peak = 4 * stated()["images/s per core at full load"][0]
    assert abs(said - peak) <= 0.1 * peak
