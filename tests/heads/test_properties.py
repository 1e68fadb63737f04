"""Properties that need no reference: invariances, limits, orders and identities of the heads, over
ten thousand maps.

One case is one property on one map.
"""

from __future__ import annotations

import numpy as np

from kinds import OF_MAPS, simplest
from maps import EVERY, POSITIVE, Maps, maps

MAPS = 8  # of each shape and kind
TOLERANCE = 1e-5
WANTED_CASES = 10_000

ORDERLESS = [  # heads for which it does not matter where on the map a value stands
    "global_avg",
    "global_max",
    "avg_max",
    "cat_avg_max",
    "gem",
    "gem:p=7.5",
    "lse",
    "lp",
    "lp:p=4",
]
EVERYTHING = [
    *map(simplest, OF_MAPS),
    "gem:p=7.5",
    "lp:p=4",
    "adaptive_avg:output_size=3x2",
    "adaptive_max:output_size=2,return_indices=true",
    "max_pool:kernel_size=1,stride=2",
    "gem:l2",
    "rmac:l2",
    "feature_map:l2",
]


def magnitude(m: Maps) -> np.ndarray:
    """Largest value of each map without its sign, [N, 1]; at least the smallest normal number."""
    return np.maximum(np.abs(np.float64(m.values)).max((1, 2, 3)), 1.2e-38)[:, None]


def properties(ledger):
    return ledger("properties")


def within(
    row, what: str, m: Maps, got: np.ndarray, want: np.ndarray, tolerance: float = TOLERANCE
) -> None:
    """One case a map: got equals want within `tolerance` of the map's magnitude."""
    scale = np.broadcast_to(magnitude(m), (len(got), got[0].size))
    for i in range(len(got)):
        row.close(f"{what} on {m.name}", got[i].ravel(), want[i].ravel(), tolerance, scale[i])


def holds(
    row, what: str, m: Maps, smaller: np.ndarray, larger: np.ndarray, slack: float = TOLERANCE
) -> None:
    """One case a map: smaller <= larger, up to `slack` of the map's magnitude."""
    excess = np.float64(smaller) - np.float64(larger)
    for i, size in enumerate(magnitude(m)[:, 0]):
        worst = float(excess[i].max())
        row.case(f"{what} on {m.name}", worst <= slack * size, f"violated by {worst:g} of {size:g}")


def cells(m: Maps) -> int:
    return m.values.shape[2] * m.values.shape[3]


def orderless_after(pool, row, what: str, m: Maps, moved: np.ndarray) -> None:
    before, after = pool(m.values, *ORDERLESS), pool(np.ascontiguousarray(moved), *ORDERLESS)
    n = len(m.values)
    largest = cells(m)  # lp adds up, so its magnitude is that of all cells
    joined = [
        np.concatenate([r.values.reshape(n, -1) for r in results], 1) for results in (before, after)
    ]
    within(row, what, m, joined[1] / largest, joined[0] / largest, TOLERANCE / largest**0.5)


def test_flips_change_nothing(pool, ledger):
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 1):
            orderless_after(pool, row, "flipped upside down", m, m.values[:, :, ::-1])
            orderless_after(pool, row, "mirrored", m, m.values[:, :, :, ::-1])


def test_permuted_cells_change_nothing(pool, ledger):
    rng = np.random.default_rng(2)
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 2):
            n, c, h, w = m.values.shape
            moved = rng.permuted(np.arange(h * w))
            orderless_after(
                pool,
                row,
                "permuted",
                m,
                m.values.reshape(n, c, -1)[:, :, moved].reshape(n, c, h, w),
            )


def test_a_map_on_its_side_gives_the_same_regions(pool, ledger):
    with properties(ledger) as row:
        for m in maps(POSITIVE, MAPS, 3):
            sideways = np.ascontiguousarray(m.values.transpose(0, 1, 3, 2))
            for head, before, after in zip(
                ("rmac", "spoc", "crow"),
                pool(m.values, "rmac", "spoc", "crow"),
                pool(sideways, "rmac", "spoc", "crow"),
                strict=True,
            ):
                scale = np.maximum(np.abs(before.values).max(1), 1e-38)
                row.case(
                    f"{head} on its side, {m.name}",
                    bool((np.abs(after.values - before.values).max(1) <= TOLERANCE * scale).all()),
                    "another vector",
                )


