"""ONNX's backend node tests of pooling, replayed through PoolTensor."""

from __future__ import annotations

import numpy as np

from onnx_nodes import BEYOND_TORCH, LIKE_TORCH, left_out_reason, node, pooling_cases, replay

TOLERANCE = 1e-6  # of means; maxima are equal
# The expected values of this one are written with four decimals; ONNX's own tolerance for it.
FOUR_DECIMALS = {"averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}


def check(pool, row, name: str) -> None:
    case = node(name)
    got = replay(pool, case)
    values = case.outputs[0].astype(np.float32)
    if "Average" in case.op:
        row.close(name, got.values, values, FOUR_DECIMALS.get(name, TOLERANCE))
    elif len(case.outputs) == 2 and not np.array_equal(got.indices, case.outputs[1]):
        row.case(f"{name}, indices", False, f"{got.indices}, wanted {case.outputs[1]}")
    else:
        row.equal(name, got.values, values)


def test_cases_that_mean_what_torch_means(pool, ledger):
    assert len(LIKE_TORCH) == 24
    with ledger("ONNX node tests: 2-D pooling as torch's") as row:
        for name in LIKE_TORCH:
            check(pool, row, name)


def test_cases_with_other_padding(pool, ledger):
    with ledger("ONNX node tests: padded by the test; unpooling") as row:
        for name in BEYOND_TORCH:
            check(pool, row, name)


def test_every_other_case_is_listed_with_its_reason(ledger):
    cases = pooling_cases()
    assert set(LIKE_TORCH + BEYOND_TORCH) <= set(cases)
    for name in cases:
        if name not in LIKE_TORCH + BEYOND_TORCH:
            reason = left_out_reason(name)
            assert reason, f"{name} is neither replayed nor left out"
            ledger.not_applicable("ONNX node tests", name, reason)
