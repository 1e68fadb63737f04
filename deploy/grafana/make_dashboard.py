#!/usr/bin/env python3
"""Writes dashboards/pixpool.json: the panels are here, the boilerplate of Grafana is kept out of
sight.

    python3 deploy/grafana/make_dashboard.py

tests/deploy checks that the file is what this writes, and runs every query against a real
Prometheus.
"""

import json
import pathlib

OUT = pathlib.Path(__file__).resolve().parent / "dashboards" / "pixpool.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 8, 8  # three panels side by side
# Calls for work, and those of them whose time means something (a stream's is its client's): as in
# prometheus/rules/slo.yml.
WORK = ', method=~"ExtractFeatures|StreamFeatures|PoolTensor|ModelInfer|ModelStreamInfer"'
UNARY = ', method=~"ExtractFeatures|PoolTensor|ModelInfer"'
SELECT = 'job="$job", instance=~"$instance"'


def rate(metric, more=""):
    return f"rate({metric}{{{SELECT}{more}}}[$__rate_interval])"


def by(labels, expression):
    return f"sum by ({labels}) ({expression})"


def quantile(q, metric, labels="", more=""):
    grouping = f"{labels}, le" if labels else "le"
    return f"histogram_quantile({q}, {by(grouping, rate(metric + '_bucket', more))})"


def now(metric, more=""):
    return f"{metric}{{{SELECT}{more}}}"


def share(part, whole):
    """A ratio that is 0, not nothing, while there are no calls."""
    return f"sum({part}) / clamp_min(sum({whole}), 1e-9)"


