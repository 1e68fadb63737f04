#!/usr/bin/env python3
"""Writes prometheusrule.yaml: the rules of deploy/prometheus, word for word, as the Prometheus
operator wants them.

python3 deploy/kubernetes/components/monitoring/make_rules.py
"""

import pathlib
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
RULES = HERE.parents[2] / "prometheus" / "rules"
OUT = HERE / "prometheusrule.yaml"
HEAD = """\
# Made by make_rules.py from deploy/prometheus/rules.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: pixpool
  labels:
    app.kubernetes.io/name: pixpool
    release: kube-prometheus-stack
spec:
  groups:
"""


def text():
    groups = [
        path.read_text(encoding="utf-8").split("groups:\n", 1)[1]
        for path in sorted(RULES.glob("*.yml"))
    ]
    return HEAD + "".join(textwrap.indent(group, "  ") for group in groups)


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
