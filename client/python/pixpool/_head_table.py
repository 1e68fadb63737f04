"""The parameters of the heads: ranges and defaults, as the server has them.

Made by scripts/make_heads.py from the server's table; do not edit.
"""

from __future__ import annotations

from pixpool._head_parameter import Parameter, Range

HEADS: dict[str, dict[str, Parameter]] = {
    "global_avg": {},
    "global_max": {},
    "avg_max": {},
    "cat_avg_max": {},
    "gem": {
        "p": Parameter(Range(0, 100, True, False), None, "3"),
        "eps": Parameter(Range(0, 1, True, False), None, "1e-6"),
    },
    "lse": {
        "r": Parameter(Range(0, 1000, True, False), None, "10"),
    },
    "lp": {
        "p": Parameter(Range(1, 100, False, False), None, "2"),
    },
    "rmac": {
        "levels": Parameter(Range(1, 8, False, False), None, "3"),
        "overlap": Parameter(Range(0, 1, False, True), None, "0.4"),
    },
    "crow": {
        "a": Parameter(Range(0, 100, True, False), None, "2"),
        "b": Parameter(Range(0, 100, True, False), None, "2"),
    },
    "spoc": {
        "sigma": Parameter(Range(0, 10000, True, False), None, None),
    },
    "scda": {},
    "adaptive_avg": {
        "output_size": Parameter(Range(1, 1024, False, False), None, None),
    },
    "adaptive_max": {
        "output_size": Parameter(Range(1, 1024, False, False), None, None),
        "return_indices": Parameter(None, None, "false"),
    },
    "spatial_pyramid": {
        "levels": Parameter(Range(1, 32, False, False), 8, "1x2x4"),
        "pooling": Parameter(None, None, "max"),
    },
    "max_pool": {
        "kernel_size": Parameter(Range(1, 1024, False, False), None, None),
        "stride": Parameter(Range(1, 1024, False, False), None, None),
        "padding": Parameter(Range(0, 512, False, False), None, "0"),
        "dilation": Parameter(Range(1, 1024, False, False), None, "1"),
        "ceil_mode": Parameter(None, None, "false"),
        "return_indices": Parameter(None, None, "false"),
    },
    "avg_pool": {
        "kernel_size": Parameter(Range(1, 1024, False, False), None, None),
        "stride": Parameter(Range(1, 1024, False, False), None, None),
        "padding": Parameter(Range(0, 512, False, False), None, "0"),
        "ceil_mode": Parameter(None, None, "false"),
        "count_include_pad": Parameter(None, None, "true"),
        "divisor_override": Parameter(Range(-2147483648, 2147483647, False, False), None, None),
    },
    "max_unpool": {
        "kernel_size": Parameter(Range(1, 1024, False, False), None, None),
        "stride": Parameter(Range(1, 1024, False, False), None, None),
        "padding": Parameter(Range(0, 512, False, False), None, "0"),
        "output_size": Parameter(Range(1, 65536, False, False), None, None),
        "ceil_mode": Parameter(None, None, "false"),
    },
    "conv_pool": {
        "kernel_size": Parameter(Range(1, 1024, False, False), None, None),
        "stride": Parameter(Range(1, 1024, False, False), None, None),
        "mean_filter": Parameter(None, None, None),
        "bundle_filter": Parameter(None, None, None),
        "relu": Parameter(None, None, "false"),
    },
    "feature_map": {},
    "class_scores": {
        "top_k": Parameter(Range(0, 100000, False, False), None, "5"),
        "score_type": Parameter(None, None, "softmax"),
    },
    "class_activation_map": {
        "class_index": Parameter(Range(0, 2147483647, False, False), None, None),
        "format": Parameter(None, None, "floats"),
    },
    "class_token": {
        "register": Parameter(Range(1, 1024, False, False), None, None),
    },
    "mean_token": {},
    "embedding": {},
    "bundle_head": {
        "name": Parameter(None, None, None),
    },
    "mean_map": {
        "format": Parameter(None, None, "floats"),
    },
}
