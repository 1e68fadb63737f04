"""The pixpool command against the real server: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def cli(bin_dir, server):
    def run(*arguments: object, target: str = server.target) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
        return subprocess.run(
            [str(bin_dir / "pixpool"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment | {"PIXPOOL_TARGET": target},
        )

    return run


def test_table_shows_labels_and_embedding(cli, photos):
    run = cli(
        "extract", "--head", "class_scores:top_k=5", "--head", "global_avg", photos["coffee.png"]
    )
    assert run.returncode == 0, run.stderr
    for part in ("espresso", "1280 values", "space ", "backbone", "600 x 400"):
        assert part in run.stdout, run.stdout


def test_json_is_one_object_an_image(cli, client, photos):
    run = cli(
        "extract",
        "--format",
        "json",
        "--head",
        "gem:p=3,l2",
        photos["cat.png"],
        photos["coffee.png"],
    )
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(rows) == 2
    got = np.asarray(_values(rows[0]), np.float32)
    np.testing.assert_allclose(
        got, client.features(photos["cat.png"], "gem:l2")[0], rtol=2e-4, atol=1e-6
    )


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_boxes_have_features_of_their_own(cli, client, photos, stream):
    """A crop's are those of its pixels sent alone."""
    path = photos["coffee.png"]
    run = cli(
        "extract",
        "--format=json",
        "--head=gem:l2",
        "--box=40,30,240.4,200",
        "--box=50%,0%,100%,100%",
        "--box-mode=crop",
        *stream,
        path,
    )
    assert run.returncode == 0, run.stderr
    (row,) = (json.loads(line) for line in run.stdout.splitlines())
    assert row["heads"] == []
    boxes = [tuple(region["box"].values()) for region in row["regions"]]
    assert boxes == [(40, 30, 240, 200), (300, 0, 600, 400)]
    picture = Image.open(path).convert("RGB")
    for box, region in zip(boxes, row["regions"], strict=True):
        (want,) = client.features(np.asarray(picture.crop(box)), "gem:l2")
        got = np.asarray(region["heads"][0]["values"], np.float32)
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-6)


def _values(row: dict) -> list[float]:
    """The only list of 1,280 numbers in the object."""
    found = []

    def walk(node) -> None:
        if isinstance(node, list) and len(node) == 1280:
            found.append(node)
        elif isinstance(node, (list, dict)):
            for child in node.values() if isinstance(node, dict) else node:
                walk(child)

    walk(row)
    assert len(found) == 1
    return found[0]


