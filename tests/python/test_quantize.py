"""Int8: the curve, its promise, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from pixpool.export import quantize
from pixpool.export.__main__ import main
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.errors import ExportError
from pixpool.export.openvino_graph import OpenVinoGraph
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.recipe import Recipe
from test_export import random_images, tiny_source


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth colours and shapes: what quantisation ranges are made for."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for number in range(36):
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((80, 60), Image.Resampling.BICUBIC).save(
            folder / f"{number:03d}.png"
        )
    return folder


def int8_row(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    return next(entry for entry in manifest["engines"] if entry["precision"] == "int8"), manifest


def test_int8_keeps_the_promise_and_says_what_it_measured(tmp_path, photos):
    lines = []
    folder = write_bundle(
        tiny_source(), BundleOptions(out=tmp_path, int8=photos, threads=1), lines.append
    )
    row, manifest = int8_row(folder)
    assert (row["engine"], row["path"]) == ("openvino", "backbone.int8.xml")
    assert {"backbone.int8.xml", "backbone.int8.bin"} <= {
        entry["path"] for entry in manifest["files"]
    }
    fidelity = row["fidelity"]
    assert fidelity["pictures"] == 12  # one of three is held out
    assert fidelity["cosine_median"] >= 0.99 and fidelity["cosine_p5"] >= 0.97
    curve = fidelity["curve"]
    assert curve[0]["float_layers"] == "nothing" and len(curve) >= 2
    good = [
        s
        for s in curve
        if s["cosine_median"] >= 0.99 and s["cosine_p5"] >= 0.97 and s["top1_agreement"] >= 0.95
    ]
    assert fidelity["speedup"] == max(step["speedup"] for step in good)
    for step in curve:
        assert any(line.strip().startswith(step["float_layers"]) for line in lines)
    # The file computes what was measured, and int8 it is.
    recipe = Recipe.from_json(manifest["input"])
    picture = preprocess(load_image(folder / "golden.png"), recipe)[None]
    exact = np.fromfile(folder / "golden.f32", "<f4")
    import torch

    last = len(manifest["layers"]) - 1
    got = (
        OpenVinoGraph(folder / row["path"], 1)(torch.from_numpy(picture))[last]
        .numpy()
        .mean((2, 3))[0]
    )
    cosine = got @ exact / np.linalg.norm(got) / np.linalg.norm(exact)
    assert row["golden_min_cosine"] == pytest.approx(cosine - 0.003, abs=1e-4)
    assert 'type="FakeQuantize"' in (folder / row["path"]).read_text()
    outputs = OpenVinoGraph(folder / row["path"], 1)(random_images(2, 40, 72))
    assert len(outputs) == len(manifest["layers"]) + len(manifest.get("vectors", []))


def test_it_is_judged_on_the_pictures_given_for_that(tmp_path, photos, monkeypatch):
    calibrate, judge = tmp_path / "calibrate", tmp_path / "judge"
    calibrate.mkdir()
    judge.mkdir()
    rng = np.random.default_rng(2)
    for number, path in enumerate(sorted(photos.iterdir())):
        (calibrate / path.name).write_bytes(path.read_bytes())
        if number < 10:  # other pictures: noise
            Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(
                judge / path.name
            )
    seen = []
    monkeypatch.setattr(
        quantize,
        "_quantize",
        lambda *args, real=quantize._quantize: seen.append(args[2]) or real(*args),
    )
    options = BundleOptions(
        out=tmp_path / "out", int8=calibrate, int8_judge=judge, threads=1, accept_worse_int8=True
    )
    row, manifest = int8_row(write_bundle(tiny_source(), options))
    assert row["fidelity"]["pictures"] == 10
    recipe = Recipe.from_json(manifest["input"])
    wanted = {preprocess(load_image(path), recipe).tobytes() for path in calibrate.iterdir()}
    assert seen and all({p.tobytes() for p in pictures} == wanted for pictures in seen)
    for path in list(judge.iterdir())[1:]:
        path.unlink()
    with pytest.raises(ExportError, match="judge holds 1 usable pictures; at least 10"):
        write_bundle(tiny_source(), dataclasses.replace(options, out=tmp_path / "few"))
    assert (
        main(["efficientnet-lite0", "--out", str(tmp_path / "x"), "--int8-judge", str(judge)]) == 1
    )


def test_a_worse_one_is_refused_unless_accepted(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(quantize, "MIN_COSINE_P5", 1.1)
    options = BundleOptions(out=tmp_path, int8=photos, threads=1)
    with pytest.raises(ExportError, match="no step keeps the promise"):
        write_bundle(tiny_source(), options)
    assert not list(tmp_path.iterdir())
    options.accept_worse_int8 = True
    lines = []
    row, _ = int8_row(write_bundle(tiny_source(), options, lines.append))
    assert row["fidelity"]["cosine_p5"] < 1.1
    assert any("below the promise" in line for line in lines)


def test_a_bundle_gets_int8_as_its_next_version(tmp_path, photos, capsys):
    folder = write_bundle(tiny_source(), BundleOptions(out=tmp_path))
    before = json.loads((folder / "manifest.json").read_text())
    for version in ("2", "3"):  # the third replaces what the second has
        base = tmp_path / "tiny" / str(int(version) - 1)
        assert main([f"bundle:{base}", "--int8", str(photos)]) == 0, capsys.readouterr().err
        row, manifest = int8_row(tmp_path / "tiny" / version)
        assert [e["precision"] for e in manifest["engines"]] == ["float32", "float32", "int8"]
        assert manifest["engines"][:2] == before["engines"]
        assert manifest["weights_sha256"] == before["weights_sha256"]
        assert row["fidelity"]["cosine_median"] >= 0.99


def test_too_few_pictures_or_no_openvino_graph_are_refused(tmp_path, photos):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(photos.iterdir())[:5]:
        (few / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ExportError, match="holds 5 usable pictures; .* at least 30"):
        write_bundle(tiny_source(), BundleOptions(out=tmp_path / "a", int8=few))
    with pytest.raises(ExportError, match="needs the engine openvino"):
        write_bundle(
            tiny_source(), BundleOptions(out=tmp_path / "b", int8=photos, engines=["torchscript"])
        )
    with pytest.raises(ExportError):
        write_bundle(tiny_source(), BundleOptions(out=tmp_path / "c", int8=tmp_path / "none"))
