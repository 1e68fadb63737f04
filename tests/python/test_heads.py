"""Each vector head against the formula written out in plain loops, R-MAC's regions by its rule."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pixpool._head_table import HEADS
from pixpool.export import heads
from pixpool.export.errors import ExportError
from pixpool.export.head_spec import HeadSpec

SIZES = [(1, 1), (1, 9), (6, 1), (7, 7), (7, 10), (14, 5)]


def gem(x, p=3.0, eps=1e-6):
    return np.mean(np.maximum(x, eps) ** p, axis=(1, 2)) ** (1 / p)


def lse(x, r=10.0):
    return np.log(np.mean(np.exp(r * x), axis=(1, 2))) / r


def unit(v):
    return v / (math.sqrt(sum(a * a for a in v)) + 1e-6)


def rmac(x, levels=3, overlap=0.4):
    _, height, width = x.shape
    total = unit(x.max(axis=(1, 2)))
    for top, left, side in heads.rmac_regions(height, width, levels, overlap):
        total = total + unit(x[:, top : top + side, left : left + side].max(axis=(1, 2)))
    return total


def crow(x, a=2.0, b=2.0):
    channels, height, width = x.shape
    if not x.any():
        return np.zeros(channels)
    s = np.maximum(x.sum(axis=0), 0)
    spatial = (s / (s**a).sum() ** (1 / a)) ** (1 / b)
    q = [np.count_nonzero(x[c]) / (height * width) for c in range(channels)]
    weights = np.array([math.log(sum(q) / q[c]) if q[c] else 0.0 for c in range(channels)])
    return weights * (x * spatial).sum(axis=(1, 2))


def spoc(x, sigma=None):
    _, height, width = x.shape
    sigma = sigma or min(height, width) / 6
    out = np.zeros(len(x))
    for i in range(height):
        for j in range(width):
            d2 = (i - (height - 1) / 2) ** 2 + (j - (width - 1) / 2) ** 2
            out += math.exp(-d2 / (2 * sigma**2)) * x[:, i, j]
    return out


def flood(mask):
    """The largest 8-connected component as a list of cells, found by walking from cell to cell."""
    height, width = mask.shape
    seen, best = set(), []
    for start in ((i, j) for i in range(height) for j in range(width)):
        if not mask[start] or start in seen:
            continue
        seen.add(start)
        component = [start]
        for i, j in component:
            for cell in ((i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)):
                if min(cell) >= 0 and cell[0] < height and cell[1] < width:
                    if mask[cell] and cell not in seen:
                        seen.add(cell)
                        component.append(cell)
        best = max(best, component, key=len)  # of equals the first
    return best or [(i, j) for i in range(height) for j in range(width)]


def scda(x):
    s = x.sum(axis=0)
    cells = np.array([x[:, i, j] for i, j in flood(s > s.mean())])
    return np.concatenate([cells.mean(axis=0), cells.max(axis=0)])


def spatial_pyramid(x, levels=(1, 2, 4), pooling="max"):
    _, height, width = x.shape
    out = []
    for n in levels:
        grid = np.zeros((len(x), n, n))
        for i in range(n):
            for j in range(n):
                rows = slice(i * height // n, -(-(i + 1) * height // n))
                columns = slice(j * width // n, -(-(j + 1) * width // n))
                window = x[:, rows, columns]
                grid[:, i, j] = getattr(window, "max" if pooling == "max" else "mean")(axis=(1, 2))
        out.append(grid.ravel())
    return np.concatenate(out)


ORACLES = {
    "global_avg": lambda x: x.mean(axis=(1, 2)),
    "global_max": lambda x: x.max(axis=(1, 2)),
    "avg_max": lambda x: (x.mean(axis=(1, 2)) + x.max(axis=(1, 2))) / 2,
    "cat_avg_max": lambda x: np.concatenate([x.mean(axis=(1, 2)), x.max(axis=(1, 2))]),
    "gem": gem,
    "gem:p=1": lambda x: gem(x, 1.0),
    "gem:p=6.5,eps=0.01": lambda x: gem(x, 6.5, 0.01),
    "gem:p=0.25": lambda x: gem(x, 0.25),
    "lse": lse,
    "lse:r=0.5": lambda x: lse(x, 0.5),
    "lp": lambda x: np.sqrt((x**2).sum(axis=(1, 2))),
    "lp:p=4": lambda x: (x**4).sum(axis=(1, 2)) ** 0.25,
    "rmac": rmac,
    "rmac:levels=5,overlap=0.1": lambda x: rmac(x, 5, 0.1),
    "spoc": spoc,
    "spoc:sigma=2.5": lambda x: spoc(x, 2.5),
    "scda": scda,
    "spatial_pyramid": spatial_pyramid,
    "spatial_pyramid:levels=3x1,pooling=avg": lambda x: spatial_pyramid(x, (3, 1), "avg"),
    # Meant for maps without negative values.
    "lp:p=1.5": lambda x: (x**1.5).sum(axis=(1, 2)) ** (1 / 1.5),
    "crow": crow,
    "crow:a=1,b=1": lambda x: crow(x, 1.0, 1.0),
    "crow:a=3,b=0.5": lambda x: crow(x, 3.0, 0.5),
}
NON_NEGATIVE = ("lp:p=1.5", "crow", "crow:a=1,b=1", "crow:a=3,b=0.5")


def maps(height, width, non_negative):
    """Three maps of 5 channels; ReLU's zeros, and a channel that is dead, where not negative."""
    generator = torch.Generator().manual_seed(31 * height + width)
    x = torch.randn(3, 5, height, width, generator=generator)
    if non_negative:
        x = x.relu()
        x[:, 2] = 0
    return x


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text", ORACLES)
def test_head_equals_its_formula(text, size):
    signs = (True,) if text in NON_NEGATIVE else (True, False)
    for non_negative in signs:
        x = maps(*size, non_negative)
        got = HeadSpec.parse(text)(x)
        wanted = np.stack([ORACLES[text](one.double().numpy()) for one in x])
        assert got.dtype == torch.float32
        np.testing.assert_allclose(got.numpy(), wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("text", ORACLES)
def test_zero_map(text):
    got = HeadSpec.parse(text)(torch.zeros(2, 4, 7, 10)).numpy()
    lifted = {"gem": 1e-6, "gem:p=1": 1e-6, "gem:p=6.5,eps=0.01": 0.01, "gem:p=0.25": 1e-6}
    np.testing.assert_allclose(got, np.full_like(got, lifted.get(text, 0)), rtol=1e-6)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 7.0])
