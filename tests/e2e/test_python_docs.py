"""The Python of the documentation, run as it is written against the real server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tiny_models import put_bundle

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = "efficientnet-lite0"


def blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)


def models_with_net(models_dir: Path, root: Path) -> Path:
    """The default model under its name, and again as net."""
    for name in (DEFAULT, "net"):
        (root / name).mkdir(parents=True)
        manifest = put_bundle(models_dir / DEFAULT / "1", root / name, 1) / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
    return root


@pytest.mark.parametrize(
    ("name", "comments_wanted"),
    [("docs/python.md", 5), ("docs/regions.md", 0), ("docs/kserve.md", 4), ("README.md", 1)],
)
def test_examples_run(
    name,
    comments_wanted,
    api,
    server,
    start_server,
    models_dir,
    photos,
    tmp_path,
    monkeypatch,
    capsys,
) -> None:
    if name == "docs/kserve.md":  # its examples load a model of the name net
        server = start_server(
            "--model-control=explicit",
            f"--default-model={DEFAULT}",
            models=models_with_net(models_dir, tmp_path / "models"),
        )
    for path in photos.values():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for other, photo in [
        ("photo.jpg", "rocket.jpg"),
        ("a.jpg", "rocket.jpg"),
        ("b.png", "cat.png"),
    ]:
        (tmp_path / other).write_bytes(photos[photo].read_bytes())
    coco = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 7, "bbox": [1, 2, 3.5, 4]}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(coco))
    config = ROOT / "deploy" / "client" / "service_config.json"
    (tmp_path / config.name).write_bytes(config.read_bytes())
    monkeypatch.chdir(tmp_path)
    found = [b for b in blocks(name) if "protoc" not in b]
    assert found
    names: dict = {}
    said = 0
    for block in found:
        if "run(" in block or "Client(" in block:
            assert ":50051" in block  # what reaches a server must reach this test's
        port = server.target.rsplit(":", 1)[1]
        code = block.replace(":50051", f":{port}")
        exec(compile(code, name, "exec"), names)
        # What a comment says of a print is what it prints.
        printed = capsys.readouterr().out.splitlines()
        comments = re.findall(r"^\s*print\(.*\)\s+# (\(\d.*|\[.*)$", block, re.MULTILINE)
        for comment in comments:
            assert comment in printed, (comment, printed)
        said += len(comments)
    assert said >= comments_wanted
    if name == "docs/regions.md":
        (box,) = json.loads((tmp_path / "boxes.jsonl").read_text())["boxes"]
        assert box == {"left": 1, "top": 2, "right": 4.5, "bottom": 6, "region_id": "1"}
