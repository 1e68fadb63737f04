"""The dashboard and the rules use metrics that the server has, and show every one of them."""

from __future__ import annotations

import json
import re

import pytest

import make_dashboard
from deploy_files import (
    DASHBOARD,
    DEPLOY,
    ROOT,
    dashboard_queries,
    load,
    metric_table,
    panels,
    recorded,
    rules,
    series_names,
    used_series,
)

TARGET_LABELS = {"job", "instance", "namespace", "pod"}

QUERIES = {f"rule {rule.get('alert') or rule.get('record')}": rule["expr"] for rule in rules()}
QUERIES |= {f"panel {name}": query for name, query in dashboard_queries().items()}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_queries_use_metrics_and_labels_that_exist(query):
    known = series_names()
    used = used_series(query)
    assert used
    for name, labels in used:
        if name in recorded():
            continue
        assert name in known, f"{name} is no metric of the server"
        assert labels <= known[name] | TARGET_LABELS, (
            f"{name} has no label {labels - known[name] - TARGET_LABELS}"
        )


# Metrics that no panel shows, and why.
NOT_SHOWN = {
    "process_virtual_memory_bytes": "address space that LibTorch reserves and does not use",
}


def test_every_metric_is_on_the_dashboard():
    used = {name for query in dashboard_queries().values() for name, _ in used_series(query)}
    shown = {
        name
        for name, (kind, _) in metric_table().items()
        if name in used
        or (kind == "histogram" and {f"{name}_bucket", f"{name}_sum", f"{name}_count"} & used)
    }
    assert set(metric_table()) - shown == set(NOT_SHOWN), (
        "a metric needs its panel in deploy/grafana/panels.py, or its reason in NOT_SHOWN"
    )


@pytest.mark.parametrize("name", dashboard_queries())
def test_the_variable_model_selects_in_all_that_has_a_model(name):
    query = dashboard_queries()[name]
    known = series_names()
    for series, labels in re.findall(r"\b((?:pixpool|process)\w*)\{([^}]*)\}", query):
        assert ('model=~"$model"' in labels) == ("model" in known[series]), (
            f"{series}: deploy/grafana/queries.py says in OF_MODELS what has a model"
        )


def test_the_autoscaler_gets_the_queue_of_all_models():
    """A replica has one series for each model."""
    (path,) = (DEPLOY / "kubernetes").rglob("adapter-values.yaml")
    (rule,) = load(path)["rules"]["custom"]
    assert "model" in series_names()[rule["seriesQuery"].partition("{")[0]]
    assert rule["metricsQuery"].startswith("sum by")


DOCS = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "server" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(path for path in DEPLOY.rglob("*") if path.suffix in {".md", ".yaml"}),
]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_metrics_that_texts_name_exist(path):
    """Names with the endings of metrics; other words begin with pixpool_ too."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\b((?:pixpool|process)_\w+)\{", text) + re.findall(
        r"\b(pixpool_\w+_(?:total|depth|capacity|seconds|info|ready|bytes|pixels))\b", text
    ):
        assert name in series_names().keys() | metric_table().keys(), f"{name} is no metric"


def test_panels_that_the_runbook_names_exist():
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    runbook = text[text.index("\n## Alerts\n") :]
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", runbook))
    assert len(named) > 8
    titles = {panel["title"] for panel in panels()}
    assert {" ".join(name.split()) for name in named} - titles == set()


def rpcs() -> set[str]:
    """The methods of the services in proto/, and the paths of the HTTP API."""
    names = (ROOT / "server/metrics/metrics.h").read_text(encoding="utf-8")
    return {
        method
        for path in (ROOT / "proto").rglob("*.proto")
        for method in re.findall(r"^  rpc (\w+)", path.read_text(encoding="utf-8"), re.M)
    } | set(re.findall(r'return "(/[^"]+)"', names))


# Questions about models and health: many, always answered, and no part of the objectives.
QUESTIONS = {
    "ListModels",
    "GetModel",
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "/v1/models",
    "/v1/models/NAME",
    "/other",
}


def test_every_call_is_work_or_a_question():
    """A new call is to be counted in the objectives, or not, by decision."""
    for name in ("pixpool:request_errors:ratio_rate5m", "panel Failed by our fault: A"):
        query = QUERIES[name if name in QUERIES else f"rule {name}"]
        (methods,) = set(re.findall(r'method=~"([^"]*)"', query))
        assert set(methods.split("|")) == rpcs() - QUESTIONS, (
            f"{name}: a call stands in QUESTIONS, or in each method=~ of prometheus/rules/slo.yml"
        )
    assert QUESTIONS < rpcs()


# Label -> what its values may be: as quoted words of a source, or as they are.
def label_values() -> dict[str, set[str]]:
    def quoted(path: str, pattern: str) -> set[str]:
        return set(re.findall(pattern, (ROOT / "server" / path).read_text(encoding="utf-8")))

    return {
        "code": {"OK", "INTERNAL", "UNKNOWN", "DATA_LOSS", "UNAVAILABLE", "DEADLINE_EXCEEDED"},
        "reason": quoted("base/error.cc", r'\{k\w+, "([A-Z_]+)"'),
        "outcome": {"ok", "error", "ready", "failed"},
        "stage": quoted("metrics/metrics.h", r'case Stage::k\w+:\s+return "(\w+)"'),
        "method": rpcs(),
    }


def test_values_of_labels_in_queries_exist():
    known = label_values()
    assert all(len(values) > 1 for values in known.values())
    found = set()
    for query in QUERIES.values():
        for label, values in re.findall(r'\b(\w+)[=!]~?"([^"]*)"', query):
            if label not in known:
                assert label in {"job", "instance", "model", "token", "le"}, (
                    f"no check for the values of {label}"
                )
                continue
            found.add(label)
            assert set(values.split("|")) <= known[label], f"{label} {values}"
    assert found == set(known)


def test_thresholds_are_buckets_of_the_histogram():
    source = (ROOT / "server" / "metrics" / "buckets.h").read_text()
    buckets = re.search(r"SecondsBuckets\(\).*?new Buckets\{(.*?)\}", source, re.S)[1]
    edges = {float(edge) for edge in buckets.split(",")}
    for query in QUERIES.values():
        for edge in re.findall(r'le="([\d.]+)"', query):
            assert float(edge) in edges and "." in edge, edge


# The dashboard.


def test_the_dashboard_is_what_its_script_writes():
    assert DASHBOARD.read_text() == make_dashboard.text(), (
        "run: python3 deploy/grafana/make_dashboard.py"
    )


def test_panels_say_what_they_show_and_do_not_overlap():
    taken = {}
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        grid = panel["gridPos"]
        for cell in (
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        ):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
    ids = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(ids) == len(set(ids))


def test_the_dashboard_and_its_provisioning_agree():
    source = load(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")[
        "datasources"
    ][0]
    assert source["type"] == "prometheus" and source["url"] == "http://prometheus:9090"
    compose = load(DEPLOY / "compose" / "compose.yaml")
    path = load(DEPLOY / "grafana" / "provisioning" / "dashboards" / "pixpool.yml")["providers"][0][
        "options"
    ]["path"]
    assert f"../grafana/dashboards:{path}:ro" in compose["services"]["grafana"]["volumes"]
