"""pixpool.bulk on Ray Data, on a cluster of this machine; skipped where Ray is not installed (it is
large).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from scripted_server import expected

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install './client/python[ray]'")


@pytest.fixture(scope="module")
def cluster():
    stubs = Path(sys.modules["pixpool.v1.feature_service_pb2"].__file__).parents[1]
    # Workers import the package from the checkout, and its generated code from where conftest.py
    # put it.
    path = os.pathsep.join(
        p for p in (str(Path(__file__).parents[2] / "client" / "python"), *sys.path) if p
    )
    hook = f"import pixpool; pixpool.__path__.insert(0, {str(stubs)!r})"
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 << 20,
        _temp_dir=str(folder / "ray"),
        runtime_env={"env_vars": {"PYTHONPATH": path}, "worker_process_setup_hook": _setup(hook)},
    )
    yield
    ray.shutdown()


def _setup(program: str):
    def setup() -> None:
        exec(program)

    return setup


def test_parts_are_done_by_rays_workers(cluster, serve, tmp_path, monkeypatch):
    from pixpool.bulk import job, run

    paths = []
    for i in range(50):
        paths.append(tmp_path / f"{i:03d}.jpg")
        paths[-1].write_bytes(bytes([i + 1]) * (i + 3))
    listed = [*paths[:20], tmp_path / "nowhere.jpg", *paths[20:]]
    (tmp_path / "list.txt").write_text("\n".join(map(str, listed)))
    server = serve()
    options = {"target": server.target, "part_size": 7, "progress": False, "timeout": 60}
    with monkeypatch.context() as patch:
        patch.setattr(
            job.Server, "connect", None
        )  # this process must not; its workers have the real one
        summary = run(tmp_path / "list.txt", tmp_path / "f.npy", "gem", ray=True, **options)
    assert (summary.images, summary.failed, summary.space_ids) == (51, 1, {"gem": "0" * 32})
    rows = np.stack([expected(bytes([i + 1]) * (i + 3)) for i in range(50)])
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), rows)
    # The client's library alone does the same.
    run(tmp_path / "list.txt", tmp_path / "g.npy", "gem", **options)
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "g.npy").read_bytes()


def test_regions_are_done_by_rays_workers(cluster, serve, tmp_path):
    from pixpool.bulk import run

    rows = []
    for i in range(30):
        path = tmp_path / f"{i:03d}.jpg"
        path.write_bytes(bytes([i + 1]) * (i + 3))
        boxes = [[r, 0, r + 1, i + 1] for r in range(i % 3)]
        rows.append(json.dumps({"image": str(path), "boxes": boxes if i != 7 else [[1]]}) + "\n")
    (tmp_path / "boxes.jsonl").write_text("".join(rows))
    server = serve()
    for name, ray in (("f", True), ("g", False)):
        summary = run(
            tmp_path / "boxes.jsonl",
            tmp_path / f"{name}.npy",
            "gem",
            box_column="boxes",
            target=server.target,
            part_size=7,
            progress=False,
            timeout=60,
            ray=ray,
        )
        assert (summary.images, summary.failed) == (30, 1)
        assert (summary.regions, summary.without_regions) == (29, 10)
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "g.npy").read_bytes()
    one, other = (json.loads((tmp_path / f"{name}.index.json").read_text()) for name in "fg")
    assert one["boxes"] == other["boxes"] and one["images"] == other["images"]
