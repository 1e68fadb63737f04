"""docs/metrics.md is what the server's metrics and the alerts make of it."""

import sys

from project_tree import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import make_metrics  # noqa: E402


def test_the_page_is_up_to_date():
    assert make_metrics.PAGE.read_text() == make_metrics.text(), (
        "run: scripts/py scripts/make_metrics.py"
    )


def test_every_metric_has_its_row_and_every_alert_on_metrics_its_place():
    page = make_metrics.text()
    names = [
        line.split()[0]
        for line in make_metrics.LIST.read_text().splitlines()
        if not line.startswith("#")
    ]
    assert len(names) > 30
    assert all(f"| `{name}` |" in page for name in names)
    alerts = {rule["alert"] for rule in make_metrics.rules() if "alert" in rule}
    # Those that ask only whether a scrape succeeds.
    assert {alert for alert in alerts if f"[{alert}]" not in page} == {
        "PixpoolNoReplica",
        "PixpoolReplicaDown",
    }


def test_a_change_of_the_metrics_or_of_the_rules_shows():
    table = make_metrics.LIST.read_text()
    rules = make_metrics.rules()
    now = make_metrics.page(table, rules)
    assert make_metrics.page(table.replace("Connections of", "Sockets of"), rules) != now
    recorded = [rule for rule in rules if rule.get("alert") != "PixpoolShedding"]
    assert make_metrics.page(table, recorded) != now, "it uses a metric by a recorded series"
