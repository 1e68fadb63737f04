"""What goes wrong with a job's source and output, and how the command ends for it."""

from __future__ import annotations

import codecs
import json
import os
import re
from pathlib import Path

import grpc
import numpy as np
import pytest

from pixpool.bulk import BulkError, run
from pixpool.bulk.__main__ import main
from pixpool.bulk.errors import EXIT_CODE_HELP, ExitCode, exit_code_for
from scripted_server import SHED, Failure, expected
from small_disk import files_of_at_most, small_disk

ROOT = Path(__file__).resolve().parents[2]
BAD = Failure(grpc.StatusCode.INVALID_ARGUMENT, "not a picture", "IMAGE_UNDECODABLE", alone=True)
JPEG = b"\xff\xd8\xff\xe0 a picture "


def pictures(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{i:03d}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(JPEG + bytes([i]))
    return paths


@pytest.fixture
def command(serve, capsys):
    """command(arguments, act) gives exit code, output and error output."""

    def call(*arguments, act=lambda name, attempt: None, target=None, timeout=20):
        target = target or serve(act).target
        options = ["--target", target, "--head", "gem", "--timeout", timeout, "--quiet"]
        options += ["--part-size", "4", "--concurrency", "2"]
        try:
            code = main([str(a) for a in [*arguments, *options]])
        except SystemExit as ended:  # as argparse ends
            code = ended.code
        return code, *capsys.readouterr()

    return call


# -- lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.replace("\n", "\r\n").encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-16-le", "utf-16-be"],
)
def test_a_list_with_a_byte_order_mark(bulk, tmp_path, encode):
    paths = pictures(tmp_path / "b\u00fccher", 3)
    (tmp_path / "list.txt").write_bytes(encode("\n".join(map(str, paths)) + "\n"))
    job, _ = bulk()
    assert job(tmp_path / "list.txt", tmp_path / "f.npy").failed == 0
    assert json.loads((tmp_path / "f.index.json").read_text())["images"] == list(map(str, paths))


def test_rules_of_folders_are_not_ignored_for_lists(command, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(map(str, pictures(tmp_path / "in", 3))))
    for option in (["--exclude", "x"], ["--follow-links"]):
        code, _, err = command(tmp_path / "list.txt", "--output", tmp_path / "f.npy", *option)
        assert code == 2 and "exclude and follow_links are for folders" in err


def test_what_is_no_file_fails_by_itself_and_at_once(command, tmp_path):
    paths = pictures(tmp_path / "in", 3)
    os.mkfifo(tmp_path / "fifo.jpg")
    others = [tmp_path / "fifo.jpg", Path("/dev/zero"), tmp_path, tmp_path / "gone.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(map(str, [*others, *paths])))
    code, out, _ = command(tmp_path / "list.txt", "--output", tmp_path / "f.npy")
    assert code == 1 and "7 images, 4 failed" in out
    failed = json.loads((tmp_path / "f.index.json").read_text())["failed"]
    assert [f["code"] for f in failed] == ["INVALID_ARGUMENT"] * 3 + ["NOT_FOUND"]
    for entry, part in zip(failed, ["is a FIFO, not", "is a device, not", "Is a d"], strict=False):
        assert part in entry["error"]


@pytest.mark.parametrize("output", ["f.npy", "f.parquet"])
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.mkdir(), r"no pictures \(\.jpg "),
        (lambda path: (path.mkdir(), (path / "a.mp4").touch()), r"below .*\. left out: \.mp4 1"),
        (lambda path: path.touch(), "no paths in"),
        (lambda path: path.write_text("\n\r\n\n"), "no paths in"),
        (lambda path: os.mkfifo(path), "it is a FIFO, not a file"),
        (lambda path: path.write_bytes(JPEG), "it is a picture, not a list"),
        (lambda path: None, "No such file"),
    ],
    ids=["folder", "other", "empty", "blank", "fifo", "picture", "nowhere"],
)
def test_a_job_without_images_says_so(command, tmp_path, make, text, output):
    make(tmp_path / "in")
    code, out, err = command(tmp_path / "in", "--output", tmp_path / output)
    assert code == 2 and re.search(text, err) and not out
    assert not (tmp_path / f"{output}.work").exists() and not (tmp_path / output).exists()


