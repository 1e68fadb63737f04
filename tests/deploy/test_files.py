"""What holds for every file of deploy/: it parses, its images have versions, its options exist, its
metrics exist.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess

import pytest

from deploy_files import (
    DASHBOARD,
    DEPLOY,
    ROOT,
    alerts,
    dashboard_queries,
    data_files,
    load,
    load_all,
    panels,
    recorded,
    rules,
    series_names,
    used_series,
)

TARGET_LABELS = {"job", "instance", "namespace", "pod"}
TEXTS = [
    path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix not in {".pyc"}
]
DOCS = [ROOT / "docs" / "operations.md", ROOT / "docs" / "sizing.md", ROOT / "SECURITY.md"]


@pytest.mark.parametrize("path", data_files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_parses(path):
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    else:
        assert load_all(path)


def test_images_have_versions():
    pattern = re.compile(r"^\s*(?:-\s+)?image:\s*(\S+)|^FROM (\S+)", re.M)
    images = [
        a or b for path in TEXTS for a, b in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(images) >= 6
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        assert re.search(r"\d+\.\d+", tag), f"{image} names no version"


# Options.


def known_options() -> set[str]:
    """The server's options: of its table in the source, which a test below compares with the
    binary's.
    """
    source = (ROOT / "server" / "config_table.cc").read_text()
    table = source[source.index("OptionRow kTable[]") : source.index("// clang-format on")]
    options = set(re.findall(r'\{k\w+,\s*"([a-z-]+)"', table))
    assert len(options) > 25
    return options | {"config", "help", "version", "print-config", "check-config"}


# Variables of ours that the server does not read.
OTHER_VARIABLES = {
    "PIXPOOL_TORCH",
    "PIXPOOL_LOCK",
    "PIXPOOL_TARGET",
    "PIXPOOL_PYTHON",
    "PIXPOOL_PHOTO",
}


@pytest.mark.parametrize("path", [*TEXTS, *DOCS], ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_and_flags_are_options_of_the_server(path):
    text = path.read_text(encoding="utf-8")
    options = known_options()
    for name in set(re.findall(r"\bPIXPOOL_[A-Z_]+[A-Z]\b", text)) - OTHER_VARIABLES:
        assert name.removeprefix("PIXPOOL_").lower().replace("_", "-") in options, (
            f"{name} is no option"
        )
    # Flags of other programs share the files; those that limit, drain or listen are ours.
    ours = (
        r"--((?:max|drain|default|listen|http-listen|models-dir|reply|decode|instances|threads"
        r"|precision)(?:-[a-z]+)*)\b"
    )
    for name in set(re.findall(ours, text)) - {
        "max-in-flight"
    }:  # "--max-in-flight-..." stands for three
        assert name in options, f"--{name} is no option"


def test_options_of_the_source_are_those_of_the_binary(bin_dir):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
    text = subprocess.run(
        [bin_dir / "pixpool-server", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    found = {
        name
        for line in text.splitlines()
        for name in re.findall(r"^  (?:-h, )?--(?:\[no-\])?([a-z-]+)", line)
    }
    assert found == known_options()


# Metrics.

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


def test_every_metric_is_on_the_dashboard():
    shown = {name for query in dashboard_queries().values() for name, _ in used_series(query)}
    for name in series_names():
        if name in {"up", "ALERTS", "process_virtual_memory_bytes"} or name.endswith("_count"):
            continue
        base = re.sub(r"_(bucket|sum)$", "", name)
        assert any(other.startswith(base) for other in shown), f"no panel shows {base}"


def test_codes_and_reasons_in_queries_exist():
    errors = (ROOT / "server" / "base" / "error.cc").read_text()
    codes = {"OK", "INTERNAL", "UNKNOWN", "DATA_LOSS", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
    for query in QUERIES.values():
        for label, values in re.findall(r'\b(code|reason)[=!]~?"([^"]*)"', query):
            for value in values.split("|"):
                assert value in codes if label == "code" else f'"{value}"' in errors, (
                    f"{label} {value}"
                )


def test_thresholds_are_buckets_of_the_histogram():
    source = (ROOT / "server" / "metrics" / "metrics.cc").read_text()
    buckets = re.search(r"SecondsBuckets\(\).*?new Buckets\{(.*?)\}", source, re.S)[1]
    edges = {float(edge) for edge in buckets.split(",")}
    for query in QUERIES.values():
        for edge in re.findall(r'le="([\d.]+)"', query):
            assert float(edge) in edges and "." in edge, edge


# The dashboard.


def test_the_dashboard_is_what_its_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(DEPLOY / "grafana")
    scope = runpy.run_path(str(DEPLOY / "grafana" / "make_dashboard.py"))
    assert DASHBOARD.read_text() == scope["text"](), "run: python3 deploy/grafana/make_dashboard.py"


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


# The client's service config.


def test_the_service_config_names_services_and_methods_that_exist():
    found = set()
    for path in (ROOT / "proto").rglob("*.proto"):
        text = path.read_text()
        package = re.search(r"^package ([\w.]+);", text, re.M)[1]
        for name, body in re.findall(r"^service (\w+) \{(.*?)^\}", text, re.M | re.S):
            found |= {
                (f"{package}.{name}", method)
                for method in [None, *re.findall(r"\brpc (\w+)", body)]
            }
    config = json.loads((DEPLOY / "client" / "service_config.json").read_text())
    named = {
        (row["service"], row.get("method"))
        for method in config["methodConfig"]
        for row in method["name"]
    }
    assert named <= found


# Compose.


def test_compose_mounts_what_is_there_and_opens_loopback_only():
    compose = load(DEPLOY / "compose" / "compose.yaml")
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and source != "../../models":
                assert (DEPLOY / "compose" / source).exists(), f"{name}: {source}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"
    assert compose["services"]["pixpool"]["networks"] == ["inside"], (
        "the server's own port stays behind the edge"
    )


# Alerts.


@pytest.mark.parametrize("name", alerts())
def test_alerts_have_a_severity_texts_and_a_runbook(name):
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"] and alert["annotations"]["description"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/operations.md")
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.M)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor == name.lower() and anchor in anchors


@pytest.mark.parametrize("name", alerts())
def test_each_alert_is_tested_to_fire_and_to_stay_silent(name):
    fires = silent = False
    for path in sorted((ROOT / "tests" / "deploy" / "promtool").glob("*.yml")):
        loaded = [(path.parent / rules_file).resolve() for rules_file in load(path)["rule_files"]]
        if not any(f"alert: {name}\n" in file.read_text() for file in loaded):
            continue
        for case in load(path)["tests"]:
            checks = [check for check in case["promql_expr_test"] if "ALERTS" in check["expr"]]
            covered = [check for check in checks if _selects(check["expr"], name)]
            named = [f'alertname="{name}"' in str(check["exp_samples"]) for check in covered]
            fires |= any(named)
            silent |= not all(named) and bool(named)
    assert fires, "no promtool test in which it fires"
    assert silent, "no promtool test in which it does not"


def _selects(expression: str, name: str) -> bool:
    found = re.search(r'alertname=(~?)"([^"]*)"', expression)
    if not found:
        return True
    return bool(re.fullmatch(found[2], name)) if found[1] else found[2] == name
