"""The files of deploy/, and what the tests ask them for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
# What a pod gets on top of the time that the server takes to drain.
GRACE_MARGIN_S = 5
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "pixpool.json"


class _Strict(yaml.SafeLoader):
    """YAML in which no key of a map comes twice: the second would win without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"twice: {', '.join(sorted(twice))}", node.start_mark
            )
        return super().construct_mapping(node, deep)


def load_all(path: Path) -> list:
    return [
        part
        for part in yaml.load_all(path.read_text(encoding="utf-8"), _Strict)
        if part is not None
    ]


def load(path: Path):
    (part,) = load_all(path)
    return part


def data_files() -> list[Path]:
    """Helm's templates are text until they are rendered."""
    return sorted(
        path
        for path in DEPLOY.rglob("*")
        if path.suffix in {".yml", ".yaml", ".json"} and path.parent.name != "templates"
    )


def rules() -> list[dict]:
    return [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels() -> list[dict]:
    return [
        panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"
    ]


def dashboard_queries() -> dict[str, str]:
    """ "panel: A" -> its query."""
    return {
        f"{panel['title']}: {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def metric_table() -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels of every metric of the server."""
    table = {}
    for line in (ROOT / "tests" / "golden" / "metric_names.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, labels, _ = line.split(maxsplit=3)
            table[name] = (kind, set() if labels == "-" else set(labels.split(",")))
    return table


def series_names() -> dict[str, set[str]]:
    """Every name that a query may use -> the labels of its own that it has."""
    names = {"up": set(), "ALERTS": {"alertname", "alertstate"}}
    for name, (kind, labels) in metric_table().items():
        if kind == "histogram":
            names |= {
                f"{name}_bucket": labels | {"le"},
                f"{name}_sum": labels,
                f"{name}_count": labels,
            }
        else:
            names[name] = labels
    return names


# A metric's name, and its selectors if it has any. Recorded names have colons.
_SELECTOR = re.compile(r"\b((?:pixpool|process)[\w:]*|up|ALERTS)\b(?!\s*\()(?:\{([^}]*)\})?")


def used_series(expression: str) -> list[tuple[str, set[str]]]:
    """The series that a query names, each with the labels that it selects by."""
    # Values of labels may look like names ("pixpool" is a job).
    found = []
    for name, selectors in _SELECTOR.findall(re.sub(r'"[^"]*"', '""', expression)):
        found.append((name, set(re.findall(r"(\w+)\s*[=!]", selectors))))
    return found


def known_options() -> set[str]:
    """The server's options: of the layers' headers. tests/deploy/test_options.py compares them with
    the binary's.
    """
    headers = (path.read_text() for path in (ROOT / "server").rglob("*.h"))
    options = {flag for text in headers for flag in re.findall(r'\.flag = "--([a-z-]+)"', text)}
    assert len(options) > 25
    return options | {"config", "help", "version", "print-config", "check-config", "print-heads"}
