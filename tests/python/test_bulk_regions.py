"""Regions in pixpool.bulk: where boxes come from, which row is whose, what fails alone, kills."""

from __future__ import annotations

import json
import os
from pathlib import Path

import grpc
import numpy as np
import pytest

from killed_jobs import Killed, count_parts, killing, run_killing, slowly, work_of
from pixpool import Region, RegionOptions
from pixpool.bulk import BulkError
from pixpool.bulk.__main__ import main
from pixpool.v1 import feature_service_pb2 as pb
from scripted_server import HEIGHT, WIDTH, Failure, expected, expected_of_region

BAD = Failure(grpc.StatusCode.INVALID_ARGUMENT, "not a picture", "IMAGE_UNDECODABLE", alone=True)
GONE = Failure(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING", pushback="-1")
EDGES = ("left", "top", "right", "bottom")


def data(i: int) -> bytes:
    return bytes([i % 250 + 1]) * (i + 3)


def boxes_of(i: int) -> list[tuple[float, ...]]:
    """None for every fifth image, and up to three."""
    return [(r, i % 7, r + 2.5, 20 + i % 11) for r in range((0, 1, 2, 3, 1)[i % 5])]


def write_pictures(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04d}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(data(i))
    return paths


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_listing(folder: Path, count: int) -> tuple[Path, list[str]]:
    """A listing of pictures with their boxes, and the ids of the pictures."""
    paths = write_pictures(folder / "in", count)
    rows = [{"image": str(path), "boxes": boxes_of(i)} for i, path in enumerate(paths)]
    return write_lines(folder / "boxes.jsonl", rows), [str(path) for path in paths]


def read_parquet(path: Path) -> list[dict]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pylist()


def read_npy(path: Path) -> tuple[np.ndarray, dict]:
    index = path.with_name(path.stem + ".index.json")
    return np.load(path), json.loads(index.read_text())


# -- rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["lists", "structs", "arrays"])
def test_a_column_of_boxes_gives_a_row_a_box(bulk, tmp_path, form):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    boxes: list = [[list(box) for box in boxes_of(i)] for i in range(30)]
    kind = pa.list_(pa.list_(pa.float32()))
    if form == "arrays":
        kind = pa.large_list(pa.list_(pa.float64(), 4))
    if form == "structs":
        fields = [*((edge, pa.float64()) for edge in EDGES), ("region_id", pa.string())]
        kind = pa.list_(pa.struct([*fields, ("score", pa.float32())]))
        for i, row in enumerate(boxes):
            boxes[i] = [
                dict(zip(EDGES, box, strict=True), region_id=f"{i}/{r}" if r else None, score=0.5)
                for r, box in enumerate(row)
            ]
    boxes[5] = None  # as good as an empty list
    table = pa.table(
        {
            "image": [data(i) for i in range(30)],
            "key": [f"k{i}" for i in range(30)],
            "found": pa.array(boxes, kind),
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=7)
    job, script = bulk(lambda name, attempt: BAD if name == "k7" else None)
    heads = ["gem", "global_max:id=max"]
    summary = job(
        tmp_path / "in.parquet", tmp_path / "f.parquet", heads, id_column="key", box_column="found"
    )
    assert (summary.images, summary.failed) == (30, 1)
    assert summary.regions == sum(len(boxes_of(i)) for i in range(30) if i != 7)
    assert summary.without_regions == 6
    assert "k0" not in script.attempts and len(script.attempts) == 24  # nothing is asked of k0

    rows = read_parquet(tmp_path / "f.parquet")
    columns = ["id", "region", "region_id", *EDGES, "gem", "gem_space_id", "max", "max_space_id"]
    assert list(rows[0]) == [*columns, "error_code", "error_reason", "error"]
    wanted = [(i, r) for i in range(30) for r in range(len(boxes_of(i)) if i != 7 else 0) or [None]]
    assert [(row["id"], row["region"]) for row in rows] == [(f"k{i}", r) for i, r in wanted]
    for row, (i, r) in zip(rows, wanted, strict=True):
        failed = ("INVALID_ARGUMENT", "IMAGE_UNDECODABLE") if i == 7 else (None, None)
        assert (row["error_code"], row["error_reason"]) == failed
        if r is None:
            assert row["gem"] is row["max"] is row["gem_space_id"] is row["region_id"] is None
            assert all(row[edge] is None for edge in EDGES)
            continue
        box = boxes_of(i)[r]
        assert tuple(row[edge] for edge in EDGES) == box
        np.testing.assert_array_equal(row["gem"], expected_of_region(data(i), box))
        np.testing.assert_array_equal(row["max"], row["gem"])
        assert row["gem_space_id"] == "0" * 32
        assert row["region_id"] == (f"{i}/{r}" if form == "structs" and r else None)


def test_a_listing_in_json_lines_gives_a_row_a_box(bulk, tmp_path, monkeypatch):
    write_pictures(tmp_path / "in", 4)
    names = [f"in/000{i}.jpg" for i in range(4)]
    half = {"left": 0.5, "top": 0, "right": 1, "bottom": 1, "relative": True, "region_id": 17}
    write_lines(
        tmp_path / "found.jsonl",
        [
            {"file": names[0], "boxes": [[1, 2, 3.5, 4], half]},
            {"file": names[1]},
            {"file": names[2], "boxes": []},
            {"file": names[3], "boxes": [{**half, "relative": None, "score": 0.9, "left": 0}]},
            {"file": "nowhere.jpg", "boxes": [[1, 2, 3, 4]]},
        ],
    )
    monkeypatch.chdir(tmp_path)  # from where relative paths are, as in lists
    job, script = bulk()
    summary = job("found.jsonl", "f.npy", column="file", box_column="boxes")
    assert (summary.images, summary.failed, summary.regions) == (5, 1, 3)
    assert summary.without_regions == 2
    matrix, index = read_npy(tmp_path / "f.npy")
    boxes = [[1, 2, 3.5, 4], [WIDTH / 2, 0, WIDTH, HEIGHT], [0, 0, 1, 1]]
    assert index["images"] == [names[0], names[0], names[3]]
    assert index["boxes"] == boxes and index["region_ids"] == ["", "17", "17"]
    assert index["heads"][0]["shape"] == [3, 6]
    owners = (0, 0, 3)
    wanted = [expected_of_region(data(i), box) for i, box in zip(owners, boxes, strict=True)]
    np.testing.assert_array_equal(matrix, np.stack(wanted))
    assert [(f["path"], f["code"]) for f in index["failed"]] == [("nowhere.jpg", "NOT_FOUND")]
    assert set(script.attempts) == {names[0], names[3]}


def test_ids_may_hold_what_json_can(bulk, tmp_path):
    (path,) = write_pictures(tmp_path / "in", 1)
    row = {"image": str(path), "boxes": [[1, 2, 3, 4]], "id": "half a pair: \ud800"}
    job, _ = bulk()
    for output in (tmp_path / "f.npy", tmp_path / "f.parquet"):
        source = write_lines(tmp_path / "b.jsonl", [row])
        assert job(source, output, id_column="id", box_column="boxes").failed == 0
    assert read_npy(tmp_path / "f.npy")[1]["images"] == [row["id"]]
    assert read_parquet(tmp_path / "f.parquet")[0]["id"].startswith("half a pair: \ufffd")


def test_a_listing_without_boxes_is_one_of_pictures(bulk, tmp_path):
    (first, second) = write_pictures(tmp_path / "in", 2)
    rows = [{"image": str(first), "n": 1}, {"image": str(second), "n": 2}]
    source = write_lines(tmp_path / "a.ndjson", rows)
    job, _ = bulk()
    assert job(source, tmp_path / "f.npy", id_column="n").regions == 0
    matrix, index = read_npy(tmp_path / "f.npy")
    assert index["images"] == ["1", "2"] and "boxes" not in index
    np.testing.assert_array_equal(matrix, np.stack([expected(data(0)), expected(data(1))]))


def test_boxes_of_all_are_those_of_images_that_bring_none(bulk, tmp_path):
    source, names = write_listing(tmp_path, 5)
    job, _ = bulk()
    everywhere = [(0, 0, 9, 9), Region(0, 0, 1, 1, "all", relative=True)]
    summary = job(source, tmp_path / "f.npy", box_column="boxes", regions=everywhere)
    assert (summary.regions, summary.without_regions) == (9, 0)
    _, index = read_npy(tmp_path / "f.npy")
    assert index["boxes"][:2] == [[0, 0, 9, 9], [0, 0, WIDTH, HEIGHT]]
    assert index["images"][:3] == [names[0], names[0], names[1]]
    assert index["region_ids"][:3] == ["", "all", ""]
    # A folder's pictures have them as well.
    assert job(tmp_path / "in", tmp_path / "g.npy", regions=everywhere).regions == 10


def test_pictures_come_before_their_regions_where_they_are_asked_for(bulk, tmp_path):
    source, names = write_listing(tmp_path, 3)
    job, script = bulk()
    options = RegionOptions(mode="crop", include_image=True)
    job(source, tmp_path / "f.parquet", box_column="boxes", region_options=options)
    rows = read_parquet(tmp_path / "f.parquet")
    wanted = [(0, None), (1, None), (1, 0), (2, None), (2, 0), (2, 1)]
    assert [(row["id"], row["region"]) for row in rows] == [(names[i], r) for i, r in wanted]
    for row, (i, r) in zip(rows, wanted, strict=True):
        vector = expected(data(i)) if r is None else expected_of_region(data(i), boxes_of(i)[r])
        np.testing.assert_array_equal(row["gem"], vector)
        assert (row["left"] is None) == (r is None)
    summary = job(source, tmp_path / "f.npy", box_column="boxes", region_options=options)
    assert (summary.images, summary.regions, summary.without_regions) == (3, 3, 1)
    assert [box is None for box in read_npy(tmp_path / "f.npy")[1]["boxes"]] == [
        r is None for _, r in wanted
    ]
    assert script.requests[0].region_options.include_image


def test_the_flags_become_options(serve, tmp_path, capsys):
    source, _ = write_listing(tmp_path, 6)
    server = serve()
    command = [str(source), "--target", server.target, "--quiet", "--head", "gem"]
    flags = ["--box-column", "boxes", "--box", "0%,10%,50%,100%", "--box", "1,2,3.5,4"]
    flags += ["--box-mode", "map", "--box-pooling", "roi_align", "--box-size", "3x5"]
    flags += ["--box-sampling-ratio", "2", "--box-unaligned"]
    assert main([*command, "--output", str(tmp_path / "f.npy"), *flags]) == 0
    assert "6 images, 0 failed, 11 regions, 0 images without; gem" in capsys.readouterr().out
    by_name = {Path(request.images[0].image_id).name: request for request in server.script.requests}
    first = by_name["0000.jpg"]
    assert list(first.images[0].regions) == [
        pb.Region(left=0, top=0.1, right=0.5, bottom=1, relative=True),
        pb.Region(left=1, top=2, right=3.5, bottom=4),
    ]
    assert first.region_options == pb.RegionOptions(
        mode=pb.REGION_MODE_MAP,
        pooling=pb.REGION_POOLING_ROI_ALIGN,
        output_size=[3, 5],
        sampling_ratio=2,
        aligned=False,
    )
    server.script.requests.clear()
    flags = ["--box", "1,2,3,4", "--box-mode", "crop", "--with-picture"]
    assert main([*command, "--output", str(tmp_path / "g.npy"), *flags]) == 0
    assert {str(r.region_options) for r in server.script.requests} == {
        str(pb.RegionOptions(mode=pb.REGION_MODE_CROP, include_image=True))
    }


# -- what is refused, and what fails alone -------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], r"regions\[0\]: .*four edges, left, top, right and bottom, not 3"),
        ([[1, 2, 3, 4], [1, 2, 3, None]], r"regions\[1\]: .*must be numbers"),
        ([1, 2, 3, 4], "must be a list of boxes, each .*; they are .1, 2, 3, 4"),
        ([[1, 2, 3, 10**400]], r"regions\[0\]: .*too large"),
        ([{"left": 0, "top": 0, "right": 1, "bottom": 1, "region_id": "\ud800"}], "regions.0.: "),
        ({"left": 1}, "must be a list of boxes"),
        ("1,2,3,4", "must be a list of boxes"),
        (["1234"], r"regions\[0\]: .*not str"),
        ([{"x": 1, "y": 2, "w": 3, "h": 4}], "no left, top, right, bottom; the box has x, y, w, h"),
        (
            [{"left": 0, "top": 0, "right": 1, "bottom": 1, "relative": "yes"}],
            "relative must be true or false, not 'yes'",
        ),
    ],
)
def test_what_is_no_box_fails_its_image_alone(bulk, tmp_path, boxes, message):
    first, second = write_pictures(tmp_path / "in", 2)
    rows = [{"image": str(first), "b": boxes}, {"image": str(second), "b": [[1, 2, 3, 4]]}]
    job, script = bulk()
    summary = job(write_lines(tmp_path / "b.jsonl", rows), tmp_path / "f.npy", box_column="b")
    assert (summary.failed, summary.regions, summary.without_regions) == (1, 1, 0)
    (failed,) = read_npy(tmp_path / "f.npy")[1]["failed"]
    assert failed["path"] == str(first) and failed["code"] == "INVALID_ARGUMENT"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(failed["error"])
    assert set(script.attempts) == {str(second)}


