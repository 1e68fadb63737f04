"""The rules under Prometheus' own tool: they parse, and its unit tests of them pass."""

from __future__ import annotations

import subprocess

import pytest

from deploy_files import DEPLOY, ROOT, RULES

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
