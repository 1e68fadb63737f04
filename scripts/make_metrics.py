"""Writes docs/metrics.md from the golden list of the server's metrics and the alert rules.

    scripts/py scripts/make_metrics.py

A unit test holds tests/golden/metric_names.txt against the server, tests/style/test_metrics_page.py
the page against the list and the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "metrics.md"
LIST = ROOT / "tests" / "golden" / "metric_names.txt"
RULES = ROOT / "deploy" / "prometheus" / "rules"

HEAD = """\
<!-- Made by scripts/make_metrics.py. -->

# Metrics

`/metrics` of the HTTP port has these in Prometheus' text format. Names and labels stay as they are
within a major version. A counter begins at 0 with the process; a histogram has `_bucket`, `_sum`
and `_count`. The dashboard of [deploy/grafana](../deploy/grafana) shows every one of them, and the
[runbook](operations.md#alerts) says what to do when an alert fires.

Values of labels come from fixed sets, from the models that are loaded, from the file of tokens and
from the GPU, without which there are no metrics of it: what callers send cannot make a series.
`model` and `version` are empty for calls that have no model: those for tensors (`PoolTensor`),
questions about models and health, and what ended before its model was found, for instance because
there is none of that name. A stream is a call of the last model that it asked. Each version of a
model that is loaded adds some 430 series; they go when it is unloaded and its last call has ended.

| metric | type | labels | what it is | alerts |
| -- | -- | -- | -- | -- |
"""

Rule = dict[str, Any]


def rules() -> list[Rule]:
    return [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def series(expression: str) -> set[str]:
    """The series that an expression names, without what a histogram puts behind its name."""
    without_values = re.sub(r'"[^"]*"', '""', expression)
    names = re.findall(r"\b(?:pixpool|process)[\w:]*", without_values)
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in names}


def alerts_by_metric(found: Iterable[Rule]) -> dict[str, list[str]]:
    """Metric -> the alerts that use it, by way of recorded series too."""
    listed = list(found)
    recorded = {rule["record"]: series(rule["expr"]) for rule in listed if "record" in rule}

    def metrics(names: set[str]) -> set[str]:
        return {
            metric
            for name in names
            for metric in (metrics(recorded[name]) if name in recorded else {name})
        }

    users: dict[str, list[str]] = {}
    for rule in listed:
        if "alert" in rule:
            for metric in metrics(series(rule["expr"])):
                users.setdefault(metric, []).append(rule["alert"])
    return users


def page(metrics: str, found: Iterable[Rule]) -> str:
    users = alerts_by_metric(found)
    lines = []
    for line in metrics.splitlines():
        if line.startswith("#"):
            continue
        name, kind, labels, about = line.split(maxsplit=3)
        cells = [
            f"`{name}`",
            kind,
            "" if labels == "-" else ", ".join(f"`{label}`" for label in labels.split(",")),
            about,
            ", ".join(f"[{user}](operations.md#{user.lower()})" for user in users.get(name, [])),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def text() -> str:
    return page(LIST.read_text(encoding="utf-8"), rules())


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
