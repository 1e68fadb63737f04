"""`pixpool extract` and pixpool.bulk over the same files: the same pictures in the same order, the
same features, the same things left out, and the same exit codes for the same mistakes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
# The generated code lies elsewhere than the package; conftest.py has put both together.
BULK = """\
import sys
import pixpool
pixpool.__path__.insert(0, {stubs!r})
from pixpool.bulk.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class Tools:
    """Both commands against one server, each in a process of its own."""

    def __init__(self, bin_dir: Path, target: str, folder: Path, stubs: Path) -> None:
        self.target = target
        self.folder = folder
        self._cli = bin_dir / "pixpool"
        self._bulk = [sys.executable, "-c", BULK.format(stubs=str(stubs))]

    def extract(
        self, *arguments: object, timeout: float = 20, within: str = ""
    ) -> subprocess.CompletedProcess[str]:
        output = self.folder / within / "extract.npy"
        command = [self._cli, "extract", "--format", "npy", "--output", output]
        return self._run([*command, "--timeout", timeout, *arguments])

    def bulk(
        self, *arguments: object, timeout: float = 20, within: str = ""
    ) -> subprocess.CompletedProcess[str]:
        for path in self.folder.glob("bulk.*"):  # not to go on with an earlier one
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        output = self.folder / within / "bulk.npy"
        return self._run([*self._bulk, "--output", output, "--timeout", timeout, *arguments])

    def _run(self, command: list[object]) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
        environment |= {"PYTHONPATH": str(ROOT / "client" / "python")}
        return subprocess.run(
            [str(part) for part in [*command, "--target", self.target]],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            cwd=self.folder,
        )

    def images(self, tool: str, folder: Path) -> list[str]:
        """Of the last run, as paths from the folder on."""
        index = json.loads((self.folder / f"{tool}.index.json").read_text())
        return [os.path.relpath(os.path.join(folder, name), folder) for name in index["images"]]


@pytest.fixture
def tools(bin_dir, server, tmp_path, api):
    return Tools(bin_dir, server.target, tmp_path, Path(api.pb.__file__).parents[1])


def tree(folder: Path, photos: dict[str, Path]) -> Path:
    """Every kind of thing that folders of photographs hold."""
    picture = photos["rocket.jpg"].read_bytes()
    for name in (
        "b.JPG",
        "a-b.jfif",
        "a/x.jpe",
        "a/y.jpeg",
        "a/raw/z.jpg",
        "a_small.jpg",
        "no suffix",
        "no/suffix/img_0001",
        ".hidden.jpg",
        "._b.JPG",
        ".git/c.jpg",
        "@eaDir/b.JPG/SYNOPHOTO_THUMB_M.jpg",
        "__MACOSX/b.jpg",
        ".thumbnails/b.jpg",
        "photo.jpg_original",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    (folder / "c.png").write_bytes(photos["cat.png"].read_bytes())
    (folder / "README").write_text("no picture")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "results.parquet").write_bytes(b"PAR1")
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / "e.jpg").write_bytes(picture)
    (folder / "link").symlink_to("../elsewhere")
    (folder / "circle").symlink_to("a")
    (folder / "a" / "up").symlink_to("..")
    (folder / "l.jpg").symlink_to("b.JPG")
    os.mkfifo(folder / "fifo.jpg")
    return folder


def left_out(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said of it, with paths from the folder on."""
    said = re.findall(r"(?:^|: )(left out\b.*)$", run.stderr, re.M)
    return [
        re.sub(r"left out /\S*/in/", "left out ", line) for line in said if "folders or" not in line
    ]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--follow-links"],
        ["--exclude", "*_small.jpg", "--exclude", "a/raw", "--exclude", "no/"],
        ["--follow-links", "--exclude", "/circle"],
    ],
    ids=["plain", "links", "patterns", "both"],
)
def test_both_take_the_same_files_and_say_what_they_left_out(tools, photos, tmp_path, options):
    folder = tree(tmp_path / "in", photos)
    runs = tools.extract(folder, *options), tools.bulk(folder, *options)
    for run in runs:
        assert run.returncode == 0, run.stderr
    names = tools.images("extract", folder)
    assert names == tools.images("bulk", folder)
    assert "no/suffix/img_0001" in names or "no/" in options
    assert ("link/e.jpg" in names) == ("--follow-links" in options)
    assert len(names) == len(set(names)) >= 7
    assert left_out(runs[0]) == left_out(runs[1])
    counts = left_out(runs[0])[-1]
    for part in (
        "hidden 3",
        "junk folders 3",
        "FIFOs 1",
        ".db 1",
        ".parquet 1",
        "without suffix 1",
    ):
        assert part in counts
    np.testing.assert_allclose(
        np.load(tmp_path / "extract.npy"), np.load(tmp_path / "bulk.npy"), rtol=2e-4, atol=2e-5
    )


def test_what_cannot_be_read_is_named_by_both_and_does_not_end_them(tools, photos, tmp_path):
    folder = tree(tmp_path / "in", photos)
    (folder / "self").symlink_to("self")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    handle = os.open(folder, os.O_RDONLY)
    for name in ["deep", *["d" * 250] * 17]:  # more than a path may have: not even root can open it
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    runs = tools.extract(folder), tools.bulk(folder)
    for run in runs:
        assert run.returncode == 1, run.stderr
        assert "left out 3 folders or links that cannot be read" in run.stderr + run.stdout
        for line in (
            "self: a link that leads to itself",
            "gone.jpg: a link that leads nowhere",
            ": File name too long",
        ):
            assert line in run.stderr
    assert left_out(runs[0])[-1] == left_out(runs[1])[-1]
    assert tools.images("extract", folder) == tools.images("bulk", folder)


def test_the_same_mistake_has_the_same_exit_code(tools, photos, tmp_path):
    good, bad, empty, mixed = (tmp_path / name for name in ("good", "bad", "empty", "mixed"))
    for folder in (good, bad, empty, mixed):
        folder.mkdir()
    for folder in (good, mixed):
        (folder / "a.png").write_bytes(photos["cat.png"].read_bytes())
    for folder in (bad, mixed):
        (folder / "b.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (empty / "notes.txt").touch()
    cases = [
        (0, good, []),
        (1, mixed, []),
        (1, bad, []),
        (2, empty, []),
        (2, tmp_path / "nowhere", []),
        (2, good, ["--head", "nope"]),
        (2, good, ["--input-size", "big"]),
        (2, good, ["--nonsense"]),
        (4, good, ["--head", "gem:p=-1"]),
        (4, good, ["--model", "nope"]),
        (6, good, ["--head", "class_scores:top_k=2"]),
    ]
    for code, folder, options in cases:
        for run in (tools.extract(folder, *options), tools.bulk(folder, *options)):
            assert run.returncode == code, (code, options, run)
            assert code == 0 or run.stderr or run.stdout
    for run in (tools.extract(bad), tools.bulk(bad)):
        assert "was not written" in run.stderr + run.stdout
    assert not (tmp_path / "bulk.npy").exists()
    for run in (tools.extract, tools.bulk):
        done = run(good, within="bad/b.jpg")  # no folder
        assert done.returncode == 6 and f"cannot write {tmp_path}/bad/b.jpg/" in done.stderr
    tools.target = "127.0.0.1:1"
    for run in (tools.extract(good, timeout=1), tools.bulk(good, timeout=1)):
        assert run.returncode == 3, run