def test_gem_lies_between_its_limits_and_rises_with_p(pool, ledger):
    exponents = (0.5, 1, 2, 3, 8, 30, 100)
    with properties(ledger) as row:
        for m in maps(POSITIVE, MAPS, 4):
            lifted = Maps(m.kind, np.maximum(m.values, np.float32(1e-6)))
            heads = [f"gem:p={p}" for p in exponents]
            *means, average, maximum = (
                r.values for r in pool(lifted.values, *heads, "global_avg", "global_max")
            )
            within(row, "gem with p = 1 is the mean", lifted, means[1], average)
            for p, lower, upper in zip(exponents[1:], means[:-1], means[1:], strict=True):
                holds(row, f"gem rises to p = {p}", lifted, lower, upper)
            holds(row, "gem is at most the maximum", lifted, means[-1], maximum)
            holds(
                row, "gem tends to the maximum", lifted, maximum * cells(m) ** (-1 / 100), means[-1]
            )


def test_lse_lies_between_mean_and_maximum(pool, ledger):
    """mean <= lse <= mean + r range^2 / 8 (Hoeffding), and max - log(n) / r <= lse <= max."""
    rates = (0.05, 1, 10, 200)
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 5):
            heads = [f"lse:r={r}" for r in rates]
            *middle, average, maximum = (
                r.values for r in pool(m.values, *heads, "global_avg", "global_max")
            )
            span = np.float64(np.ptp(m.values, (2, 3)))
            for r, lower, upper in zip(rates, [average, *middle[:-1]], middle, strict=True):
                holds(row, f"lse rises to r = {r}", m, lower, upper)
            holds(row, "lse is at most the maximum", m, middle[-1], maximum)
            holds(row, "lse tends to the mean", m, middle[0], average + rates[0] * span**2 / 8)
            holds(
                row,
                "lse tends to the maximum",
                m,
                maximum - np.log(cells(m)) / rates[-1],
                middle[-1],
            )


def test_unpooling_puts_the_maxima_where_they_were(pool, ledger):
    for kernel, stride, padding in ((1, 2, 0), (2, 2, 1), (3, 2, 1), (2, 1, 0)):
        options = f"kernel_size={kernel},stride={stride},padding={padding}"
        with properties(ledger) as row:
            for m in maps(EVERY, MAPS, 6):
                n, c, h, w = m.values.shape
                if min(h, w) + 2 * padding < kernel:
                    continue
                pooled = pool.one(m.values, f"max_pool:{options},return_indices=true")
                want = np.zeros((n, c, h * w), np.float32)
                np.put_along_axis(
                    want, pooled.indices.reshape(n, c, -1), pooled.values.reshape(n, c, -1), 2
                )
                size = f"output_size={h}x{w}"
                in_one = pool.one(m.values, f"max_unpool:{options},{size}").values
                given = pool.one(
                    pooled.values, f"max_unpool:{options},{size}", pooled.indices
                ).values
                for i in range(n):
                    same = np.array_equal(in_one[i].reshape(c, -1), want[i])
                    same &= np.array_equal(given[i].reshape(c, -1), want[i])
                    row.case(f"max_unpool:{options} on {m.name}", same, "a maximum is elsewhere")


def test_one_window_over_all_is_the_global_head(pool, ledger):
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 7):
            n, c, h, w = m.values.shape
            average, maximum, *others = (
                r.values.reshape(n, -1)
                for r in pool(
                    m.values,
                    "global_avg",
                    "global_max",
                    "adaptive_avg:output_size=1",
                    f"avg_pool:kernel_size={h}x{w}",
                    "spatial_pyramid:levels=1,pooling=WINDOW_POOLING_AVG",
                    "avg_max",
                    "adaptive_max:output_size=1",
                    f"max_pool:kernel_size={h}x{w}",
                    "spatial_pyramid:levels=1",
                    "cat_avg_max",
                )
            )
            want = [
                average,
                average,
                average,
                0.5 * average + 0.5 * maximum,
                maximum,
                maximum,
                maximum,
                np.concatenate([average, maximum], 1),
            ]
            within(
                row, "one window over all", m, np.concatenate(others, 1), np.concatenate(want, 1)
            )


def test_a_mean_filter_is_average_pooling(pool, ledger):
    with properties(ledger) as row:
        for kernel, stride in (("2", "2"), ("3x1", "1x2"), ("1x2", "1")):
            for m in maps(EVERY, MAPS, 8):
                sides = list(map(int, (kernel.split("x") * 2)[:2]))
                if any(k > side for k, side in zip(sides, m.values.shape[2:], strict=True)):
                    continue
                filtered, positive, pooled = (
                    r.values.reshape(len(m.values), -1)
                    for r in pool(
                        m.values,
                        f"conv_pool:kernel_size={kernel},stride={stride},mean_filter=true",
                        f"conv_pool:kernel_size={kernel},stride={stride},mean_filter=true,relu=true",
                        f"avg_pool:kernel_size={kernel},stride={stride}",
                    )
                )
                within(row, f"mean filter {kernel}", m, filtered, pooled)
                within(row, f"mean filter {kernel}, relu", m, positive, np.maximum(pooled, 0))


