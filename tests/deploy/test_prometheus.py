"""A real Prometheus scrapes a real server under a small load: every query of the dashboard and of
the rules gives data.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from deploy_files import RULES, dashboard_queries, rules
from load_stubs import load_script
from server_process import free_port

LOAD_SECONDS = 8
CALLS_A_SECOND = 15


class Prometheus:
    def __init__(self, binary: str, target: str, folder) -> None:
        config = {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": [str(path) for path in RULES],
            "scrape_configs": [{"job_name": "pixpool", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--log.level=warn",
            ],
            stdout=self.log,
            stderr=self.log,
            cwd=folder,
        )

    def get(self, path: str, **query: str):
        with urllib.request.urlopen(
            f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10
        ) as reply:
            answer = json.load(reply)
        assert answer["status"] == "success", answer
        return answer["data"]

    def wait_ready(self) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                return urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, (
                    self.log.seek(0) or self.log.read()
                )
                time.sleep(0.1)

    def has_data(self, query: str) -> bool:
        """Whether an instant query gives a number; NaN is none."""
        return any(
            not math.isnan(float(sample["value"][1]))
            for sample in self.get("query", query=query)["result"]
        )


def panel_query(text: str) -> str:
    """A panel's query as Grafana would send it."""
    return (
        text.replace("$job", "pixpool")
        .replace("$instance", ".*")
        .replace("$model", ".*")
        .replace("$__rate_interval", "6s")
    )


def without_thresholds(expression: str) -> str:
    """An alert's expression that also gives data where the alert does not fire: comparisons give 0
    or 1, and what takes away selects.
    """
    return re.sub(r"(?<![<>=!])(>|<|==)\s+(?!bool)", r"\1 bool ", expression).replace(
        "unless on", "and on"
    )


def send_damaged(client, whole: bytes) -> None:
    """A JPEG a second that is read in spite of damage, which the load has none of."""
    for _ in range(LOAD_SECONDS):
        (result,) = client.extract([whole[:-2] + bytes(100) + whole[-2:]]).results
        assert result.features.warnings
        time.sleep(1)


@pytest.fixture(scope="module")
def loaded(program, start_server, api, tmp_path_factory):
    """Prometheus after a few seconds of load, with the server still there."""
    binary = program("prometheus", "Debian: prometheus")
    server = start_server("--log-level", "warning")
    prometheus = Prometheus(binary, server.http, tmp_path_factory.mktemp("prometheus"))
    try:
        prometheus.wait_ready()
        load = load_script(api)
        damaged = threading.Thread(
            target=send_damaged, args=(api.client(server.target), load.pictures()[0].encoded)
        )
        damaged.start()
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("http_proxy", "http://127.0.0.1:1")  # not asked
            channel = load.connect(server.target)
        codes = load.run(channel, CALLS_A_SECOND, LOAD_SECONDS, threading.Event())
        damaged.join()
        assert codes["OK"] > LOAD_SECONDS and codes.keys() == {"OK"}, codes
        yield prometheus
    finally:
        prometheus.process.terminate()
        prometheus.process.wait(20)
        prometheus.log.close()


def eventually(prometheus: Prometheus, queries: dict[str, str]) -> list[str]:
    """Which of the queries have given no data, each asked until it has or 5 s are over."""
    missing = dict(queries)
    end = time.monotonic() + 5
    while missing and time.monotonic() < end:
        missing = {name: query for name, query in missing.items() if not prometheus.has_data(query)}
        if missing:
            time.sleep(0.5)
    return [f"{name}: {query}" for name, query in missing.items()]


# In this order: the panels' rates are over the last seconds.
def test_every_panel_has_data(loaded):
    queries = {
        name: panel_query(query)
        for name, query in dashboard_queries().items()
        if "pixpool_gpu_" not in query  # this server runs on the CPU
    }
    assert len(queries) > 30
    assert eventually(loaded, queries) == []


def test_every_rule_has_data(loaded):
    queries = {}
    for rule in rules():
        if "record" in rule:
            queries[rule["record"]] = rule["record"]
        else:
            queries[rule["alert"]] = without_thresholds(rule["expr"])
    assert eventually(loaded, queries) == []


def test_prometheus_evaluates_all_rules_and_nothing_fires(loaded):
    groups = loaded.get("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == len(rules())
    for rule in found:
        assert rule["health"] == "ok", rule
        assert rule.get("state") != "firing", rule  # pending it may be: tests share their machine


def test_the_scrape_is_whole(loaded):
    (target,) = loaded.get("targets")["activeTargets"]
    assert target["health"] == "up", target["lastError"]
    # Labels come from fixed sets, so a replica costs Prometheus a known number of series.
    assert (
        float(loaded.get("query", query="scrape_samples_scraped")["result"][0]["value"][1]) < 1500
    )


def test_a_threshold_is_taken_out_of_an_expression():
    assert (
        without_thresholds("a > 0.5\n  and b == 0 or c >= bool 2")
        == "a > bool 0.5\n  and b == bool 0 or c >= bool 2"
    )