# Row -> panels: title, unit, what it shows, {legend: query}, and options: stack, max, thresholds,
# kind.
ROWS = {
    "The service": [
        (
            "Calls",
            "reqps",
            "Finished calls by method.",
            {"{{method}}": by("method", rate("pixpool_requests_total")) + " > 0"},
            {},
        ),
        (
            "Calls that failed",
            "reqps",
            "By status code. UNAVAILABLE is shed, draining or loading; INVALID_ARGUMENT is the client's.",
            {"{{code}}": by("code", rate("pixpool_requests_total", ', code!="OK"'))},
            {"stack": True},
        ),
        (
            "Failed by our fault",
            "percentunit",
            "The availability objective allows 0.1 % over 30 days.",
            {
                "failed": share(
                    rate(
                        "pixpool_requests_total",
                        WORK + ', code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE|DEADLINE_EXCEEDED"',
                    ),
                    rate("pixpool_requests_total", WORK),
                )
            },
            {"line": 0.001},
        ),
        (
            "Time of a call",
            "s",
            "From arrival to end, unary calls with images or tensors.",
            {
                f"p{int(q * 100)}": quantile(q, "pixpool_request_duration_seconds", more=UNARY)
                for q in (0.5, 0.9, 0.99)
            },
            {"line": 0.5},
        ),
        (
            "Calls over 0.5 s",
            "percentunit",
            "The latency objective allows 1 % over 30 days.",
            {
                "slow": "1 - "
                + share(
                    rate("pixpool_request_duration_seconds_bucket", UNARY + ', le="0.5"'),
                    rate("pixpool_request_duration_seconds_count", UNARY),
                )
            },
            {"line": 0.01},
        ),
        (
            "Images",
            "ops",
            "By outcome; the reasons are those of the API.",
            {
                "{{outcome}} {{reason}}": by("outcome, reason", rate("pixpool_images_total"))
                + " > 0"
            },
            {"stack": True},
        ),
    ],
    "Where the time goes": [
        (
            "Stages, mean",
            "s",
            "What an image spends in each stage; queue and batch_wait are waiting.",
            {
                "{{stage}}": by("stage", rate("pixpool_stage_duration_seconds_sum"))
                + " / ("
                + by("stage", rate("pixpool_stage_duration_seconds_count"))
                + " > 0)"
            },
            {"stack": True},
        ),
        (
            "Stages, p99",
            "s",
            "One image of a hundred takes longer.",
            {"{{stage}}": quantile(0.99, "pixpool_stage_duration_seconds", "stage") + " > 0"},
            {},
        ),
        (
            "Batch size",
            "short",
            "Images of a backbone pass. On CPUs with OpenVINO a pass takes one by design.",
            {
                "mean": f"sum({rate('pixpool_batch_size_sum')}) / (sum({rate('pixpool_batch_size_count')}) > 0)",
                "p95": quantile(0.95, "pixpool_batch_size"),
            },
            {},
        ),
    ],
    "Queue and saturation": [
        (
            "Queue",
            "short",
            "Images that wait for a decode thread or an instance.",
            {"{{instance}}": now("pixpool_queue_depth")},
            {},
        ),
        (
            "Budgets used",
            "percentunit",
            "Requests, bytes and pixels in flight, of what is allowed. At 100 % calls are refused.",
            {
                "requests {{instance}}": now("pixpool_in_flight_requests")
                + " / "
                + now("pixpool_queue_capacity"),
                "bytes {{instance}}": now("pixpool_in_flight_bytes")
                + " / "
                + now("pixpool_in_flight_bytes_limit"),
                "pixels {{instance}}": now("pixpool_in_flight_pixels")
                + " / "
                + now("pixpool_in_flight_pixels_limit"),
            },
            {"max": 1, "line": 0.8},
        ),
        (
            "Refused",
            "reqps",
            "OVERLOADED: no room. DRAINING, MODEL_LOADING: a rollout.",
            {"{{reason}}": by("reason", rate("pixpool_requests_shed_total"))},
            {"stack": True},
        ),
        (
            "Dropped",
            "ops",
            "Images whose client went away or whose time ran out, by the stage before which it was seen.",
            {"{{reason}} {{stage}}": by("reason, stage", rate("pixpool_cancellations_total"))},
            {"stack": True},
        ),
        ("CPU", "short", "Cores in use.", {"{{instance}}": rate("process_cpu_seconds_total")}, {}),
        (
            "Threads",
            "short",
            "By pool, and of the process.",
            {
                "{{pool}}": f"sum by (pool) ({now('pixpool_threads')})",
                "process": f"sum({now('process_threads')})",
            },
            {},
        ),
    ],
    "Memory and process": [
        (
            "Memory",
            "bytes",
            "Resident.",
            {"{{instance}}": now("process_resident_memory_bytes")},
            {},
        ),
        (
            "File descriptors",
            "percentunit",
            "Open, of those allowed.",
            {"{{instance}}": now("process_open_fds") + " / " + now("process_max_fds")},
            {"max": 1, "line": 0.7},
        ),
        (
            "Log lines lost",
            "ops",
            "Dropped because their reader was too slow.",
            {"{{instance}}": rate("pixpool_log_dropped_total")},
            {},
        ),
    ],
    "What is asked for": [
        (
            "Heads",
            "ops",
            "Heads computed, by kind.",
            {"{{kind}}": by("kind", rate("pixpool_head_runs_total")) + " > 0"},
            {"stack": True},
        ),
        (
            "Formats",
            "ops",
            "Images received, by file format.",
            {"{{format}}": by("format", rate("pixpool_images_received_total"))},
            {"stack": True},
        ),
        (
            "Bytes of an image",
            "bytes",
            "As it was sent.",
            {f"p{int(q * 100)}": quantile(q, "pixpool_image_bytes") for q in (0.5, 0.95)},
            {},
        ),
        (
            "Pixels of an image",
            "short",
            "From its header.",
            {f"p{int(q * 100)}": quantile(q, "pixpool_image_pixels") for q in (0.5, 0.95)},
            {},
        ),
    ],
    "Models": [
        (
            "Models",
            "short",
            "What each replica serves; they should agree.",
            {"": now("pixpool_model_info")},
            {"kind": "table"},
        ),
        (
            "Ready",
            "bool_yes_no",
            "Whether a model serves.",
            {"{{model}} {{version}} {{instance}}": now("pixpool_model_ready")},
            {"kind": "stat"},
        ),
        (
            "Time to load",
            "s",
            "At the start of the server.",
            {"{{model}} {{version}} {{instance}}": now("pixpool_model_load_duration_seconds")},
            {"kind": "stat"},
        ),
        (
            "Versions",
            "short",
            "Of the server and its libraries.",
            {"": now("pixpool_build_info")},
            {"kind": "table"},
        ),
        (
            "Up for",
            "s",
            "Since the process started.",
            {"{{instance}}": "time() - " + now("process_start_time_seconds")},
            {"kind": "stat"},
        ),
    ],
}


def panel(number, x, y, title, unit, about, queries, options):
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