# -- Parquet -----------------------------------------------------------------------------------


def table(count: int, first: int = 0):
    pa = pytest.importorskip("pyarrow")
    rows = range(first, first + count)
    return pa.table({"image": [JPEG + bytes([i]) for i in rows], "key": [f"k{i}" for i in rows]})


def write_parquet(path: Path, count: int, first: int = 0) -> None:
    import pyarrow.parquet as parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table(count, first), path)


def test_results_beside_the_pictures_do_not_change_the_source(bulk, tmp_path):
    pytest.importorskip("pyarrow")
    pictures(tmp_path / "in", 5)
    job, _ = bulk()
    for _ in range(2):  # begun, and done
        summary = job(tmp_path / "in", tmp_path / "in" / "f.parquet")
        assert summary.images == 5 and summary.failed == 0
    assert job(tmp_path / "in", tmp_path / "in" / "g.npy").left_out == {".parquet": 1}
    # Nor others' tables beside pictures, unless they are asked for.
    write_parquet(tmp_path / "in" / "table.parquet", 3)
    assert job(tmp_path / "in", tmp_path / "h.npy").images == 5
    asked = job(tmp_path / "in", tmp_path / "i.npy", column="image")
    assert asked.images == 3 and asked.left_out["results of pixpool"] == 1


def test_a_folder_of_results_alone_is_no_source(bulk, tmp_path):
    pytest.importorskip("pyarrow")
    pictures(tmp_path / "in", 2)
    job, _ = bulk()
    job(tmp_path / "in", tmp_path / "out" / "f.parquet")
    with pytest.raises(BulkError, match="no rows in the Parquet files of .*results of pixpool 1"):
        job(tmp_path / "out", tmp_path / "g.npy")


def test_a_parquet_folder_keeps_its_rows_when_the_results_are_in_it(bulk, tmp_path):
    pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "set" / "1.parquet", 6)
    job, script = bulk()
    for _ in range(2):
        assert job(tmp_path / "set", tmp_path / "set" / "0.parquet").images == 6
    assert len(script.requests) == 6


