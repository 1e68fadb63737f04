#!/usr/bin/env python3
"""Writes dashboards/pixpool.json: the panels of panels.py in the boilerplate of Grafana.

    python3 deploy/grafana/make_dashboard.py

tests/deploy checks that the file is what this writes and shows every metric, and runs every query
against a real Prometheus.
"""

import json
import pathlib

from panels import ROWS

OUT = pathlib.Path(__file__).resolve().parent / "dashboards" / "pixpool.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 8, 8  # three panels side by side


def panel(number, x, y, title, unit, about, queries, options=None):
    options = options or {}
    kind = options.get("kind", "timeseries")
    instant = kind != "timeseries"
    defaults = {"unit": unit, "min": 0} if kind != "table" else {"unit": unit}
    if "max" in options:
        defaults["max"] = options["max"]
    if kind == "timeseries":
        custom = {"fillOpacity": 30 if options.get("stack") else 5, "showPoints": "never"}
        if options.get("stack"):
            custom["stacking"] = {"mode": "normal", "group": "A"}
        if "line" in options:
            custom["thresholdsStyle"] = {"mode": "dashed"}
            steps = [{"color": "green", "value": None}, {"color": "red", "value": options["line"]}]
            defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"] = custom
    targets = [
        {
            "refId": chr(ord("A") + i),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend or "__auto",
            "instant": instant,
            "range": not instant,
            **({"format": "table"} if kind == "table" else {}),
        }
        for i, (legend, expression) in enumerate(queries.items())
    ]
    result = {
        "id": number,
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": targets,
    }
    if kind == "timeseries":
        result["options"] = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi"},
        }
    if kind == "table":
        hidden = {name: True for name in ("Time", "Value", "__name__")}
        result["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return result


def variable(name, label, query, many=False):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if many else {}),
    }


def dashboard():
    panels, y, number = [], 0, 1
    for row, members in ROWS.items():
        panels.append(
            {
                "id": number,
                "type": "row",
                "title": row,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            }
        )
        number, y = number + 1, y + 1
        for i, member in enumerate(members):
            panels.append(panel(number, i % 3 * WIDTH, y + i // 3 * HEIGHT, *member))
            number += 1
        y += (len(members) + 2) // 3 * HEIGHT
    return {
        "uid": "pixpool",
        "title": "pixpool",
        "description": "The metrics of pixpool-server. Alerts and what to do: docs/operations.md.",
        "tags": ["pixpool"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                },
                variable("job", "Job", "label_values(pixpool_build_info, job)"),
                variable(
                    "instance",
                    "Replica",
                    'label_values(pixpool_build_info{job="$job"}, instance)',
                    many=True,
                ),
                variable(
                    "model",
                    "Model",
                    'label_values(pixpool_model_info{job="$job"}, model)',
                    many=True,
                ),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "enable": True,
                    "iconColor": "red",
                    "datasource": DATASOURCE,
                    "expr": 'ALERTS{alertname=~"Pixpool.*", alertstate="firing"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{instance}}",
                }
            ]
        },
        "panels": panels,
    }


def text():
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
