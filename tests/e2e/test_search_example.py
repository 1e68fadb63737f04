"""examples/python/search.py on the real server, with both stores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("store", ["faiss", "qdrant"])
def test_a_picture_finds_itself_first(store, api, server, photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.values():
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(b"not a picture")
    stubs = Path(api.pb.__file__).parents[2]
    program = (
        f"import sys, runpy, pixpool; pixpool.__path__.insert(0, {str(stubs / 'pixpool')!r}); "
        f"runpy.run_path({str(ROOT / 'examples' / 'python' / 'search.py')!r}, run_name='__main__')"
    )
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            folder,
            folder / "coffee.png",
            "--store",
            store,
            "--count",
            "3",
            "--output",
            tmp_path / "features.parquet",
            "--target",
            server.target,
        ],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert found.returncode == 0, found.stderr
    rows = [line.split() for line in found.stdout.splitlines()]
    assert [name for _, name in rows][:2] == ["coffee.png", "coffee_92.jpg"]
    assert float(rows[0][0]) == pytest.approx(1, abs=1e-4) and float(rows[2][0]) < 0.9