def test_partitioned_parquet_is_read_by_path(bulk, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    labels = pa.array(["cat", "dog", "a cat", "dog", "cat"])
    rows = table(5).append_column("label", labels)
    parquet.write_to_dataset(rows, tmp_path / "set", partition_cols=["label"])
    write_parquet(tmp_path / "set" / "_metadata.parquet", 1, 90)  # of other programs
    write_parquet(tmp_path / "set" / ".hidden" / "1.parquet", 1, 91)
    job, _ = bulk()
    assert job(tmp_path / "set", tmp_path / "f.parquet", id_column="key").failed == 0
    got = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert [row["id"] for row in got] == ["k2", "k0", "k4", "k1", "k3"]
    for row in got:
        np.testing.assert_array_equal(row["gem"], expected(JPEG + bytes([int(row["id"][1:])])))
    job(tmp_path / "set", tmp_path / "g.parquet", id_column="label")
    got = parquet.read_table(tmp_path / "g.parquet")["id"].to_pylist()
    assert got == ["a cat", "cat", "cat", "dog", "dog"]
    with pytest.raises(BulkError, match="no column nope; it has image, key, label"):
        job(tmp_path / "set", tmp_path / "h.parquet", id_column="nope")


@pytest.mark.parametrize(
    "heads",
    [None, ["gem", "gem"], ["gem:encoding=float16", "global_max:id=max,encoding=binary"]],
    ids=["default", "twice", "encodings"],
)
def test_a_parquet_file_of_failures_has_the_columns_of_any(bulk, tmp_path, heads):
    parquet = pytest.importorskip("pyarrow.parquet")
    pictures(tmp_path / "in", 6)
    encoded = heads is not None and "encoding" in heads[0]
    names = {None: ["global_avg"]}.get(heads, None) if heads is None else None
    names = names or (["gem", "max"] if encoded else ["gem", "gem_2"])
    job, _ = bulk(lambda name, attempt: BAD)
    summary = job(tmp_path / "in", tmp_path / "bad.parquet", heads)
    assert summary.failed == 6 and summary.files == (tmp_path / "bad.parquet",)
    bad = parquet.read_table(tmp_path / "bad.parquet")
    others = ["error_code", "error_reason", "error"]
    assert bad.column_names == ["id", *(c for n in names for c in (n, f"{n}_space_id")), *others]
    for name in names:
        assert bad[name].null_count == bad[f"{name}_space_id"].null_count == 6
    if encoded:
        assert [str(bad.schema.field(n).type) for n in names] == [
            "list<element: halffloat>",
            "list<element: uint8>",
        ]
    elif heads is None:
        good, _ = bulk()
        good(tmp_path / "in", tmp_path / "good.parquet", heads)
        assert parquet.read_table(tmp_path / "good.parquet").schema == bad.schema


# -- what is claimed ---------------------------------------------------------------------------


def test_nothing_claims_a_file_that_was_not_written(command, tmp_path):
    pictures(tmp_path / "in", 3)
    output = tmp_path / "f.npy"
    for _ in range(2):  # when it is done, and when it has been
        code, out, _ = command(tmp_path / "in", "--output", output, act=lambda name, attempt: BAD)
        assert code == 1 and not output.exists()
        assert out == (
            f"{output} was not written: all 3 images failed; {tmp_path / 'f.index.json'} says why\n"
        )
    index = json.loads((tmp_path / "f.index.json").read_text())
    assert index["heads"] == [] and len(index["failed"]) == 3


def test_the_files_that_were_written_are_named(command, tmp_path):
    pictures(tmp_path / "in", 3)
    for _ in range(2):
        code, out, _ = command(
            tmp_path / "in", "--output", tmp_path / "f.npy", "--head", "global_max:id=b/c"
        )
        assert code == 0
        written = [tmp_path / "f.b_c.npy", tmp_path / "f.gem.npy"]
        assert all(path.exists() for path in written)
        assert out.startswith(f"{written[0]}, {written[1]}: 3 images, 0 failed; ")


# -- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING", pushback="-1"), 3),
        (SHED, 3),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, "p is 0", "HEAD_INVALID"), 4),
        (Failure(grpc.StatusCode.NOT_FOUND, "no such model", "MODEL_NOT_FOUND"), 4),
        (Failure(grpc.StatusCode.UNAUTHENTICATED, "who are you"), 4),
        (Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "late"), 5),
        (Failure(grpc.StatusCode.INTERNAL, "a proxy's"), 6),
        (Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large"), 1),
        (BAD, 1),
        (None, 0),
    ],
)
def test_the_exit_code_says_what_went_wrong(command, tmp_path, failure, code):
    pictures(tmp_path / "in", 3)
    arguments = (tmp_path / "in", "--output", tmp_path / "f.npy")
    assert command(*arguments, act=lambda name, attempt: failure, timeout=0.6)[0] == code


def test_exit_codes_without_a_server(command, tmp_path):
    pictures(tmp_path / "in", 3)
    source, output = tmp_path / "in", tmp_path / "f.npy"
    assert command(source, "--output", output, target="127.0.0.1:1", timeout=0.5)[0] == 3
    assert command(source, "--output", tmp_path / "f.csv")[0] == 2
    assert command(source, "--output", output, "--head", "nope")[0] == 2
    assert command(source, "--output", output, "--input-size", "0x0x0")[0] == 2
    (tmp_path / "file").touch()
    code, _, err = command(source, "--output", tmp_path / "file" / "f.npy")
    assert code == 6 and f"cannot write {tmp_path}/file/f.npy" in err
    assert command(source, "--output", output, "--bogus")[0] == 2


def test_exit_codes_are_those_of_the_pixpool_command():
    """Their text, and which statuses they stand for."""
    source = (ROOT / "client" / "cli" / "exit_code.cc").read_text()
    text = "".join(re.findall(r'^ +"(.*)"', source, re.M)).replace("\\n", "\n")
    mine = [line for line in text.splitlines(keepends=True) if not line.startswith("  7")]
    assert EXIT_CODE_HELP == "".join(mine)
    numbers = dict(re.findall(r"kExit(\w+) = (\d)", (ROOT / "client/cli/exit_code.h").read_text()))
    names = {"Ok": "OK", "SomeFailed": "SOME_FAILED"}
    for name, number in numbers.items():
        if name != "Objective":
            assert ExitCode[names.get(name, name.upper())] == int(number)
    for cases, name in re.findall(
        r"((?: +case absl::StatusCode::k\w+:\n)+) +return kExit(\w+);", source
    ):
        for status in re.findall(r"StatusCode::k(\w+)", cases):
            code = grpc.StatusCode[re.sub(r"(?<!^)(?=[A-Z])", "_", status).upper()]
            if code is not grpc.StatusCode.OK:
                assert exit_code_for(code) == int(numbers[name])


