"""pixpool.bulk over boxes against the real server: the values of the Python client's own calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

# As far apart as one picture's vectors may be in batches of different sizes.
CLOSE = {"rtol": 2e-4, "atol": 2e-5}
HEADS = ["gem:l2", "global_max:layer=stage4,id=max"]
BOXES = [
    [[10, 20, 150, 160], [0, 0, 100.5, 90.25]],
    [],
    [{"left": 0.25, "top": 0, "right": 1, "bottom": 0.5, "relative": True, "region_id": "part"}],
]


@pytest.fixture
def pictures(photos) -> list[Path]:
    return [photos[name] for name in ("rocket.jpg", "cat.png", "coffee.png")]


def regions(pixpool, boxes: list) -> list:
    return [pixpool.Region(**box) if isinstance(box, dict) else box for box in boxes]


@pytest.fixture
def wanted(api, server, pictures):
    """wanted(options) gives the client's results for the boxes."""
    import pixpool

    def extract(**options):
        images = [
            pixpool.Image(path, regions=regions(pixpool, boxes))
            for path, boxes in zip(pictures, BOXES, strict=True)
        ]
        with pixpool.Client(server.target, timeout=60) as client:
            return client.extract(images, HEADS, **options)

    return extract


def check_row(row: dict, region) -> None:
    """A row of Parquet is of this result of the client's."""
    if hasattr(region, "box"):
        assert tuple(row[edge] for edge in ("left", "top", "right", "bottom")) == region.box
        assert (row["region_id"] or "") == region.region_id
    for head in ("gem", "max"):
        np.testing.assert_allclose(row[head], region[head].values, **CLOSE)
        assert row[f"{head}_space_id"] == region[head].space_id
    assert row["error"] is None


def test_json_lines_on_the_map(api, server, pictures, wanted, tmp_path):
    """Values, boxes and space ids are the client's, and one refused box fails its picture alone."""
    from pixpool import InputOptions, RegionOptions
    from pixpool.bulk import run

    parquet = pytest.importorskip("pyarrow.parquet")
    listed = [*zip(pictures, BOXES, strict=True), (pictures[1], [[0, 0, 5, 5], [9, 9, 99999, 10]])]
    rows = [json.dumps({"image": str(path), "boxes": boxes}) for path, boxes in listed]
    (tmp_path / "boxes.jsonl").write_text("\n".join(rows))
    options = {
        "input_options": InputOptions(crop="none"),
        "region_options": RegionOptions(output_size=5, sampling_ratio=2, aligned=False),
    }
    output = tmp_path / "f.parquet"
    summary = run(
        tmp_path / "boxes.jsonl",
        output,
        HEADS,
        target=server.target,
        box_column="boxes",
        progress=False,
        **options,
    )
    assert (summary.images, summary.failed) == (4, 1)
    assert (summary.regions, summary.without_regions) == (3, 1)
    got = parquet.read_table(output).to_pylist()
    first, _, third = wanted(**options)
    for row, region in zip((got[0], got[1], got[3]), (*first.regions, *third.regions), strict=True):
        check_row(row, region)
    assert [row["region"] for row in got] == [0, 1, None, 0, None]
    assert got[2]["gem"] is got[2]["error"] is None and got[2]["id"] == str(pictures[1])
    assert got[4]["error_reason"] == "REQUEST_INVALID"
    assert "right is 99999" in got[4]["error"] and "[regions[1].right]" in got[4]["error"]


def test_a_parquet_column_cut_out_with_the_pictures(api, server, pictures, wanted, tmp_path):
    from pixpool import RegionOptions
    from pixpool.bulk import run

    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    edges = [(edge, pa.float64()) for edge in ("left", "top", "right", "bottom")]
    box = pa.struct([*edges, ("relative", pa.bool_()), ("region_id", pa.string())])
    plain = ("left", "top", "right", "bottom")
    boxes = [
        [b if isinstance(b, dict) else dict(zip(plain, b, strict=True)) for b in row]
        for row in BOXES
    ]
    table = {
        "image": [path.read_bytes() for path in pictures],
        "found": pa.array(boxes, pa.list_(box)),
    }
    parquet.write_table(pa.table(table), tmp_path / "in.parquet")
    options = RegionOptions(mode="crop", include_image=True)
    run(
        tmp_path / "in.parquet",
        tmp_path / "f.parquet",
        HEADS,
        target=server.target,
        box_column="found",
        region_options=options,
        progress=False,
    )
    got = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert [(row["id"], row["region"]) for row in got] == [
        *(("0", region) for region in (None, 0, 1)),
        ("1", None),
        *(("2", region) for region in (None, 0)),
    ]
    results = [one for image in wanted(region_options=options) for one in (image, *image.regions)]
    for row, result in zip(got, results, strict=True):
        check_row(row, result)
