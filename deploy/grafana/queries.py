"""How the dashboard asks Prometheus."""

import pathlib
import re

SLO = pathlib.Path(__file__).resolve().parents[1] / "prometheus" / "rules" / "slo.yml"


def methods(metric):
    """The selector of calls that the objectives' rules use on a metric."""
    rules = SLO.read_text(encoding="utf-8")
    (selector,) = set(re.findall(rf'{metric}{{(method=~"[^"]*")', rules))
    return f", {selector}"


# Calls for work, and those of them whose time means something (a stream's is its client's).
WORK = methods("pixpool_requests_total")
UNARY = methods("pixpool_request_duration_seconds_count")
SELECT = 'job="$job", instance=~"$instance"'


def rate(metric, more=""):
    return f"rate({metric}{{{SELECT}{more}}}[$__rate_interval])"


def by(labels, expression):
    return f"sum by ({labels}) ({expression})"


def quantile(q, metric, labels="", more=""):
    grouping = f"{labels}, le" if labels else "le"
    return f"histogram_quantile({q}, {by(grouping, rate(metric + '_bucket', more))})"


def quantiles(*shares, metric, more=""):
    """Legend -> query of each share: p50, p99."""
    return {f"p{int(q * 100)}": quantile(q, metric, more=more) for q in shares}


def now(metric, more=""):
    return f"{metric}{{{SELECT}{more}}}"


def share(part, whole):
    """A ratio that is 0, not nothing, while there are no calls."""
    return f"sum({part}) / clamp_min(sum({whole}), 1e-9)"