def test_npy_holds_a_row_an_image(cli, client, photos, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("cat.png", "coffee.png", "rocket.jpg"):
        (folder / name).write_bytes(photos[name].read_bytes())
    (folder / "notes.txt").write_text("not a picture")
    out = tmp_path / "features.npy"
    run = cli("extract", "--format", "npy", "--output", out, folder)
    assert run.returncode == 0, run.stderr
    matrix = np.load(out)
    assert matrix.dtype == np.float32 and matrix.shape == (3, 1280)
    index = json.loads((tmp_path / "features.index.json").read_text())
    names = [name for name in ("cat.png", "coffee.png", "rocket.jpg") if name in json.dumps(index)]
    assert len(names) == 3, index
    alone = client.features(photos["cat.png"], "global_avg")[0]
    assert min(np.abs(row - alone).max() for row in matrix) < 1e-3


def test_npy_keeps_encodings(cli, photos, tmp_path):
    out = tmp_path / "features.npy"
    heads = [
        "gem:id=full",
        *(f"gem:encoding={name},id={name}" for name in ("float16", "int8", "binary")),
    ]
    run = cli(
        "extract",
        "--format",
        "npy",
        "--output",
        out,
        *(a for h in heads for a in ("--head", h)),
        photos["cat.png"],
    )
    assert run.returncode == 0, run.stderr
    full, half, byte, bits = (
        np.load(tmp_path / f"features.{n}.npy") for n in ("full", "float16", "int8", "binary")
    )
    assert (full.dtype, half.dtype, byte.dtype, bits.dtype) == (
        np.float32,
        np.float16,
        np.float32,
        np.uint8,
    )
    np.testing.assert_array_equal(half, full.astype(np.float16))
    step = np.abs(full).max() / 127
    np.testing.assert_allclose(byte, np.rint(full / step) * step, rtol=1e-6)
    np.testing.assert_array_equal(bits, np.packbits(full > 0, axis=1))
    spaces = [
        h["space_id"] for h in json.loads((tmp_path / "features.index.json").read_text())["heads"]
    ]
    assert spaces[0] == spaces[1] == spaces[2] != spaces[3]


def test_scales_and_flip_give_one_summed_vector(cli, photos):
    def vector(*flags: str) -> np.ndarray:
        run = cli("extract", "--format", "json", "--head", "gem", *flags, photos["coffee.png"])
        assert run.returncode == 0, run.stderr
        return np.asarray(_values(json.loads(run.stdout)), np.float32)

    passes = [vector("--scales", "1"), vector("--scales", "0.5")]
    expected = sum(passes) / np.linalg.norm(sum(passes))
    np.testing.assert_allclose(vector("--scales", "1,0.5"), expected, rtol=1e-4, atol=1e-6)
    flipped = vector("--flip")
    assert abs(np.linalg.norm(flipped) - 1) < 1e-5
    assert not np.allclose(flipped, passes[0] / np.linalg.norm(passes[0]), atol=1e-4)


def test_heatmap_writes_a_png_a_picture(cli, photos, tmp_path):
    from PIL import Image

    pictures = [photos["coffee.png"], photos["rocket.jpg"]]
    run = cli("heatmap", *pictures, "--output", tmp_path / "maps")
    assert run.returncode == 0, run.stderr
    assert "espresso" in run.stdout and "missile" in run.stdout
    for picture in pictures:
        overlay = Image.open(tmp_path / "maps" / f"{picture.stem}.heatmap.png")
        original = Image.open(picture)
        assert overlay.format == "PNG" and overlay.size == original.size
        before, after = (
            np.asarray(original.convert("RGB"), int),
            np.asarray(overlay.convert("RGB"), int),
        )
        left, top, right, bottom = _box(run.stdout, picture)
        assert 0 <= left < right <= original.width and 0 <= top < bottom <= original.height
        change = np.abs(after - before).sum(2)
        assert change[top:bottom, left:right].mean() > 10
        assert (
            change[0].max() <= 30
        )  # the network saw the centre only; JPEG decoders differ a little
    plain = tmp_path / "plain.png"
    assert cli("heatmap", pictures[0], "--output", plain, "--plain", "--class", "0").returncode == 0
    assert Image.open(plain).size == Image.open(pictures[0]).size
    assert max(Image.open(plain).getpixel((0, 0))) < 16  # black, but for the colour map's own tint
    assert cli("heatmap", *pictures, "--output", plain).returncode == 2
    assert cli("heatmap", pictures[0], "--output", plain, "--class", "1000").returncode == 4


def _box(table: str, picture: Path) -> list[int]:
    line = next(line for line in table.splitlines() if f"{picture.name} " in line)
    return [int(n) for n in re.search(r"\((\d+), (\d+)\) to \((\d+), (\d+)\)", line).groups()]


def test_stream_gives_the_same_as_single_calls(cli, photos):
    paths = sorted(photos.values())
    single = cli("extract", "--format", "json", *paths)
    stream = cli("extract", "--format", "json", "--stream", *paths)
    assert single.returncode == stream.returncode == 0
    for a, b in zip(single.stdout.splitlines(), stream.stdout.splitlines(), strict=True):
        np.testing.assert_allclose(
            _values(json.loads(a)), _values(json.loads(b)), rtol=2e-4, atol=2e-5
        )


def test_classify_names_the_picture(cli, photos):
    run = cli("classify", photos["rocket.jpg"], "--top", "3")
    assert run.returncode == 0 and "missile" in run.stdout


def test_models_lists_and_describes(cli):
    assert "efficientnet-lite0" in cli("models").stdout
    detail = cli("models", "efficientnet-lite0").stdout
    for part in ("stage5", "gem", "class_scores", "(0, 100]"):
        assert part in detail, detail


def test_exit_codes_tell_a_script_what_happened(cli, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    good = photos["cat.png"]
    assert cli("health").returncode == 0
    assert cli("health", "--model", "nope").returncode == 4
    assert cli("extract", good, bad).returncode == 1
    assert cli("extract", tmp_path / "nope.jpg").returncode == 2
    assert cli("extract", "--head", "nope", good).returncode == 2
    assert cli("extract", "--head", "gem:p=-1", good).returncode == 4
    assert cli("extract", "--model", "nope", good).returncode == 4
    assert cli("extract", good, "--timeout", "0.001").returncode in (3, 5)
    assert cli("health", target="127.0.0.1:1").returncode == 3


def test_an_installed_package_serves_a_project_of_ones_own(bin_dir, server, photos, tmp_path):
    """cmake --install, then examples/cpp outside the tree with find_package(pixpool)."""
    root = Path(__file__).resolve().parents[2]
    prefix, build = tmp_path / "prefix", tmp_path / "build"
    subprocess.run(
        ["cmake", "--install", str(bin_dir.parent), "--prefix", str(prefix)],
        check=True,
        capture_output=True,
    )
    assert (prefix / "bin" / "pixpool").is_file() and (prefix / "bin" / "pixpool-server").is_file()
    help_text = subprocess.run(
        [prefix / "bin" / "pixpool-server", "--help"], capture_output=True, text=True
    )
    assert help_text.returncode == 0, help_text.stderr
    subprocess.run(
        [
            "cmake",
            "-G",
            "Ninja",
            "-S",
            str(root / "examples" / "cpp"),
            "-B",
            str(build),
            f"-DCMAKE_PREFIX_PATH={prefix}",
            "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache",
        ],
        check=True,
        capture_output=True,
    )
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    for program in ("extract", "extract_async", "extract_stream", "extract_regions"):
        pictures = [photos["cat.png"], photos["rocket.jpg"]]
        run = subprocess.run(
            [build / program, server.target, *pictures], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("1280 values") >= 2
