"""Which files of a folder a job takes: with real links, loops, FIFOs, sockets and junk."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixpool._picture_files import JUNK_FOLDERS
from pixpool.bulk import BulkError
from pixpool.bulk.__main__ import main
from pixpool.bulk.folders import LeftOut, Rules, takes_picture, walk

JPEG = b"\xff\xd8\xff\xe0 a picture"


def write(folder: Path, *names: str, data: bytes = JPEG) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def found(folder: Path, **rules) -> tuple[list[str], LeftOut]:
    left_out = LeftOut()
    return list(walk(os.fspath(folder), Rules(**rules), takes_picture, left_out)), left_out


def test_pictures_come_by_name_within_each_folder(tmp_path):
    write(tmp_path, "b.JPG", "a/y.png", "a-b.webp", "a/x.jpe", "a.jfif", "A.jpeg", "a/\udcff.jpg")
    names, left_out = found(tmp_path)
    assert names == [
        "A.jpeg",
        "a/x.jpe",
        "a/y.png",
        "a/\udcff.jpg",
        "a-b.webp",
        "a.jfif",
        "b.JPG",
    ]
    assert left_out == LeftOut()


def test_without_a_suffix_the_content_decides(tmp_path):
    write(tmp_path, "jpeg", "trailing.")
    write(tmp_path, "png", data=b"\x89PNG\r\n\x1a\n...")
    write(tmp_path, "webp", data=b"RIFF\x12\x34\0\0WEBPVP8 ")
    write(tmp_path, "README", data=b"no picture")
    write(tmp_path, "short", data=b"\xff\xd8")
    write(tmp_path, "wave", data=b"RIFF\x12\x34\0\0WAVEfmt ")
    write(tmp_path, "empty", data=b"")
    write(tmp_path, "photo.jpg_original", "photo.txt")  # suffixes, and of no picture
    names, left_out = found(tmp_path)
    assert names == ["jpeg", "png", "trailing.", "webp"]
    assert left_out.kinds == {"without suffix": 4, ".jpg_original": 1, ".txt": 1}
    assert left_out.counts() == "without suffix 4, .jpg_original 1, .txt 1"


def test_hidden_files_junk_and_special_files_are_left_out_and_counted(tmp_path):
    write(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", ".git/c.jpg", "Thumbs.db", ".DS_Store", "d.HEIX")
    write(tmp_path, *(f"sub/{folder}/e.jpg" for folder in JUNK_FOLDERS))
    os.mkfifo(tmp_path / "f.jpg")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's path must be short
        try:
            bound.bind("g.jpg")
        finally:
            os.chdir(here)
        names, left_out = found(tmp_path)
    assert names == ["a.jpg"] and not left_out.unreadable
    assert {"@eaDir", "__MACOSX", ".thumbnails"} <= set(JUNK_FOLDERS)
    assert left_out.kinds == {
        "hidden": 4,
        "junk folders": len(JUNK_FOLDERS),
        ".db": 1,
        ".heix": 1,
        "FIFOs": 2,
        "sockets": 1,
    }


def test_links_to_folders_are_followed_on_request(tmp_path):
    write(tmp_path, "in/a.jpg", "elsewhere/b.jpg", "elsewhere/deep/c.jpg")
    (tmp_path / "in" / "link").symlink_to("../elsewhere")
    (tmp_path / "in" / "file.jpg").symlink_to("../elsewhere/b.jpg")
    names, left_out = found(tmp_path / "in")
    assert names == ["a.jpg", "file.jpg"] and left_out.kinds == {"links to folders": 1}
    names, left_out = found(tmp_path / "in", follow_links=True)
    assert names == ["a.jpg", "file.jpg", "link/b.jpg", "link/deep/c.jpg"]
    assert left_out == LeftOut()


def test_circles_of_links_are_named_and_left_out(tmp_path):
    write(tmp_path, "in/a.jpg", "in/sub/b.jpg", "other/c.jpg")
    (tmp_path / "in" / "sub" / "up").symlink_to("..")
    (tmp_path / "in" / "here").symlink_to(".")
    (tmp_path / "in" / "other").symlink_to("../other")
    (tmp_path / "other" / "back").symlink_to("../in")
    assert found(tmp_path / "in")[0] == ["a.jpg", "sub/b.jpg"]
    names, left_out = found(tmp_path / "in", follow_links=True)
    assert names == ["a.jpg", "other/c.jpg", "sub/b.jpg"]
    assert left_out.loops == ["here", "other/back", "sub/up"]
    assert not left_out.unreadable  # all of it was seen elsewhere
    assert "left out sub/up: it leads back to a folder above" in left_out.lines()


@pytest.mark.parametrize("follow", [False, True])
def test_links_that_lead_nowhere_are_named_where_they_could_be_pictures(tmp_path, follow):
    write(tmp_path, "a.jpg")
    for name, target in {
        "self.jpg": "self.jpg",
        "self": "self",
        "gone.png": "nowhere/x.png",
        "one.jpg": "two.jpg",
        "two.jpg": "one.jpg",
        "notes.txt": "nowhere.txt",
        ".hidden": "nowhere",
    }.items():
        (tmp_path / name).symlink_to(target)
    names, left_out = found(tmp_path, follow_links=follow)
    assert names == ["a.jpg"] and not left_out.loops
    itself, nowhere = "a link that leads to itself", "a link that leads nowhere"
    assert left_out.unreadable == {
        "gone.png": nowhere,
        "one.jpg": itself,
        "self": itself,
        "self.jpg": itself,
        "two.jpg": itself,
    }
    assert left_out.kinds == {".txt": 1, "hidden": 1}


def test_a_folder_that_is_too_deep_to_be_opened_is_named(tmp_path):
    """What root cannot open either."""
    write(tmp_path, "a.jpg", "z.jpg")
    handle = os.open(tmp_path, os.O_RDONLY)
    for name in ["album.2019", *(["x" * 250] * 17)]:
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("deep.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    names, left_out = found(tmp_path)
    assert names == ["a.jpg", "z.jpg"]
    assert list(left_out.unreadable.values()) == ["File name too long"]
    assert next(iter(left_out.unreadable)).startswith("album.2019/xxx")


@contextlib.contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """In a folder, as a user whom permissions hold for."""
    here, user = os.getcwd(), os.geteuid()
    folder.chmod(0o755)
    os.chdir(folder)  # those above it may be closed to others
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        os.chdir(here)


def test_a_folder_without_permission_is_named(tmp_path):
    write(tmp_path, "a.jpg", "private/b.jpg", "z/c.jpg", "locked.v2/d.jpg", "secret")
    closed = [tmp_path / name for name in ("private", "locked.v2", "secret")]
    for path in closed:
        path.chmod(0)
    try:
        with as_nobody(tmp_path):
            names, left_out = found(Path("."))
            with pytest.raises(PermissionError):
                found(Path("private"))
    finally:
        for path in closed:
            path.chmod(0o700)
    assert names == ["a.jpg", "z/c.jpg"]
    assert left_out.unreadable == dict.fromkeys(
        ["locked.v2", "private", "secret"], "Permission denied"
    )


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*_small.jpg"], ["a.jpg", "raw/c.jpg", "sub/raw/d.jpg", "sub/x1.jpg"]),
        (["raw"], ["a.jpg", "a_small.jpg", "sub/x1.jpg"]),
        (["raw/"], ["a.jpg", "a_small.jpg", "sub/x1.jpg"]),
        (["/raw"], ["a.jpg", "a_small.jpg", "sub/raw/d.jpg", "sub/x1.jpg"]),
        (["sub/raw"], ["a.jpg", "a_small.jpg", "raw/c.jpg", "sub/x1.jpg"]),
        (["*/raw/"], ["a.jpg", "a_small.jpg", "raw/c.jpg", "sub/x1.jpg"]),
        (["a.jpg/"], ["a.jpg", "a_small.jpg", "raw/c.jpg", "sub/raw/d.jpg", "sub/x1.jpg"]),
        (["?.jpg", "x[0-9].jpg"], ["a_small.jpg"]),
        (["[!a]*.jpg"], ["a.jpg", "a_small.jpg"]),
        (["[^a]*.jpg"], ["a.jpg", "a_small.jpg"]),
        (["A.JPG"], ["a.jpg", "a_small.jpg", "raw/c.jpg", "sub/raw/d.jpg", "sub/x1.jpg"]),
    ],
)
def test_patterns_leave_out_names_and_paths(tmp_path, patterns, left):
    write(tmp_path, "a.jpg", "a_small.jpg", "raw/c.jpg", "sub/raw/d.jpg", "sub/x1.jpg")
    names, left_out = found(tmp_path, exclude=tuple(patterns))
    assert names == left
    assert bool(left_out.kinds["excluded"]) == (len(left) < 5)


def test_a_folder_of_a_thousand_levels_is_walked(tmp_path):
    levels = [tmp_path / "d"]
    while len(levels) < 1100:  # more than Python's own stack, less than the longest path
        levels.append(levels[-1] / "d")
    for level in levels:
        level.mkdir()
    picture = levels[-1] / "a.jpg"
    picture.write_bytes(JPEG)
    try:
        assert found(tmp_path)[0] == ["d/" * 1100 + "a.jpg"]
    finally:  # pytest's own removal is recursive
        picture.unlink()
        for level in reversed(levels):
            level.rmdir()


def test_a_job_says_what_it_left_out_and_ends_with_what_it_could_not_read(tmp_path, capsys, serve):
    folder = tmp_path / "in"
    write(folder, "a.jpg", "sub/b.jpg", "c.txt", "@eaDir/d.jpg")
    (folder / "loop").symlink_to("loop")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "f.jpg")
    server = serve()
    arguments = [str(folder), "--target", server.target, "--head", "gem", "--timeout", "20"]
    assert main([*arguments, "--output", str(tmp_path / "f.npy")]) == 1
    out, err = capsys.readouterr()
    assert "2 images, 0 failed" in out and "left out 1 folders or links that cannot be read" in out
    assert "left out loop: a link that leads to itself" in err
    assert "left out: .txt 1, FIFOs 1, junk folders 1, links to folders 1" in err
    # Again: it is done, and its end is the same.
    assert main([*arguments, "--output", str(tmp_path / "f.npy"), "--quiet"]) == 1
    assert "left out loop: a link that leads to itself" in capsys.readouterr().err
    excluding = [*arguments, "--output", str(tmp_path / "g.npy"), "--exclude", "loop", "--quiet"]
    assert main(excluding) == 0
    assert main([*excluding, "--exclude", "sub"]) == 2
    assert "of another job (source was" in capsys.readouterr().err
    assert {request.images[0].image_id for request in server.script.requests} == {
        "a.jpg",
        "sub/b.jpg",
    }


def test_links_are_followed_by_a_job_on_request(bulk, tmp_path):
    write(tmp_path, "in/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "in" / "link").symlink_to("../elsewhere")
    (tmp_path / "in" / "up").symlink_to(".")
    job, _ = bulk()
    assert job(tmp_path / "in", tmp_path / "f.npy").left_out == {"links to folders": 2}
    summary = job(tmp_path / "in", tmp_path / "g.npy", follow_links=True)
    assert summary.images == 2 and summary.left_out == {} and summary.unreadable == {}
    with pytest.raises(BulkError, match="of another job"):
        job(tmp_path / "in", tmp_path / "g.npy")


def test_the_work_of_the_job_itself_is_no_part_of_the_folder(bulk, tmp_path):
    write(tmp_path, "a.jpg")
    job, _ = bulk()
    assert job(tmp_path, tmp_path / "f.npy").left_out == {}