def test_the_error_of_an_image_names_the_region_that_the_server_refused(bulk, tmp_path):
    source, names = write_listing(tmp_path, 3)
    refused = Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "right is 99; the picture is 40 x 30 pixels",
        "REQUEST_INVALID",
        fields=(("images[0].regions[1].right", "right is 99"),),
        alone=True,
    )
    job, _ = bulk(lambda name, attempt: refused if name == names[2] else None)
    job(source, tmp_path / "f.parquet", box_column="boxes")
    row = read_parquet(tmp_path / "f.parquet")[-1]
    assert row["id"] == names[2] and row["region"] is None
    assert row["error"] == "right is 99; the picture is 40 x 30 pixels [regions[1].right]"


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ('{"image": "a.jpg"}\n', {}, r"b\.jsonl: no line has the key boxes"),
        ('{"image": "a.jpg", "boxes": []}\nno', {}, r"b\.jsonl, image 2: no JSON: "),
        ('{"boxes": []}\n', {}, "image 1: no key image; it has boxes"),
        ('{"image": 1, "boxes": []}\n', {}, "image 1: image is not the path of a picture"),
        ("[1]\n", {}, r"image 1: no JSON object, but \[1\]"),
        ('{"image": "a", "boxes": []}\n', {"id_column": "n"}, "image 1: no key n; it has image"),
        ("\n", {}, "no paths in"),
    ],
)
def test_a_listing_that_is_none_is_refused_at_once(bulk, tmp_path, lines, options, message):
    (tmp_path / "b.jsonl").write_text(lines)
    job, _ = bulk()
    with pytest.raises(BulkError, match=message):
        job(tmp_path / "b.jsonl", tmp_path / "f.npy", box_column="boxes", **options)
    assert not work_of(tmp_path / "f.npy").exists()


