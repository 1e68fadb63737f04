"""Heads against timm and torch.nn (in float64), and against the oracles, on maps of many shapes and
kinds.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from kinds import HEADS, KINDS, kind_of
from maps import EVERY, POSITIVE, SIGNED, Maps, maps
from oracles import ORACLES

TOLERANCE = 1e-5
MAPS = 5  # of each shape and kind
NORMAL = tuple(
    kind for kind in EVERY if kind != "denormal"
)  # on those timm's own lse is the maximum


def timm_pool(name: str):
    from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d

    return lambda: SelectAdaptivePool2d(pool_type=name, flatten=True)


def timm_lse(r: float):
    from timm.layers.other_pool import LsePlus2d

    return lambda: LsePlus2d(r=r, r_learnable=False, dtype=torch.float64)


class LpOverAll(nn.Module):
    """torch.nn.LPPool2d with the map's own size as its window."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.LPPool2d(self.p, tuple(x.shape[-2:]))(x).flatten(1)


class PoolAndUnpool(nn.Module):
    """MaxUnpool2d of MaxPool2d at the map's own size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values, indices = nn.MaxPool2d(2, stride=1, return_indices=True)(x)
        return nn.MaxUnpool2d(2, stride=1)(values, indices, output_size=x.shape)


# Head -> (kinds of maps, its reference as a module).
MODULES = {
    "global_avg": (EVERY, timm_pool("avg")),
    "global_max": (EVERY, timm_pool("max")),
    "avg_max": (EVERY, timm_pool("avgmax")),
    "cat_avg_max": (EVERY, timm_pool("catavgmax")),
    "lse": (NORMAL, timm_lse(10)),
    "lse:r=0.5": (NORMAL, timm_lse(0.5)),
    "lse:r=100": (NORMAL, timm_lse(100)),
    "lp": (EVERY, lambda: LpOverAll(2)),
    "lp:p=1": (POSITIVE, lambda: LpOverAll(1)),
    "lp:p=3": (EVERY, lambda: LpOverAll(3)),
    "lp:p=2.5": (EVERY, lambda: LpOverAll(2.5)),
    "adaptive_avg:output_size=3": (EVERY, lambda: nn.AdaptiveAvgPool2d(3)),
    "adaptive_avg:output_size=2x5": (EVERY, lambda: nn.AdaptiveAvgPool2d((2, 5))),
    "adaptive_max:output_size=3": (EVERY, lambda: nn.AdaptiveMaxPool2d(3)),
    "adaptive_max:output_size=4x1": (EVERY, lambda: nn.AdaptiveMaxPool2d((4, 1))),
    "max_pool:kernel_size=1,stride=2": (EVERY, lambda: nn.MaxPool2d(1, 2)),
    "max_pool:kernel_size=3,stride=2,padding=1,ceil_mode=true": (
        EVERY,
        lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    ),
    "avg_pool:kernel_size=3,stride=2,padding=1": (EVERY, lambda: nn.AvgPool2d(3, 2, 1)),
    "avg_pool:kernel_size=3,stride=2,padding=1,ceil_mode=true,count_include_pad=false": (
        EVERY,
        lambda: nn.AvgPool2d(3, 2, 1, True, False),
    ),
}


@pytest.mark.parametrize("head", MODULES)
def test_timm_and_torch_nn(pool, ledger, head):
    kinds, make = MODULES[head]
    module = make()
    compare(
        pool,
        ledger,
        "timm, torch.nn: heads on random maps",
        head,
        kinds,
        lambda x: module(torch.from_numpy(x).double()).numpy(),
    )


def test_unpooling_at_the_maps_own_size(pool, ledger):
    compare(
        pool,
        ledger,
        "timm, torch.nn: heads on random maps",
        "max_unpool:kernel_size=2,stride=1",
        EVERY,
        lambda x: PoolAndUnpool()(torch.from_numpy(x)).numpy(),
        smallest=2,
    )


# Heads that are held to their references in files of their own.
ELSEWHERE = {
    "conv_pool": "test_properties.py, test_torch_samples.py",
    "max_unpool": "above, test_torch_samples.py, test_onnx_nodes.py",
    "feature_map": "test_properties.py",
    "class_scores": "tests/e2e/test_parity.py",
    "class_activation_map": "test_activation_maps.py",
    "mean_map": "test_tokens.py",
    **{head["name"]: "test_tokens.py" for head in HEADS if head["reads"] in ("tokens", "vector")},
}


def test_every_head_has_its_reference():
    held = {kind_of(head) for head in (*MODULES, *ORACLES)}
    assert held.isdisjoint(ELSEWHERE)
    assert set(KINDS) - held - set(ELSEWHERE) == set(), (
        "a head needs an oracle in oracles.py, or a module in MODULES"
    )


NOT_FINITE = [
    "global_avg",
    "global_max",
    "avg_max",
    "cat_avg_max",
    *(h for h in MODULES if "_size" in h),
]


@pytest.mark.parametrize("head", NOT_FINITE)
def test_infinities_and_nan_go_as_in_torch(pool, ledger, head):
    module = MODULES[head][1]()
    rng = np.random.default_rng(4)
    with ledger("timm, torch.nn: maps with infinities and NaN") as row:
        for m in maps(("normal",), MAPS, seed=5):
            values = m.values.copy()
            for special in (np.inf, -np.inf, np.nan):
                values[rng.random(values.shape) < 0.05] = special
            want = module(torch.from_numpy(values)).numpy()
            row.close(f"{head} on {m.name}", pool.one(values, head).values, want, TOLERANCE)


@pytest.mark.parametrize("head", ORACLES)
def test_formulas_in_float64(pool, ledger, head):
    kinds, oracle = ORACLES[head]
    compare(
        pool,
        ledger,
        "formulas in float64: heads on random maps",
        head,
        kinds,
        lambda x: np.stack([oracle(one) for one in x]),
    )


def magnitudes(head: str, m: Maps, reference, want: np.ndarray) -> list[float | None]:
    """What the errors on each map are relative to; None: the largest value of the result. Where
    values may cancel, a result is as exact as the same head is on the values without their sign.
    """
    if head.startswith("lse"):  # adds the maximum to what may nearly undo it
        return [float(np.abs(x).max()) for x in m.values]
    if m.kind not in SIGNED:
        return [None] * len(want)
    return [
        float(max(np.abs(a).max(), np.nanmax(np.abs(b), initial=0)))
        for a, b in zip(reference(np.abs(m.values)), want, strict=True)
    ]


def compare(pool, ledger, suite: str, head: str, kinds, reference, smallest: int = 1) -> None:
    cases = 0
    with ledger(suite) as row:
        for m in maps(kinds, MAPS, seed=sum(head.encode())):
            if min(m.values.shape[2:]) < smallest:
                continue
            got = pool.one(m.values, head).values
            with np.errstate(all="ignore"):
                want = reference(m.values)
            scales = magnitudes(head, m, reference, want)
            for i in range(len(want)):
                row.close(f"{head} on {m.name}", got[i], want[i], TOLERANCE, scales[i])
            cases += len(want)
    assert cases >= 300
