"""R-MAC's regions are the reference's (tests/golden/rmac_regions.txt) on all maps to 32 x 32."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import oracles

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "rmac_regions.txt"
SIDE = 32


def golden() -> dict[tuple[int, int, int, float], list[tuple[int, int, int]]]:
    """(H, W, levels, overlap) -> regions (y, x, side)."""
    out = {}
    for line in GOLDEN.read_text().splitlines():
        if not line.startswith("#"):
            key, _, regions = line.partition(": ")
            height, width, levels, overlap = key.split()
            squares = [tuple(map(int, r.split())) for r in regions.split("; ")]
            out[int(height), int(width), int(levels), float(overlap)] = squares
    return out


def test_the_oracles_regions_are_the_references(ledger):
    regions = golden()
    assert {(h, w, 3, 0.4) for h in range(1, SIDE + 1) for w in range(1, SIDE + 1)} <= set(regions)
    with ledger("R-MAC: regions of the oracle, and cirtorch's") as row:
        for key, wanted in regions.items():
            got = oracles.rmac_regions(*key)
            row.case(str(key), got == wanted, f"{got}, wanted {wanted}")


def test_the_servers_rmac_pools_those_regions(pool, ledger):
    """On random maps a region too many, too few or elsewhere shows: each has a vector of norm 1."""
    rng = np.random.default_rng(8)
    with ledger("R-MAC: vectors on all maps to 32 x 32") as row:
        for (height, width, levels, overlap), regions in golden().items():
            x = rng.exponential(size=(1, 8, height, width)).astype(np.float32)
            got = pool.one(x, f"rmac:levels={levels},overlap={overlap}").values[0]
            vectors = [np.float64(x[0, :, y : y + s, z : z + s]).max((1, 2)) for y, z, s in regions]
            vectors.append(np.float64(x[0]).max((1, 2)))
            want = sum(v / (np.linalg.norm(v) + oracles.RMAC_EPS) for v in vectors)
            row.close(f"{height} x {width}, {levels} levels, overlap {overlap}", got, want, 1e-5)