def test_a_column_that_cannot_hold_boxes_is_refused_at_once(bulk, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "flat": pa.array([[1.0, 2.0, 3.0, 4.0]], pa.list_(pa.float64())),
        "other": pa.array([[{"x": 1, "y": 2}]]),
        "text": pa.array(["1,2,3,4"]),
        "nothing": pa.array([None], pa.null()),
        "empty": pa.array([[]], pa.list_(pa.null())),
    }
    parquet.write_table(pa.table({"image": [b"a"], **columns}), tmp_path / "in.parquet")
    job, _ = bulk()
    for name, kind in (("flat", "list<.*double>"), ("other", "list<.*struct<"), ("text", "string")):
        with pytest.raises(BulkError, match=rf"column {name} is {kind}.*; wanted is a list of box"):
            job(tmp_path / "in.parquet", tmp_path / "f.npy", box_column=name)
    with pytest.raises(BulkError, match="no column nope; it has image, flat"):
        job(tmp_path / "in.parquet", tmp_path / "f.npy", box_column="nope")
    for name in ("nothing", "empty"):
        assert job(tmp_path / "in.parquet", tmp_path / f"{name}.npy", box_column=name).failed == 0
    write_pictures(tmp_path / "photos", 2)
    with pytest.raises(
        BulkError, match=r"no rows .*; pictures with boxes are listed in one, or in"
    ):
        job(tmp_path / "photos", tmp_path / "f.npy", box_column="boxes")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--box-mode", "crop"], "region options say what becomes of regions; name some"),
        (["--with-picture", "--box", "1,2,3,4"], "another vector space than regions"),
        (["--box", "1,2,3"], "must be left,top,right,bottom, such as"),
        (["--box", "1%,2,3,4"], "must be left,top,right,bottom, such as"),
        (["--box", "1,2,nan,4"], "must be left,top,right,bottom, such as"),
        (["--box", "1,2,3,4", "--box-mode", "roi"], "invalid choice"),
        (["--box", "1,2,3,4", "--box-size", "x"], "invalid size value"),
    ],
)
def test_flags_that_say_nothing_are_refused(tmp_path, capsys, flags, message):
    write_pictures(tmp_path / "in", 1)
    command = [str(tmp_path / "in"), "--output", str(tmp_path / "f.npy"), "--target", "127.0.0.1:1"]
    try:
        code = main([*command, *flags])
    except SystemExit as ended:  # as argparse ends
        code = ended.code
    assert code == 2 and message in capsys.readouterr().err