def test_a_spatial_pyramid_is_its_grids(pool, ledger):
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 9):
            n = len(m.values)
            pyramid, one, two, three = (
                r.values.reshape(n, -1)
                for r in pool(
                    m.values,
                    "spatial_pyramid:levels=3x1x2",
                    "adaptive_max:output_size=1",
                    "adaptive_max:output_size=2",
                    "adaptive_max:output_size=3",
                )
            )
            for i in range(n):
                row.equal(
                    f"pyramid on {m.name}", pyramid[i], np.concatenate([three[i], one[i], two[i]])
                )


def test_heads_together_equal_heads_alone_bit_for_bit(pool, ledger):
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 10):
            together = pool(m.values, *EVERYTHING)
            alone = [pool.one(m.values, head) for head in EVERYTHING]
            for i in range(len(m.values)):
                wrong = [
                    head
                    for head, a, b in zip(EVERYTHING, together, alone, strict=True)
                    if a.values[i].tobytes() != b.values[i].tobytes()
                    or (a.indices is not None and (a.indices[i] != b.indices[i]).any())
                ]
                row.case(f"together and alone on {m.name}", not wrong, wrong)


def test_a_batch_equals_its_maps_alone(pool, ledger):
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 11):
            batch = pool(m.values, *EVERYTHING)
            for i in range(len(m.values)):
                alone = pool(m.values[i : i + 1], *EVERYTHING)
                row.case(
                    f"batch and single on {m.name}",
                    not (
                        wrong := [
                            head
                            for head, a, b in zip(EVERYTHING, batch, alone, strict=True)
                            if not np.allclose(
                                a.values[i],
                                b.values[0],
                                TOLERANCE,
                                TOLERANCE * magnitude(m)[i, 0],
                                equal_nan=True,
                            )
                        ]
                    ),
                    wrong,
                )


def test_l2_normalised_results_have_norm_one_and_their_direction(pool, ledger):
    heads = (
        "global_avg",
        "gem",
        "rmac",
        "scda",
        "cat_avg_max",
        "spatial_pyramid",
        "adaptive_avg:output_size=2",
        "feature_map",
        "max_pool:kernel_size=1,stride=2",
    )
    with properties(ledger) as row:
        for m in maps(("relu", "uniform", "sparse", "zeros", "normal", "large"), MAPS, 12):
            plain = pool(m.values, *heads)
            unit = pool(m.values, *(f"{head}{',' if ':' in head else ':'}l2" for head in heads))
            for i in range(len(m.values)):
                wrong = []
                for head, a, b in zip(heads, plain, unit, strict=True):
                    raw = np.float64(a.values[i])
                    want = raw / max(np.linalg.norm(raw), 1e-12)
                    if (
                        b.values[i].shape != raw.shape
                        or np.abs(b.values[i] - want).max() > TOLERANCE
                    ):
                        wrong.append(head)
                    elif raw.any() and abs(np.linalg.norm(np.float64(b.values[i])) - 1) > TOLERANCE:
                        wrong.append(f"norm of {head}")
                row.case(f"L2 on {m.name}", not wrong, wrong)


def test_one_cell_is_its_own_summary(pool, ledger):
    heads = [
        "global_avg",
        "global_max",
        "avg_max",
        "lse",
        "lp:p=1",
        "spoc",
        "feature_map",
        "adaptive_avg:output_size=1",
        "max_pool:kernel_size=1",
        "avg_pool:kernel_size=1",
        "gem",
    ]
    with properties(ledger) as row:
        for m in maps(EVERY, 40, 13, shapes=[(9, 1, 1)]):
            results = [r.values.reshape(len(m.values), -1) for r in pool(m.values, *heads)]
            cell = m.values.reshape(len(m.values), -1)
            want = [cell] * (len(heads) - 1) + [np.maximum(cell, np.float32(1e-6))]
            within(row, "one cell", m, np.concatenate(results, 1), np.concatenate(want, 1))
            for i, (got, x) in enumerate(zip(pool.one(m.values, "scda").values, cell, strict=True)):
                row.equal(f"scda of one cell, {m.name} {i}", got, np.concatenate([x, x]))


def test_the_map_comes_back_as_it_is(pool, ledger):
    with properties(ledger) as row:
        for m in maps(EVERY, MAPS, 14):
            for got, want in zip(pool.one(m.values, "feature_map").values, m.values, strict=True):
                row.case(f"feature_map on {m.name}", got.tobytes() == want.tobytes(), "other bits")


def test_there_were_ten_thousand_cases(ledger):
    assert properties(ledger).cases >= WANTED_CASES
