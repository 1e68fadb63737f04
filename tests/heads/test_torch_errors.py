"""What torch refuses, the server refuses with INVALID_ARGUMENT and the field at fault, never
INTERNAL.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torch_samples import (
    HEADS,
    MODULES,
    Call,
    left_out_reason,
    module_errors,
    op_errors,
    pooling_ops,
    short_name,
)

# Part of torch's message -> the field at fault, in the head's message or in the request.
FIELDS = [
    ("pad must be non-negative", "padding"),
    ("pad should be at most half", "padding"),
    ("divisor must be not zero", "divisor_override"),
    ("Output size is too small", "kernel_size"),
    ("output_size", "output_size"),
    ("internal error", "output_size"),  # adaptive_max_pool2d with an empty size
    ("negative dimension", "output_size"),
    ("shape of indices", "/indices"),
    ("Input dimension should be at least", "/tensor.shape"),
    ("non-empty 3D or 4D", "/tensor.shape"),
    ("Expected 3D or 4D", "/tensor.shape"),
]


def field_at_fault(call: Call, regex: str) -> str:
    (name, *_) = (field for part, field in FIELDS if part in regex.replace("\\", ""))
    return name[1:] if name.startswith("/") else f"heads[0].{HEADS[call.op]}.{name}"


def refuse(pool, row, call: Call, regex: str) -> None:
    field = field_at_fault(call, regex)
    maps = call.input
    if field != "tensor.shape":
        # Batched as the API wants it, and with something in it: torch looks at the parameters
        # first.
        maps = torch.ones(
            [max(side, 1) for side in (maps if maps.dim() == 4 else maps[None]).shape]
        )
    indices = None if call.indices is None else call.indices.numpy()
    got = pool.refusal(maps.numpy(), call.head, indices=indices)
    row.case(
        f"{call}, which torch refuses with '{regex}'", got.names(field), f"{got}, wanted {field}"
    )


@pytest.mark.parametrize("name", HEADS)
def test_error_inputs_of_operators(pool, ledger, name):
    calls = list(op_errors(name))
    assert calls
    with ledger("torch OpInfo: error inputs") as row:
        for call, regex in calls:
            refuse(pool, row, call, regex)


def test_error_inputs_of_modules(pool, ledger):
    calls = [item for name in MODULES for item in module_errors(name)]
    assert calls
    with ledger("torch ModuleInfo: error inputs") as row:
        for call, regex in calls:
            refuse(pool, row, call, regex)


def test_every_other_error_input_is_listed(ledger):
    for op in pooling_ops():
        name = short_name(op)
        if name in HEADS or op.error_inputs_func is None or op.variant_test_name:
            continue
        count = len(list(op.error_inputs_func(op, "cpu")))
        reason = left_out_reason(name)
        assert reason, name
        if count:
            ledger.not_applicable("torch OpInfo, error inputs", name, reason, count)


MAP = np.arange(2 * 36, dtype=np.float32).reshape(1, 2, 6, 6)
# Requests that no torch sample makes, each with the field that is wrong.
WRONG = [
    ("max_pool:kernel_size=0", "heads[0].max_pool.kernel_size"),
    ("max_pool:kernel_size=2,stride=0", "heads[0].max_pool.stride"),
    ("max_pool:kernel_size=2,stride=-1", "heads[0].max_pool.stride"),
    ("max_pool:kernel_size=2,dilation=0", "heads[0].max_pool.dilation"),
    ("max_pool:kernel_size=2,padding=2", "heads[0].max_pool.padding"),
    ("max_pool:kernel_size=3x1,padding=1", "heads[0].max_pool.padding"),
    ("max_pool:kernel_size=1x2x3", "heads[0].max_pool.kernel_size"),
    ("max_pool:stride=2", "heads[0].max_pool.kernel_size"),
    ("max_pool:kernel_size=7", "heads[0].max_pool.kernel_size"),
    ("max_pool:kernel_size=4,dilation=2", "heads[0].max_pool.kernel_size"),
    ("avg_pool:kernel_size=7", "heads[0].avg_pool.kernel_size"),
    ("avg_pool:kernel_size=2,divisor_override=0", "heads[0].avg_pool.divisor_override"),
    ("adaptive_avg:output_size=0", "heads[0].adaptive_avg.output_size"),
    ("adaptive_max:output_size=1x2x3", "heads[0].adaptive_max.output_size"),
    ("max_unpool:kernel_size=2,output_size=9", "heads[0].max_unpool.output_size"),
    ("conv_pool:kernel_size=2", "heads[0].conv_pool"),
    ("conv_pool:mean_filter=true", "heads[0].conv_pool.kernel_size"),
    ("conv_pool:kernel_size=2,mean_filter=false", "heads[0].conv_pool.mean_filter"),
    ("conv_pool:kernel_size=7,mean_filter=true", "heads[0].conv_pool.kernel_size"),
    ("gem:p=0", "heads[0].gem.p"),
    ("gem:eps=0", "heads[0].gem.eps"),
    ("lse:r=0", "heads[0].lse.r"),
    ("lse:r=nan", "heads[0].lse.r"),
    ("lp:p=0.5", "heads[0].lp.p"),
    ("rmac:levels=0", "heads[0].rmac.levels"),
    ("rmac:levels=9", "heads[0].rmac.levels"),
    ("rmac:overlap=1", "heads[0].rmac.overlap"),
    ("crow:a=0", "heads[0].crow.a"),
    ("crow:b=-1", "heads[0].crow.b"),
    ("spoc:sigma=0", "heads[0].spoc.sigma"),
    ("spatial_pyramid:levels=33", "heads[0].spatial_pyramid.levels"),
    ("spatial_pyramid:levels=1x2x3x4x5x6x7x8x9", "heads[0].spatial_pyramid.levels"),
    ("global_avg:layer=features", "heads[0].layer"),
    ("class_scores", "heads[0].class_scores"),
    ("class_activation_map", "heads[0].class_activation_map"),
    ("conv_pool:bundle_filter=learnt", "heads[0].conv_pool.bundle_filter"),
]


def test_parameters_out_of_range(pool, ledger):
    with ledger("parameters out of range") as row:
        for head, field in WRONG:
            got = pool.refusal(MAP, head)
            row.case(
                head, got.names(field) and got.reason == "HEAD_INVALID", f"{got}, wanted {field}"
            )
        for change, field in (
            ("projection", "heads[0].projection"),
            ("dimensions", "heads[0].dimensions"),
        ):
            request = pool.request(MAP, ("global_avg",))
            setattr(request.heads[0], change, "x" if change == "projection" else 1)
            got = pool.refused(request)
            row.case(
                change, got.names(field) and got.reason == "HEAD_INVALID", f"{got}, wanted {field}"
            )


def test_tensors_and_indices_that_do_not_fit(pool, ledger):
    unpool = "max_unpool:kernel_size=2"
    pooled, indices = MAP[:, :, ::2, ::2], np.tile(np.arange(9), 2).reshape(1, 2, 3, 3)
    with ledger("tensors and indices that do not fit") as row:
        for maps in (
            np.ones(4, np.float32),
            np.ones((1, 0, 2, 2), np.float32),
            np.ones((0, 1, 2, 2), np.float32),
        ):
            got = pool.refusal(maps, "global_avg")
            row.case(f"shape {maps.shape}", got.names("tensor.shape"), got)
        short = pool.request(MAP, ("global_avg",))
        del short.tensor.values[-1]
        row.case("a value too few", (got := pool.refused(short)).names("tensor.values"), got)
        negative = pool.request(MAP, ("global_avg",))
        negative.tensor.shape[:] = [1, -2, -6, 6]
        row.case("negative extents", (got := pool.refused(negative)).names("tensor.shape"), got)
        huge = pool.request(MAP, ("global_avg",))
        huge.tensor.shape[:] = [1 << 32, 1 << 31, 2, 36]  # their product is 0 in 64 bits
        row.case(
            "extents that overflow", (got := pool.refused(huge)).code == "INVALID_ARGUMENT", got
        )
        row.case("no head", (got := pool.refusal(MAP)).names("heads"), got)
        for bad in (36, -1, 1 << 40):
            wrong = indices.copy()
            wrong[0, 1, 2, 2] = bad
            got = pool.refusal(pooled, unpool, indices=wrong)
            row.case(f"index {bad} of 36", got.names("indices"), got)
        got = pool.refusal(pooled, unpool, indices=indices[:, :, :, :2])
        row.case("too few indices", got.names("indices"), got)
        got = pool.refusal(pooled, unpool, "global_avg", indices=indices)
        row.case("indices beside another head", got.names("heads[1]") or got.names("indices"), got)