def test_a_server_that_knows_no_regions_is_found_out(bulk, tmp_path):
    source, _ = write_listing(tmp_path, 3)
    job, script = bulk()
    script.knows_regions = False
    with pytest.raises(BulkError, match="in place of their regions.*Run a newer one"):
        job(source, tmp_path / "f.npy", box_column="boxes")


def test_head_ids_that_are_columns_of_regions_are_refused(bulk, tmp_path):
    pytest.importorskip("pyarrow")
    source, _ = write_listing(tmp_path, 3)
    job, _ = bulk()
    with pytest.raises(BulkError, match="must differ from .*region, region_id, left"):
        job(source, tmp_path / "f.parquet", "gem:id=left", box_column="boxes")
    assert job(tmp_path / "in", tmp_path / "g.parquet", "gem:id=left").failed == 0


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_job_without_any_region_ends_well(serve, tmp_path, capsys, suffix):
    paths = write_pictures(tmp_path / "in", 3)
    source = write_lines(
        tmp_path / "b.jsonl", [{"image": str(path), "boxes": []} for path in paths]
    )
    server = serve()
    output = tmp_path / f"f.{suffix}"
    command = [str(source), "--output", str(output), "--target", server.target, "--quiet"]
    for _ in range(2):  # done, and found done
        assert main([*command, "--box-column", "boxes"]) == 0
        out = capsys.readouterr().out
        if suffix == "npy":
            assert "all 3 images failed (0) or have no regions" in out and not output.exists()
        else:
            assert "3 images, 0 failed, 0 regions, 3 images without" in out
    assert not server.script.requests
    if suffix == "parquet":
        assert [row["global_avg"] for row in read_parquet(output)] == [None] * 3