# -- disks -------------------------------------------------------------------------------------


def test_a_file_that_cannot_grow_names_the_output(bulk, tmp_path):
    pictures(tmp_path / "in", 40)
    job, script = bulk()
    output = tmp_path / "f.npy"
    with (
        files_of_at_most(700),
        pytest.raises(
            BulkError, match=r"^cannot write .*f\.npy\.work/\S+: File too large"
        ) as caught,
    ):
        job(tmp_path / "in", output)
    assert caught.value.exit_code == 6 and "the same command goes on" in str(caught.value)
    assert not output.exists() and not list(tmp_path.glob("f.npy.work/*.part"))
    # The listing, then the rest.
    assert job(tmp_path / "in", output).images == 40


def test_a_listing_that_cannot_be_written_names_the_output(bulk, tmp_path):
    pictures(tmp_path / "in", 40)
    job, _ = bulk()
    with files_of_at_most(100), pytest.raises(BulkError) as caught:
        job(tmp_path / "in", tmp_path / "f.npy")
    assert f"cannot write {tmp_path}/f.npy.work/items.txt: File too large" in str(caught.value)
    assert caught.value.exit_code == 6 and not (tmp_path / "f.npy.work").exists()


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_full_disk_names_the_output_and_keeps_what_is_done(serve, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    paths = pictures(tmp_path / "in", 30)
    with small_disk(tmp_path / "disk", 200) as disk:
        output = disk.path / f"f.{suffix}"

        def act(name, attempt):
            if name == paths[17].name and attempt == 1:
                disk.fill()

        server = serve(act)
        job = dict(target=server.target, part_size=4, concurrency=1, progress=False, timeout=20)
        with pytest.raises(BulkError) as caught:
            run(tmp_path / "in", output, "gem", **job)
        pattern = rf"^cannot write {output}\.work/part-\d+\.npz: No space left on device\. What is"
        assert re.search(pattern, str(caught.value)) and caught.value.exit_code == 6
        disk.make_room()
        server.script.attempts.clear()
        server.script.act = lambda name, attempt: None
        summary = run(tmp_path / "in", output, "gem", **job)
        assert (summary.images, summary.failed, summary.resumed) == (30, 0, 16)
        assert set(server.script.attempts) == {path.name for path in paths[16:]}


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_disk_that_is_full_at_the_end_loses_nothing(serve, tmp_path, suffix, monkeypatch):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    from pixpool.bulk import job as jobs

    pictures(tmp_path / "in", 30)
    server = serve()
    options = dict(target=server.target, part_size=4, concurrency=1, progress=False, timeout=20)
    with small_disk(tmp_path / "disk", 200) as disk:
        output = disk.path / f"f.{suffix}"
        finish = jobs.Job._finish

        def full(*arguments):
            disk.fill()
            return finish(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(jobs.Job, "_finish", full)
            with pytest.raises(BulkError, match=rf"cannot write {output}: No space left") as caught:
                run(tmp_path / "in", output, "gem", **options)
        assert caught.value.exit_code == 6
        assert {path.name for path in disk.path.iterdir()} == {"ballast", f"f.{suffix}.work"}
        disk.make_room()
        assert run(tmp_path / "in", output, "gem", **options).resumed == 30


def test_a_source_that_fails_meanwhile_is_named_as_the_source(bulk, tmp_path):
    pytest.importorskip("pyarrow")
    for i in range(3):
        write_parquet(tmp_path / "set" / f"{i}.parquet", 8, 8 * i)

    def act(name, attempt):
        (tmp_path / "set" / "2.parquet").unlink(missing_ok=True)

    job, _ = bulk(act)
    with pytest.raises(BulkError, match=r"^cannot read the source: .*2\.parquet") as caught:
        job(tmp_path / "set", tmp_path / "f.npy", concurrency=1)
    assert caught.value.exit_code == 2
