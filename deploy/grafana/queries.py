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
# Those that have a model and its version. "All" of the variable has also what has none: calls for
# tensors, questions, and what ended before its model was found.
OF_MODELS = (
    "pixpool_batch_size",
    "pixpool_cancellations_total",
    "pixpool_images_total",
    "pixpool_model_call_loads_total",
    "pixpool_model_cold_start_duration_seconds",
    "pixpool_model_idle",
    "pixpool_model_idle_unloads_total",
    "pixpool_model_info",
    "pixpool_model_load_duration_seconds",
    "pixpool_model_ready",
    "pixpool_oldest_pass_seconds",
    "pixpool_oldest_wait_seconds",
    "pixpool_queue_depth",
    "pixpool_request_duration_seconds",
    "pixpool_requests_total",
    "pixpool_response_cache_images_total",
    "pixpool_stage_duration_seconds",
)


def now(metric, more=""):
    base = re.sub("_(bucket|sum|count)$", "", metric)
    model = ', model=~"$model"' if base in OF_MODELS else ""
    return f"{metric}{{{SELECT}{model}{more}}}"


def rate(metric, more=""):
    return f"rate({now(metric, more)}[$__rate_interval])"


def by(labels, expression):
    return f"sum by ({labels}) ({expression})"


def mean(labels, metric, more=""):
    """Of a histogram, by labels."""
    count = by(labels, rate(metric + "_count", more))
    return f"{by(labels, rate(metric + '_sum', more))} / ({count} > 0)"


def quantile(q, metric, labels="", more=""):
    grouping = f"{labels}, le" if labels else "le"
    return f"histogram_quantile({q}, {by(grouping, rate(metric + '_bucket', more))})"


def quantiles(*shares, metric, more=""):
    """Legend -> query of each share: p50, p99."""
    return {f"p{int(q * 100)}": quantile(q, metric, more=more) for q in shares}


def share(part, whole):
    """A ratio that is 0, not nothing, while there are no calls."""
    return f"sum({part}) / clamp_min(sum({whole}), 1e-9)"