def test_a_job_keeps_its_regions(bulk, tmp_path):
    source, names = write_listing(tmp_path, 20)
    broken = True
    job, _ = bulk(lambda name, attempt: GONE if broken and name == names[12] else None)
    options = {"box_column": "boxes", "region_options": RegionOptions(output_size=3)}
    with pytest.raises(BulkError, match="the same command goes on"):
        job(source, tmp_path / "f.npy", **options)
    broken = False
    for finished in (False, True):
        for change in (
            {"region_options": None},
            {"regions": [(1, 2, 3, 4)]},
            {"region_options": RegionOptions(output_size=4)},
        ):
            with pytest.raises(BulkError, match=r"of another job \(regions was"):
                job(source, tmp_path / "f.npy", **(options | change))
        with pytest.raises(BulkError, match=r"of another job \(source was.*regions was"):
            job(source, tmp_path / "f.npy")
        if not finished:
            assert job(source, tmp_path / "f.npy", **options).resumed == 8
    write_lines(source, [{"image": names[0], "boxes": [[1, 2, 3, 5]]}])
    with pytest.raises(BulkError, match=r"of another job \(source was"):
        job(source, tmp_path / "f.npy", **options)


# -- kills -------------------------------------------------------------------------------------


def check_all(output: Path, names: list[str], failed: str = "") -> None:
    """The output holds every region of the listing once, in order."""
    wanted = [
        (name, r, box)
        for i, name in enumerate(names)
        for r, box in enumerate(boxes_of(i))
        if name != failed
    ]
    if output.suffix == ".npy":
        matrix, index = read_npy(output)
        assert index["images"] == [name for name, _, _ in wanted]
        assert [tuple(box) for box in index["boxes"]] == [box for _, _, box in wanted]
    else:
        table = read_parquet(output)
        assert {row["id"] for row in table} == set(names)  # an image of no region has a row, too
        rows = [row for row in table if row["gem"] is not None]
        assert [(row["id"], row["region"]) for row in rows] == [(n, r) for n, r, _ in wanted]
        matrix = np.array([row["gem"] for row in rows], np.float32)
    at = {name: i for i, name in enumerate(names)}
    vectors = [expected_of_region(data(at[name]), box) for name, _, box in wanted]
    np.testing.assert_array_equal(matrix, np.stack(vectors))


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_killed_at_any_moment_no_region_is_lost_or_doubled(serve, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    source, names = write_listing(tmp_path, 200)
    server = serve(slowly(lambda name, attempt: BAD if name == names[123] else None))
    output = tmp_path / f"f.{suffix}"
    arguments = [source, "--box-column", "boxes", "--head", "gem", "--target", server.target]
    kills, code = run_killing(arguments, output)
    assert code == 1 and kills >= 2  # 1: an image failed
    check_all(output, names, names[123])
    assert not work_of(output).exists()


@pytest.mark.parametrize("at", range(1, 12, 2))
def test_a_kill_while_a_part_is_written(bulk, tmp_path, monkeypatch, at):
    source, names = write_listing(tmp_path, 40)
    job, script = bulk()
    output = tmp_path / "f.parquet"
    pytest.importorskip("pyarrow")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killing(os.fsync, at))
        with pytest.raises(Killed):
            job(source, output, box_column="boxes")
    done = count_parts(work_of(output)) * 8
    script.attempts.clear()
    assert job(source, output, box_column="boxes").resumed == done
    assert set(script.attempts) == {name for i, name in enumerate(names) if i >= done and i % 5}
    check_all(output, names)