def test_lp_is_torchs_over_the_whole_map(p):
    whole = torch.tensor([[3.0, -3.0], [1.0, -1.0]]).view(1, 2, 1, 2)  # odd powers cancel: 0
    for x in (maps(7, 10, True), maps(7, 10, False), whole):
        wanted = F.lp_pool2d(x.double(), p, tuple(x.shape[2:])).flatten(1)
        torch.testing.assert_close(heads.lp(x.double(), p), wanted, equal_nan=True)


def test_large_and_small_exponents_stay_finite_and_in_order():
    x = 500 * maps(7, 10, True)[:, :2]
    mean, peak = heads.global_avg(x), heads.global_max(x)
    values = [HeadSpec.parse(f"gem:p={p}")(x) for p in (1e-30, 0.01, 1, 3, 20, 100)]
    for low, high in zip(values, values[1:], strict=False):
        assert (low < high).all()
    torch.testing.assert_close(values[2], mean)
    geometric = torch.exp(torch.log(x.double().clamp(min=1e-6)).mean((2, 3))).float()
    torch.testing.assert_close(values[0], geometric)
    assert (values[-1] > 0.94 * peak).all() and (values[-1] < peak).all()
    torch.testing.assert_close(HeadSpec.parse("lse:r=1000")(x), peak, rtol=1e-4, atol=0)
    torch.testing.assert_close(HeadSpec.parse("lse:r=1e-30")(x), mean)
    assert torch.isfinite(HeadSpec.parse("lp:p=100")(x)).all()
    assert torch.isfinite(HeadSpec.parse("crow:a=100,b=0.01")(x)).all()


def test_crow_counts_negative_sums_as_zero():
    x = maps(7, 10, False)
    wanted = np.stack([crow(one.double().numpy()) for one in x])
    assert (x.sum(1) < 0).any()
    np.testing.assert_allclose(HeadSpec.parse("crow")(x), wanted, rtol=1e-5, atol=1e-6)


