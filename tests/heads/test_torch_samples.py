"""PyTorch's own samples of its pooling operators, replayed through PoolTensor."""

from __future__ import annotations

import pytest

from torch_samples import (
    MODULES,
    Call,
    left_out_reason,
    module_calls,
    module_inputs,
    op_calls,
    pooling_modules,
    pooling_ops,
    samples,
    short_name,
)

# Operator -> how many samples torch 2.13 holds at least. max_unpool2d's samples are max_pool2d's of
# rank 4 without dilation; the variant "grad" holds those with distinct indices, which depend on the
# drawn values.
SAMPLES = {
    ("max_pool2d", ""): 1440,
    ("avg_pool2d", ""): 7,
    ("adaptive_avg_pool2d", ""): 10,
    ("adaptive_max_pool2d", ""): 24,
    ("max_unpool2d", ""): 288,
    ("max_unpool2d", "grad"): 15,
}
SUM_TOLERANCE = 1e-6


def replay(pool, row, call: Call) -> None:
    """The head gives torch's values and indices: exactly where nothing is added up."""
    indices = call.indices
    got = pool.one(call.maps.numpy(), call.head, None if indices is None else indices.numpy())
    values, positions = call.in_torch()
    if "avg" in call.op:
        row.close(str(call), got.values, values.numpy(), SUM_TOLERANCE)
        return
    if positions is not None and call.parameters.get("return_indices"):
        same = got.indices is not None and (got.indices == positions.numpy()).all()
        if not same:
            row.case(f"{call}, indices", False, f"{got.indices}, wanted {positions.numpy()}")
            return
    elif got.indices is not None:
        row.case(f"{call}, indices", False, "indices that were not asked for")
        return
    row.equal(str(call), got.values, values.numpy())


@pytest.mark.parametrize("name, variant", SAMPLES)
def test_operator_samples(pool, ledger, name, variant):
    calls = op_calls(name, variant)
    assert len(calls) >= SAMPLES[name, variant]
    with ledger(f"torch OpInfo: {name}{' ' * bool(variant)}{variant}") as row:
        for call in calls:
            replay(pool, row, call)


def test_module_inputs(pool, ledger):
    calls = [call for name in MODULES for call in module_calls(name)]
    assert len(calls) >= 19
    with ledger("torch ModuleInfo: the 2-D pooling modules") as row:
        for call in calls:
            replay(pool, row, call)


def test_every_other_pooling_sample_is_listed_with_its_reason(ledger):
    for op in pooling_ops():
        name = short_name(op)
        if (name, op.variant_test_name) not in SAMPLES:
            reason = left_out_reason(name)
            assert reason, f"{name} {op.variant_test_name} is neither replayed nor left out"
            ledger.not_applicable(
                "torch OpInfo", f"{name} {op.variant_test_name}".strip(), reason, len(samples(op))
            )
    for module in pooling_modules():
        name = module.module_cls.__name__
        if name not in MODULES:
            reason = left_out_reason(name)
            assert reason, f"{name} is neither replayed nor left out"
            ledger.not_applicable("torch ModuleInfo", name, reason, len(module_inputs(module)))
