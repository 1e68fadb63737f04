"""The rules under Prometheus' own tool: they parse, and its unit tests of them pass. Each alert has
these tests, its texts and its runbook.
"""

from __future__ import annotations

import re
import subprocess

import pytest

from deploy_files import DEPLOY, ROOT, RULES, alerts, load

CASES = sorted((ROOT / "tests" / "deploy" / "promtool").glob("*.yml"))
PACKAGE = "Debian: prometheus"


def run(*command) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return text


def test_promtool_accepts_the_rules(program):
    text = run(program("promtool", PACKAGE), "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert text.count("SUCCESS") == len(RULES)


def test_promtool_accepts_the_configuration(program):
    run(program("promtool", PACKAGE), "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_promtool_unit_tests(program, case):
    assert "SUCCESS" in run(program("promtool", PACKAGE), "test", "rules", case)


def test_the_operators_rules_are_the_same():
    folder = DEPLOY / "kubernetes" / "components" / "monitoring"
    scope: dict = {"__name__": "make_rules", "__file__": str(folder / "make_rules.py")}
    exec((folder / "make_rules.py").read_text(), scope)
    made = (folder / "prometheusrule.yaml").read_text()
    assert made == scope["text"](), (
        "run: python3 deploy/kubernetes/components/monitoring/make_rules.py"
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