def component(*rows):
    mask = torch.tensor([[cell == "#" for cell in row] for row in rows])
    kept = heads._largest_component(mask[None])[0]
    return ["".join("#" if cell else "." for cell in row) for row in kept.tolist()]


def test_scda_keeps_the_largest_component():
    # Corners join; a snake is one piece.
    assert component("#..#", ".#.#", "..#.") == ["#..#", ".#.#", "..#."]
    assert component("#...#", "....#", "##..#") == ["....#", "....#", "....#"]
    snake = ["#####", "....#", "#####", "#....", "#####"]
    assert component(*snake) == snake
    # The first of two as large, in scan order: by rows from the top.
    assert component("...#", "#..#", "#...") == ["...#", "...#", "...."]
    assert component("#...", "#...", "..##") == ["#...", "#...", "...."]
    assert component("...", "...") == ["###", "###"]


def test_scda_wants_cells_above_the_mean_not_at_it():
    got = heads.scda(torch.tensor([[[[2.0, 0.0, 1.0, 1.0]]]]))  # the mean is 1
    assert got.tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize("percent", [0, 40, 75])
def test_rmac_regions_follow_the_rule(percent):
    for height, width in itertools.product(range(1, 33), range(1, 33)):
        short, extra = min(height, width), abs(height - width)

        def miss(k, short=short, extra=extra):
            # |1 - extra / (short * k) - overlap| times 6000 * short, a whole number for k to 6.
            return abs((100 - percent) * short * k - 100 * extra) * (60 // k)

        step = min(range(1, 7), key=miss) if extra else 0
        regions = heads.rmac_regions(height, width, 4, percent / 100)
        for level in range(1, 5):
            side = 2 * short // (level + 1)
            if side == 0:
                continue
            tops = level + (step if height > width else 0)
            lefts = level + (step if width > height else 0)
            grid, regions = regions[: tops * lefts], regions[tops * lefts :]
            assert {region[2] for region in grid} == {side}
            assert_spaced([region[0] for region in grid[::lefts]], tops, height - side)
            assert_spaced([region[1] for region in grid[:lefts]], lefts, width - side)
            assert [r[:2] for r in grid] == list(
                itertools.product([r[0] for r in grid[::lefts]], [r[1] for r in grid[:lefts]])
            )
        assert regions == []


def assert_spaced(starts, count, room):
    """From 0 to `room` in equal steps, each start rounded down."""
    assert len(starts) == count
    assert starts[0] == 0 and (count == 1 or starts[-1] == room)
    for i, start in enumerate(starts[1:], start=1):
        assert start * (count - 1) <= i * room < (start + 1) * (count - 1)


@pytest.mark.parametrize(
    ("size", "count"), [((1, 1), 1), ((7, 7), 14), ((7, 10), 20), ((10, 7), 20), ((5, 9), 20)]
)
def test_rmac_region_counts(size, count):
    assert len(heads.rmac_regions(*size, 3, 0.4)) == count


def test_rmac_regions_of_7_by_10():
    """By hand from the rule: k = 1; sides 7, 4, 3."""
    wanted = [(0, left, 7) for left in (0, 3)]
    wanted += [(top, left, 4) for top in (0, 3) for left in (0, 3, 6)]
    wanted += [(top, left, 3) for top in (0, 2, 4) for left in (0, 2, 4, 7)]
    assert heads.rmac_regions(7, 10, 3, 0.4) == wanted


def test_rmac_ties_take_the_smaller_step_and_0_4_is_two_fifths():
    """At 5 x 9 steps 1 and 2 overlap by 0.2 and 0.6: as close to 2/5. The float32 nearest to 0.4 is
    above 2/5 and would prefer the second."""
    regions = heads.rmac_regions(5, 9, 3, 0.4)
    assert regions[:2] == [(0, 0, 5), (0, 4, 5)]
    assert heads.rmac_regions(5, 9, 3, float(np.float32(0.4))) == regions
    assert heads.rmac_regions(5, 9, 3, 0.41) != regions


def test_parameters_are_resolved():
    assert HeadSpec.parse("gem:p=2.5").parameters == {"p": 2.5, "eps": 1e-6}
    assert HeadSpec.parse("rmac").parameters == {"levels": 3, "overlap": 0.4}
    assert HeadSpec.parse("rmac:overlap=0").parameters == {"levels": 3, "overlap": 0}
    assert HeadSpec.parse("spoc").parameters == {}
    assert HeadSpec.parse("spatial_pyramid").parameters == {"levels": [1, 2, 4], "pooling": "max"}
    assert HeadSpec.parse("spatial_pyramid:levels=6x3").parameters == {
        "levels": [6, 3],
        "pooling": "max",
    }
    assert HeadSpec.parse("gem:p=2.5000000001").parameters["p"] == 2.5  # as float32


def test_a_head_is_read_as_in_a_request():
    plain = HeadSpec.parse("gem:p=2.5,eps=0.01")
    assert (plain.layer, plain.dimensions) == (None, None)
    for text in ("gem:eps=0.01,p=2.5", "gem: p = 2.5, eps = 0.01", "gem:p=2.5,eps=0.01,l2"):
        assert HeadSpec.parse(text) == plain
    assert HeadSpec.parse("gem:p=2.5:eps=0.01") == plain  # as --pca was written before
    assert HeadSpec.parse("spatial_pyramid:pooling=AVG").parameters["pooling"] == "avg"
    named = HeadSpec.parse("gem:layer=stage5,p=2.5,eps=0.01,dimensions=7")
    assert (named.layer, named.dimensions) == ("stage5", 7)
    assert named.parameters == plain.parameters


def test_limits_that_fits_are_held_to():
    """Of every head that gives a vector, as the server's table has them."""
    limits = {kind: HEADS[kind] for kind in heads.VECTOR_HEADS}
    said = {
        f"{kind}.{name}": (str(p.range), p.most, p.default)
        for kind, known in limits.items()
        for name, p in known.items()
    }
    assert said == {
        "gem.p": ("(0, 100]", None, "3"),
        "gem.eps": ("(0, 1]", None, "1e-6"),
        "lse.r": ("(0, 1000]", None, "10"),
        "lp.p": ("[1, 100]", None, "2"),
        "rmac.levels": ("[1, 8]", None, "3"),
        "rmac.overlap": ("[0, 1)", None, "0.4"),
        "crow.a": ("(0, 100]", None, "2"),
        "crow.b": ("(0, 100]", None, "2"),
        "spoc.sigma": ("(0, 10000]", None, None),
        "spatial_pyramid.levels": ("[1, 32]", 8, "1x2x4"),
        "spatial_pyramid.pooling": ("None", None, "max"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_pool", "head 'max_pool' is not known or gives no vector; take one of global_avg, "),
        ("", "head '' is not known"),
        ("gem:q=1", 'no parameter "q"; gem takes p, eps;'),
        ("global_avg:p=1", 'no parameter "p"; global_avg takes no parameters of its own'),
        ("gem:p", '"p" needs a value'),
        ("gem:", "nothing follows the colon"),
        ("gem:p=0", r"p is 0.0; it must be within \(0, 100\]"),
        ("gem:p=100.1", r"p is 100.1; it must be within \(0, 100\]"),
        ("gem:p=nan", '"p" must be a number, not "nan"'),
        ("gem:p=many", '"p" must be a number, not "many"'),
        ("gem:p=1,p=2", '"p" is given twice'),
        ("lp:p=0.5", r"it must be within \[1, 100\]"),
        ("rmac:levels=9", r"it must be within \[1, 8\]"),
        ("rmac:levels=0", r"levels is 0; it must be within \[1, 8\]"),
        ("rmac:levels=2.5", '"levels" must be a whole number'),
        ("rmac:overlap=1", r"it must be within \[0, 1\)"),
        ("spatial_pyramid:levels=1x33", r"levels is 1x33; it must be within \[1, 32\]"),
        ("spatial_pyramid:levels=1x1x1x1x1x1x1x1x1", "it must be at most 8 numbers"),
        ("spatial_pyramid:pooling=sum", '"pooling" must be one of avg, max'),
        ("gem:encoding=int8", "encoding is for requests"),
        ("gem:projection=white", "projection is for requests"),
        ("gem:id=mine", "head_id is for requests"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ExportError, match=message):
        HeadSpec.parse(text)
