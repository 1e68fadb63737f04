"""pixpool.bulk against a server that follows a script: what is in the outputs, what a kill costs,
what is refused.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest

from killed_jobs import Killed, count_parts, killing, run_killing, slowly, work_of
from pixpool import InputOptions
from pixpool.bulk import BulkError
from pixpool.bulk.__main__ import main
from pixpool.bulk.report import Report, duration
from pixpool.v1 import feature_service_pb2 as pb
from scripted_server import DIMENSIONS, SHED, Failure, expected

BAD = Failure(grpc.StatusCode.INVALID_ARGUMENT, "not a picture", "IMAGE_UNDECODABLE", alone=True)
GONE = Failure(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING", pushback="-1")


def data(i: int) -> bytes:
    return bytes([i % 250 + 1]) * (i + 3)


def make_folder(folder: Path, count: int) -> list[str]:
    """Files of every extension in two folders; their paths in the order of the job."""
    names = []
    for i in range(count):
        name = f"{'ab'[i % 2]}/{i:04d}{('.jpg', '.PNG', '.webp')[i % 3]}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data(i))
        names.append(name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / ".git" / "a.jpg").write_bytes(b"x")
    return sorted(names)


def rows_of(names: list[str]) -> np.ndarray:
    return np.stack([expected(data(int(Path(name).stem))) for name in names])


def test_a_folder_becomes_an_npy_with_an_index(bulk, tmp_path):
    names = make_folder(tmp_path / "in", 37)
    job, script = bulk(
        lambda name, attempt: BAD if "0005" in name else SHED if attempt == 1 else None
    )
    summary = job(tmp_path / "in", tmp_path / "out" / "f.npy")
    assert (summary.images, summary.failed, summary.resumed) == (37, 1, 0)
    assert summary.space_ids == {"gem": "0" * 32} and summary.model == "scripted/1"
    good = [name for name in names if "0005" not in name]
    matrix = np.load(tmp_path / "out" / "f.npy")
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, rows_of(good))
    index = json.loads((tmp_path / "out" / "f.index.json").read_text())
    assert index["images"] == good and index["model"] == "scripted/1"
    assert [(f["path"], f["reason"]) for f in index["failed"]] == [
        ("b/0005.webp", "IMAGE_UNDECODABLE")
    ]
    assert index["failed"][0]["error"] == "INVALID_ARGUMENT (IMAGE_UNDECODABLE): not a picture"
    assert index["heads"][0]["space_id"] == "0" * 32 and index["heads"][0]["shape"] == [
        36,
        DIMENSIONS,
    ]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["f.index.json", "f.npy"]


@pytest.mark.parametrize("quiet", [False, True])
def test_what_images_say_of_the_options_is_said_once(bulk, tmp_path, capsys, quiet, serve):
    advice = "it is transparent (--background)"
    names = make_folder(tmp_path / "in", 37)
    server = serve(lambda name, attempt: None)
    server.script.warnings = dict.fromkeys(names[3:30], [advice, "it is damaged"])
    command = [str(tmp_path / "in"), "--output", str(tmp_path / "f.npy"), "--part-size", "8"]
    command += ["--target", server.target, *(["--quiet"] if quiet else [])]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert said.count(advice) == 1 and "damaged" not in said
    about = json.loads((tmp_path / "f.index.json").read_text())["about"]
    assert about["advice"] == [advice]


def test_a_resumed_job_knows_what_its_images_said(bulk, tmp_path):
    advice = "it is transparent (--background)"
    names = make_folder(tmp_path / "in", 37)
    gone = True
    job, script = bulk(lambda name, attempt: GONE if gone and name == names[-1] else None)
    script.warnings = {names[0]: [advice]}
    with pytest.raises(BulkError):
        job(tmp_path / "in", tmp_path / "f.npy", timeout=1)
    gone = False
    for _ in range(2):  # going on, and finding it done
        assert job(tmp_path / "in", tmp_path / "f.npy").advice == (advice,)


def test_a_list_becomes_parquet_with_a_row_an_image(bulk, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    make_folder(tmp_path / "in", 20)
    paths = [
        str(tmp_path / "in" / name)
        for name in ("b/0003.jpg", "nowhere.jpg", "a/0000.jpg", "b/0003.jpg")
    ]
    (tmp_path / "list.txt").write_text("\n".join(paths[:2]) + "\n\n" + "\r\n".join(paths[2:]))
    job, _ = bulk()
    summary = job(
        tmp_path / "list.txt", tmp_path / "f.parquet", ["gem", "global_max:id=max,encoding=float32"]
    )
    assert (summary.images, summary.failed) == (4, 1)
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == [
        "id",
        "gem",
        "gem_space_id",
        "max",
        "max_space_id",
        "error_code",
        "error_reason",
        "error",
    ]
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == paths
    for row, i in zip(rows, (3, None, 0, 3), strict=True):
        if i is None:
            assert row["gem"] is None and row["max"] is None and row["gem_space_id"] is None
            assert row["error_code"] == "NOT_FOUND" and "No such file" in row["error"]
        else:
            np.testing.assert_array_equal(row["gem"], expected(data(i)))
            assert row["max_space_id"] == "0" * 32 and row["error_code"] is row["error"] is None
    about = json.loads(table.schema.metadata[b"pixpool"])
    assert about["about"]["images"] == 4 and about["heads"][0]["shape"] == [DIMENSIONS]


@pytest.mark.parametrize("form", ["bytes", "struct", "path"])
def test_a_parquet_column_is_read(bulk, tmp_path, form):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    make_folder(tmp_path / "in", 30)
    values: list = [data(i) for i in range(30)]
    if form == "struct":
        values = [{"bytes": v, "path": None} for v in values]
    if form == "path":
        values = [str(next((tmp_path / "in").glob(f"*/{i:04d}*"))) for i in range(30)]
    values[4] = None
    (tmp_path / "set").mkdir()
    for name, part in (("1.parquet", slice(0, 17)), ("2.parquet", slice(17, 30))):
        table = pa.table({"image": values[part], "key": [f"k{i}" for i in range(30)][part]})
        parquet.write_table(table, tmp_path / "set" / name, row_group_size=5)
    job, _ = bulk()
    assert job(tmp_path / "set", tmp_path / "f.npy", id_column="key").failed == 1
    index = json.loads((tmp_path / "f.index.json").read_text())
    good = [i for i in range(30) if i != 4]
    assert index["images"] == [f"k{i}" for i in good] and index["failed"][0]["path"] == "k4"
    np.testing.assert_array_equal(
        np.load(tmp_path / "f.npy"), np.stack([expected(data(i)) for i in good])
    )
    job(tmp_path / "set" / "2.parquet", tmp_path / "g.parquet")
    assert parquet.read_table(tmp_path / "g.parquet")["id"].to_pylist() == [
        str(i) for i in range(13)
    ]


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_job_that_stopped_goes_on_without_loss_or_repetition(bulk, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    names = make_folder(tmp_path / "in", 50)
    broken = True
    job, script = bulk(lambda name, attempt: GONE if broken and name == names[29] else None)
    output = tmp_path / f"f.{suffix}"
    with pytest.raises(BulkError, match="the same command goes on"):
        job(tmp_path / "in", output)
    assert not output.exists()
    kept = len(list((tmp_path / f"f.{suffix}.work").glob("part-*.npz")))
    assert kept == 3  # of 8 images each; the fourth lacks its sixth
    (tmp_path / "in" / "a" / "9999.jpg").write_bytes(b"comes too late for this job")
    broken = False
    script.attempts.clear()
    summary = job(tmp_path / "in", output)
    assert (summary.images, summary.failed, summary.resumed) == (50, 0, 24)
    assert set(script.attempts) == set(names[24:])  # what was done is not sent again
    ids, matrix = read(output)
    assert ids == names
    np.testing.assert_array_equal(matrix, rows_of(names))
    assert not (tmp_path / f"f.{suffix}.work").exists()


def read(output: Path) -> tuple[list[str], np.ndarray]:
    if output.suffix == ".npy":
        index = json.loads(
            output.with_suffix("").with_name(output.stem + ".index.json").read_text()
        )
        return index["images"], np.load(output)
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(output).to_pylist()
    good = [row for row in rows if row["error_code"] is None]
    assert all(row["gem"] is None for row in rows if row["error_code"])
    return [row["id"] for row in good], np.array([row["gem"] for row in good], np.float32)


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_killed_at_any_moment_nothing_is_lost_or_doubled(serve, tmp_path, suffix):
    """SIGKILL again and again, at moments that differ, until a run gets through."""
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    names = make_folder(tmp_path / "in", 300)
    server = serve(slowly(lambda name, attempt: BAD if "0123" in name else None))
    output = tmp_path / f"f.{suffix}"
    arguments = [tmp_path / "in", "--head", "gem", "--target", server.target]
    kills, code = run_killing(arguments, output)
    assert code == 1 and kills >= 3  # 1: an image failed
    ids, matrix = read(output)
    assert ids == [name for name in names if "0123" not in name]
    np.testing.assert_array_equal(matrix, rows_of(ids))
    assert not work_of(output).exists()


@pytest.mark.parametrize("at", range(1, 12))
def test_a_kill_while_a_part_is_written(bulk, tmp_path, monkeypatch, at):
    """Every file is written, brought to disk, renamed, and its name brought to disk: a kill between
    any of these.
    """
    names = make_folder(tmp_path / "in", 40)
    job, script = bulk()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killing(os.fsync, at))
        with pytest.raises(Killed):
            job(tmp_path / "in", tmp_path / "f.npy")
    done = count_parts(work_of(tmp_path / "f.npy")) * 8
    script.attempts.clear()
    assert job(tmp_path / "in", tmp_path / "f.npy").resumed == done
    assert set(script.attempts) == set(names[done:])
    ids, matrix = read(tmp_path / "f.npy")
    assert ids == names
    np.testing.assert_array_equal(matrix, rows_of(names))


def test_a_kill_while_the_output_is_put_together(bulk, tmp_path, monkeypatch):
    """Before, between and after the renames and the removal of the work."""
    from pixpool.bulk import outputs, parts

    names = make_folder(tmp_path / "in", 20)
    job, script = bulk()
    for step, (owner, name, at) in enumerate(
        [
            (outputs, "publish", 1),
            (outputs, "publish", 2),
            (parts.Work, "mark_merged", 1),
            (parts.Work, "remove", 1),
            (Path, "unlink", 3),
            (parts.shutil, "rmtree", 1),
        ]
    ):
        output = tmp_path / f"{step}.npy"
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killing(getattr(owner, name), at))
            with pytest.raises(Killed):
                job(tmp_path / "in", output)
        script.attempts.clear()
        assert job(tmp_path / "in", output).images == 20
        assert not script.attempts  # all was done before the kill
        ids, matrix = read(output)
        assert ids == names and not (tmp_path / f"{step}.npy.work").exists()
        np.testing.assert_array_equal(matrix, rows_of(names))


def test_another_space_is_refused(bulk, tmp_path):
    names = make_folder(tmp_path / "in", 40)
    broken = True
    job, script = bulk(lambda name, attempt: GONE if broken and name == names[20] else None)
    with pytest.raises(BulkError):
        job(tmp_path / "in", tmp_path / "f.npy")
    broken = False
    script.space_id = "1" * 32
    parts = sorted((tmp_path / "f.npy.work").glob("part-*"))
    with pytest.raises(
        BulkError, match=f"of space {'1' * 32}, those in .*f.npy.work of {'0' * 32}"
    ):
        job(tmp_path / "in", tmp_path / "f.npy")
    assert (
        sorted((tmp_path / "f.npy.work").glob("part-*")) == parts
        and not (tmp_path / "f.npy").exists()
    )
    script.space_id = "0" * 32
    assert job(tmp_path / "in", tmp_path / "f.npy").images == 40


def test_a_space_that_changes_during_a_run_stops_it(bulk, tmp_path):
    names = make_folder(tmp_path / "in", 40)

    def act(name, attempt):
        if name == names[20]:
            script.space_id = "1" * 32

    job, script = bulk(act)
    with pytest.raises(BulkError, match="must not share a file"):
        job(tmp_path / "in", tmp_path / "f.npy")


@pytest.mark.parametrize("finished", [False, True])
def test_a_job_keeps_its_settings(bulk, tmp_path, finished):
    names = make_folder(tmp_path / "in", 40)
    stop = not finished
    job, script = bulk(lambda name, attempt: GONE if stop and name == names[20] else None)
    output = tmp_path / "f.npy"
    if finished:
        job(tmp_path / "in", output)
    else:
        with pytest.raises(BulkError, match="DRAINING"):
            job(tmp_path / "in", output)
    stop = False
    script.settle()
    script.attempts.clear()
    for change, word in (
        ({"heads": "gem:p=4"}, "heads was"),
        ({"model": "other"}, "model was"),
        ({"input_options": InputOptions(flip=True)}, "input_options was"),
        ({"source": tmp_path / "in" / "a"}, "source was"),
    ):
        if "source" in change and not finished:
            continue  # the listing of the job decides
        arguments = {"source": tmp_path / "in"} | change
        with pytest.raises(BulkError, match=f"of another job .*{word}.*name another output"):
            job(arguments.pop("source"), output, **arguments)
    assert not script.attempts
    if finished:
        assert job(tmp_path / "in", output).resumed == 40  # nothing to be done, and no server asked
        assert not script.attempts


@pytest.mark.parametrize(
    ("failure", "stops"),
    [
        (threading.Event(), True),  # an answer that comes too late
        (Failure(grpc.StatusCode.UNAVAILABLE, "full", "OVERLOADED", retry_after_s=0.1), True),
        (Failure(grpc.StatusCode.INTERNAL, "a proxy's"), True),
        (Failure(grpc.StatusCode.INTERNAL, "head", "INFERENCE_FAILED", alone=True), False),
        (Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large"), False),
    ],
)
def test_what_says_nothing_about_the_image_stops_the_job(bulk, tmp_path, failure, stops):
    names = make_folder(tmp_path / "in", 20)
    broken = True
    job, _ = bulk(lambda name, attempt: failure if broken and name == names[12] else None)
    if stops:
        with pytest.raises(BulkError, match="stopped: .*; the same command goes on"):
            job(tmp_path / "in", tmp_path / "f.npy", timeout=0.5)
        broken = False
    assert job(tmp_path / "in", tmp_path / "f.npy").failed == (0 if stops else 1)
    if isinstance(failure, threading.Event):
        failure.set()


def test_a_job_that_has_done_nothing_binds_nobody(bulk, tmp_path):
    make_folder(tmp_path / "in", 20)
    broken = True
    job, script = bulk(lambda name, attempt: GONE if broken else None)
    with pytest.raises(BulkError):
        job(tmp_path / "in", tmp_path / "f.npy")
    (tmp_path / "in" / "a" / "0100.jpg").write_bytes(data(100))
    broken = False
    assert job(tmp_path / "in", tmp_path / "f.npy", "gem:p=4").images == 21


def test_outputs_of_other_programs_are_not_overwritten(bulk, tmp_path):
    make_folder(tmp_path / "in", 3)
    job, _ = bulk()
    (tmp_path / "f.index.json").write_text('{"model": "x"}\n')
    with pytest.raises(BulkError, match="another program"):
        job(tmp_path / "in", tmp_path / "f.npy")
    np.save(tmp_path / "g.npy", np.zeros(3))
    with pytest.raises(BulkError, match="another program"):
        job(tmp_path / "in", tmp_path / "g.npy")
    assert np.load(tmp_path / "g.npy").shape == (3,)
    with pytest.raises(BulkError, match="must end in .npy or .parquet"):
        job(tmp_path / "in", tmp_path / "f.csv")
    with pytest.raises(BulkError, match="no pictures"):
        (tmp_path / "none").mkdir()
        job(tmp_path / "none", tmp_path / "h.npy")
    assert not (tmp_path / "h.npy.work").exists()
    with pytest.raises(BulkError, match="cannot read"):
        job(tmp_path / "nowhere", tmp_path / "h.npy")


def test_two_runs_do_not_work_on_one_output(bulk, tmp_path):
    make_folder(tmp_path / "in", 3)
    job, _ = bulk()
    seen = []

    def second(name, attempt):
        try:
            job(tmp_path / "in", tmp_path / "f.npy")
        except BulkError as error:
            seen.append(str(error))

    first, _ = bulk(second)
    first(tmp_path / "in", tmp_path / "f.npy")
    assert len(seen) == 3 and all("another run is at work" in text for text in seen)


def test_command_line(serve, tmp_path, capsys, monkeypatch):
    make_folder(tmp_path / "in", 4)
    server = serve(lambda name, attempt: BAD if "0001" in name else None)
    arguments = [
        str(tmp_path / "in"),
        "--output",
        str(tmp_path / "f.npy"),
        "--target",
        server.target,
    ]
    assert (
        main(
            [
                *arguments,
                "--quiet",
                "--head",
                "gem:p=2",
                "--input-size",
                "64x96",
                "--scales",
                "1,0.5",
                "--decode",
                "scaled",
                "--damaged",
                "refuse",
                "--background",
                "255,0,128",
            ]
        )
        == 1
    )
    out, err = capsys.readouterr()
    assert f"4 images, 1 failed; gem {'0' * 32}" in out and not err
    request = server.script.requests[0]
    assert request.heads[0].gem.p == 2 and request.input_options.input_width_px == 96
    assert list(request.input_options.scales) == [1, 0.5]
    assert request.input_options.decode == pb.DECODE_MODE_SCALED
    assert request.input_options.damaged == pb.DAMAGED_MODE_REFUSE
    color = request.input_options.background
    assert (color.red, color.green, color.blue) == (255, 0, 128)
    assert request.priority == pb.PRIORITY_BULK
    assert main([*arguments, "--head", "nope"]) == 2
    assert 'no kind "nope"' in capsys.readouterr().err
    gone = [*arguments[:2], str(tmp_path / "g.npy"), "--target", "127.0.0.1:1", "--timeout", "0.5"]
    assert main(gone) == 3
    assert "when a server answers at 127.0.0.1:1" in capsys.readouterr().err
    monkeypatch.setenv("PIXPOOL_TARGET", server.target)
    server.script.requests.clear()
    assert main([*gone[:3], "--quiet", "--priority", "interactive"]) == 1
    assert {r.priority for r in server.script.requests} == {pb.PRIORITY_INTERACTIVE}


def test_progress_says_rate_and_time_left():
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    now = 100.0
    out = Terminal()
    report = Report(out, 10_000, 1_000, 2, clock=lambda: now)
    for _ in range(500):
        now += 0.01
        report.add(False)
    assert report.line() == "1,500 of 10,000 images (15.0 %), 100/s, 85 s left, 2 failed"
    assert "1,500 of 10,000" in out.text
    # The rate is that of the last minute.
    for _ in range(700):
        now += 1
        report.add(True)
    assert ", 1/s, 130 min left, 702 failed" in report.line().replace("2 h 10 min", "130 min")
    assert [duration(s) for s in (5, 89.6, 600, 12_000, 187_000)] == [
        "5 s",
        "90 s",
        "10 min",
        "3 h 20 min",
        "2 d 3 h",
    ]
