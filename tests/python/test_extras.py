"""--pca and --filter from the command line to the files: what is in the bundle, what is refused,
new versions.
"""

import hashlib
import json
import re
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from pixpool.export.__main__ import main
from pixpool.export.errors import ExportError
from pixpool.export.filters import read_filter
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.specs import FilterSpec, PcaSpec
from test_export import TinyNet, assert_bundle_is_consistent, load_graph, recipe_of
from test_projection import save_picture

# 8 and 16 channels, neither ever negative; a recipe of its own.
MODEL = ("--layers", "mid=act,top=body", "--input-size", "48x64", "--interpolation", "bicubic")


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    module = types.ModuleType("my_models")
    module.tiny = TinyNet
    monkeypatch.setitem(sys.modules, "my_models", module)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """40 pictures, in two folders and two sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    for at in range(40):
        size = (40, 30) if at % 3 else (60, 80)
        save_picture(folder / ("more" if at % 2 else ".") / f"{at}.png", at, size)
    return folder


def export(out, *arguments):
    assert main(["module:my_models:tiny", "--out", str(out), *MODEL, *arguments]) == 0
    return out / "tiny" / "1"


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def save_conv(path, *arguments, **options):
    torch.manual_seed(3)
    conv = torch.nn.Conv2d(*arguments, **options)
    torch.save(conv.state_dict(), path)
    return conv


def vectors_by_hand(folder, manifest, pictures, layer, pool):
    """Each picture on its own through the graph, pooled in NumPy; rows in order of the paths."""
    graph, at = load_graph(folder), [entry["name"] for entry in manifest["layers"]].index(layer)
    rows = []
    for path in sorted(pictures.rglob("*.png")):
        pixels = preprocess(load_image(path), recipe_of(manifest))
        with torch.no_grad():
            rows.append(pool(graph(torch.from_numpy(pixels)[None])[at][0].double().numpy()))
    return np.stack(rows)


def test_bundle_with_projections_and_filters(tmp_path, pictures, capsys):
    full = save_conv(tmp_path / "full.pt", 16, 6, (2, 3))
    weight = np.random.default_rng(1).normal(size=(8, 1, 3, 3))
    np.savez(tmp_path / "deep.npz", weight=weight)
    folder = export(
        tmp_path / "models",
        *("--pca", f"plain={pictures}"),
        *("--pca", f"gem-7.x={pictures},head=gem:layer=mid,p=2.5,eps=1e-6,dimensions=7"),
        *("--filter", f"full={tmp_path / 'full.pt'},stride=2x1"),
        *("--filter", f"deep={tmp_path / 'deep.npz'},layer=mid"),
    )
    manifest = manifest_of(folder)
    assert_bundle_is_consistent(folder, manifest)
    assert manifest["filters"] == [
        {
            "name": "full",
            "layer": "top",
            "kernel_size": [2, 3],
            "stride": [2, 1],
            "groups": 1,
            "output_channels": 6,
            "weight": "filter.full.weight.f32",
            "bias": "filter.full.bias.f32",
        },
        {
            "name": "deep",
            "layer": "mid",
            "kernel_size": [3, 3],
            "stride": [3, 3],
            "groups": 8,
            "output_channels": 8,
            "weight": "filter.deep.weight.f32",
        },
    ]
    stored = {
        name: np.fromfile(folder / name, "<f4") for name in digests(folder) if "filter" in name
    }
    assert set(stored) == {f"filter.{n}.f32" for n in ("full.weight", "full.bias", "deep.weight")}
    np.testing.assert_array_equal(stored["filter.full.weight.f32"], full.weight.detach().flatten())
    np.testing.assert_array_equal(stored["filter.full.bias.f32"], full.bias.detach())
    np.testing.assert_array_equal(stored["filter.deep.weight.f32"], weight.ravel().astype("f4"))

    plain, gem = manifest["projections"]
    share = gem.pop("explained_variance")
    assert gem == {
        "name": "gem-7.x",
        "layer": "mid",
        "head": "gem",
        "head_parameters": {"p": 2.5, "eps": 1e-6},
        "input_dimensions": 8,
        "output_dimensions": 7,
        "mean": "projection.gem-7.x.mean.f32",
        "matrix": "projection.gem-7.x.matrix.f32",
        "pictures": 40,
    }
    assert (plain["layer"], plain["head"], plain["head_parameters"]) == ("top", "global_avg", {})
    assert 1 < plain["output_dimensions"] <= plain["input_dimensions"] == 16
    assert plain["explained_variance"] == pytest.approx(1, abs=1e-6)
    assert f"keep {100 * share:.1f} % of the variance" in capsys.readouterr().out

    pools = {
        "plain": lambda x: x.mean((1, 2)),
        "gem-7.x": lambda x: (np.maximum(x, 1e-6) ** 2.5).mean((1, 2)) ** 0.4,
    }
    for entry in (plain, gem):
        vectors = vectors_by_hand(folder, manifest, pictures, entry["layer"], pools[entry["name"]])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        mean = np.fromfile(folder / entry["mean"], "<f4").astype(np.float64)
        kept = entry["output_dimensions"]
        matrix = np.fromfile(folder / entry["matrix"], "<f4").reshape(kept, -1).astype(np.float64)
        np.testing.assert_allclose(mean, vectors.mean(axis=0), atol=1e-6)
        # Whitened vectors have unit covariance: up to the float32 of the vectors, which weak
        # directions blow up.
        whitened = (vectors - mean) @ matrix.T
        np.testing.assert_allclose(np.cov(whitened.T), np.eye(kept), atol=5e-3)
        # U^T (x - mean) / sqrt(lambda), from a decomposition of another kind.
        _, singular, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
        expected = (vectors - mean) @ axes[:kept].T / (singular[:kept] / np.sqrt(39))
        signs = np.sign((expected * whitened).sum(axis=0))
        np.testing.assert_allclose(whitened, signs * expected, atol=2e-2)
        if entry is gem:
            assert share == pytest.approx((singular[:7] ** 2).sum() / (singular**2).sum(), rel=1e-4)


def test_same_pictures_give_the_same_files(tmp_path, pictures):
    arguments = (
        "--pca",
        f"a={pictures},head=rmac",
        "--pca",
        f"b={pictures},head=scda,dimensions=5",
    )
    first, second = (digests(export(tmp_path / at, *arguments)) for at in "xy")
    names = [f"projection.{n}.{part}.f32" for n in "ab" for part in ("mean", "matrix")]
    assert {n: first[n] for n in names} == {n: second[n] for n in names}
    shutil.copytree(pictures, tmp_path / "pictures")
    (tmp_path / "pictures" / "0.png").unlink()
    other = digests(export(tmp_path / "z", "--pca", f"a={tmp_path / 'pictures'},head=rmac"))
    assert other[names[1]] != first[names[1]]


def test_left_out_pictures_are_named_and_not_counted(tmp_path, pictures, capsys):
    shutil.copytree(pictures, tmp_path / "pictures")
    (tmp_path / "pictures" / "3.jpg").write_bytes(b"no picture")
    folder = export(tmp_path / "models", "--pca", f"a={tmp_path / 'pictures'},dimensions=3")
    assert manifest_of(folder)["projections"][0]["pictures"] == 40
    assert f"left out {tmp_path / 'pictures' / '3.jpg'}: cannot identify" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--pca", "a={pictures},dimensions=40"),
            "--pca a: dimensions is 40, but the head gives only 16",
        ),
        (
            ("--pca", "a={pictures},head=spatial_pyramid,dimensions=40"),
            "--pca a: 40 dimensions need at least 41",
        ),
        (
            ("--pca", "a={pictures},layer=none"),
            "--pca a: the model has no layer 'none'; it has mid, top",
        ),
        (("--pca", "a={pictures},head=max_pool"), "--pca a: head 'max_pool' is not known"),
        (
            ("--pca", "a={pictures},head=gem:p=3,epsilon=1,dimensions=4"),
            '--pca a: head "gem:p=3,epsilon=1": no parameter "epsilon"; gem takes p, eps;',
        ),
        (
            ("--pca", "a={pictures},head=gem:layer=mid,p=3,layer=top"),
            "--pca a: give layer once, in the head or after it",
        ),
        (
            ("--pca", "a={pictures},head=gem:dimensions=0,p=3"),
            "--pca a: dimensions is 0; it must be 1 or more",
        ),
        (("--pca", "a={pictures},dimensions=4,eps=1"), "--pca a: dimensions is '4,eps=1'"),
        (("--pca", "a={pictures}/nowhere"), "does not exist"),
        (("--pca", "a={pictures},dimension=3"), "dimension=3' does not exist"),
        (("--pca", "a={pictures}", "--pca", "a={pictures}"), "--pca: name 'a' is used 2 times"),
        (("--filter", "f={files}/missing.pt"), "missing.pt does not exist"),
        (("--filter", "f={files}/missing.npz"), "missing.npz cannot be read"),
        (("--filter", "f={files}/broken.npz"), "broken.npz cannot be read"),
        (("--filter", "f={files}/model.pt"), "model.pt cannot be read"),
        (
            ("--filter", "f={files}/linear.pt"),
            "weight is .6, 16.; it must be .output channels, channels / groups",
        ),
        (
            ("--filter", "f={files}/prefixed.pt"),
            "holds conv.bias, conv.weight; it must hold weight and perhaps bias",
        ),
        (("--filter", "f={files}/integers.pt"), "weight is int64, not floating point"),
        (("--filter", "f={files}/nan.npz"), "weight has values that are not finite"),
        (("--filter", "f={files}/bias.npz"), "bias is .3.; with this weight it must be .6."),
        (
            ("--filter", "f={files}/full.pt,layer=mid"),
            "which does not fit the 8 channels of layer 'mid'",
        ),
        (("--filter", "f={files}/groups.npz"), "which does not fit the 16 channels of layer 'top'"),
        (("--filter", "f={files}/full.pt,layer=none"), "--filter f: the model has no layer 'none'"),
        (
            ("--filter", "f={files}/full.pt", "--filter", "f={files}/full.pt"),
            "--filter: name 'f' is used 2 times",
        ),
    ],
)
def test_refused_with_nothing_written(tmp_path, pictures, capsys, arguments, message):
    files = tmp_path / "files"
    files.mkdir()
    save_conv(files / "full.pt", 16, 6, 3)
    torch.save(torch.nn.Conv2d(16, 6, 3), files / "model.pt")
    torch.save(torch.nn.Linear(16, 6).state_dict(), files / "linear.pt")
    torch.save(
        {"conv.weight": torch.zeros(6, 16, 1, 1), "conv.bias": torch.zeros(6)},
        files / "prefixed.pt",
    )
    torch.save({"weight": torch.zeros(6, 16, 1, 1, dtype=torch.int64)}, files / "integers.pt")
    (files / "broken.npz").write_bytes(b"PK no zip")
    np.savez(files / "nan.npz", weight=np.full((6, 16, 1, 1), np.nan))
    np.savez(files / "bias.npz", weight=np.zeros((6, 16, 1, 1)), bias=np.zeros(3))
    np.savez(files / "groups.npz", weight=np.zeros((6, 4, 1, 1)))  # 4 groups, but 6 outputs
    out = tmp_path / "models"
    words = [a.format(pictures=pictures, files=files) for a in arguments]
    assert main(["module:my_models:tiny", "--out", str(out), *MODEL, *words]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not out.exists() or list(out.iterdir()) == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_filter_files_of_other_types_become_float32(tmp_path, dtype):
    weight = torch.randn(6, 4, 2, 2).to(dtype)
    torch.save({"state_dict": {"weight": weight}}, tmp_path / "checkpoint.pt")
    stored = read_filter(tmp_path / "checkpoint.pt")
    assert stored.weight.dtype == np.float32 and stored.bias is None
    np.testing.assert_array_equal(stored.weight, weight.float().numpy())


def test_groups_are_inferred(tmp_path):
    for share, groups in ((16, 1), (4, 4), (1, 16)):
        np.savez(tmp_path / f"{groups}.npz", weight=np.ones((32, share, 1, 2)), bias=np.zeros(32))
    arguments = [f"--filter=g{g}={tmp_path / f'{g}.npz'},stride=4" for g in (1, 4, 16)]
    entries = manifest_of(export(tmp_path / "models", *arguments))["filters"]
    assert [e["groups"] for e in entries] == [1, 4, 16]
    assert all((e["kernel_size"], e["stride"]) == ([1, 2], [4, 4]) for e in entries)


def add(bundle, *arguments):
    return main([f"bundle:{bundle}", *arguments])


def test_a_new_version_of_a_bundle_that_is_there(tmp_path, pictures, capsys):
    save_conv(tmp_path / "conv.pt", 16, 6, 3)
    np.savez(tmp_path / "other.npz", weight=np.ones((6, 16, 1, 1)))
    first = export(
        tmp_path / "models",
        *("--pca", f"old={pictures},dimensions=4", "--pca", f"stays={pictures},head=gem"),
        *("--filter", f"f={tmp_path / 'conv.pt'}"),
    )
    before = digests(first)
    changes = ("--pca", f"old={pictures},head=global_max,dimensions=5", "--pca", f"new={pictures}")
    assert add(first, *changes, "--filter", f"f={tmp_path / 'other.npz'}") == 0
    assert digests(first) == before
    second = first.parent / "2"
    manifest, old = manifest_of(second), manifest_of(first)
    assert_bundle_is_consistent(second, manifest)
    assert [p["name"] for p in manifest["projections"]] == ["stays", "old", "new"]
    assert manifest["projections"][0] == old["projections"][1]
    assert manifest["projections"][1]["head"] == "global_max"
    assert manifest["filters"][0]["kernel_size"] == [1, 1]
    assert "bias" not in manifest["filters"][0] and not (second / "filter.f.bias.f32").exists()
    for key in ("weights_sha256", "input", "layers", "classifier", "golden", "license", "engines"):
        assert manifest[key] == old[key]
    changed = {n for n, d in digests(second).items() if before.get(n) != d} - {"manifest.json"}
    assert changed == {
        *("projection.old.mean.f32", "projection.old.matrix.f32"),
        *("projection.new.mean.f32", "projection.new.matrix.f32"),
        "filter.f.weight.f32",
    }
    # What a bundle made at once has, one that was added to has too, to the byte.
    anew = digests(export(tmp_path / "anew", "--pca", f"new={pictures}"))
    assert all(anew[n] == digests(second)[n] for n in anew if n.startswith("projection"))

    # The version after the highest; another name, version and repository where asked for.
    assert add(first, "--pca", f"x={pictures}") == 0
    assert [p["name"] for p in manifest_of(first.parent / "3")["projections"]] == [
        "old",
        "stays",
        "x",
    ]
    place = ("--out", str(tmp_path / "elsewhere"), "--name", "mine", "--version", "a")
    assert add(second, "--pca", f"x={pictures}", *place) == 0
    assert_bundle_is_consistent(
        tmp_path / "elsewhere/mine/a", manifest_of(tmp_path / "elsewhere/mine/a")
    )
    capsys.readouterr()
    assert add(first, "--pca", f"x={pictures}", "--version", "3") == 1
    assert "bundles do not change" in capsys.readouterr().err
    assert add(first, "--pca", f"y={pictures}", "--version", "3", "--force") == 0
    assert manifest_of(first.parent / "3")["projections"][-1]["name"] == "y"
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["tiny"]


def test_versions_that_cannot_be_made(tmp_path, pictures, capsys):
    folder = export(tmp_path / "models", "--version", "1")
    pca = ("--pca", f"a={pictures},dimensions=4")

    def refusal(*arguments):
        assert main([str(a) for a in arguments]) == 1
        return capsys.readouterr().err

    capsys.readouterr()
    again = ("module:my_models:tiny", "--out", tmp_path / "models", *pca)
    assert f"bundle:{folder} in place of module:my_models:tiny adds" in refusal(*again)
    assert "there is no bundle in" in refusal(f"bundle:{folder.parent}", *pca)
    assert "give what to add" in refusal(f"bundle:{folder}")
    assert "the network stays as it is" in refusal(f"bundle:{folder}", *pca, "--input-size", "96")
    assert "the network stays as it is" in refusal(f"bundle:{folder}", *pca, "--labels", "none")
    assert "has no layer 'x'" in refusal(f"bundle:{folder}", f"--pca=a={pictures},layer=x")
    word = folder.parent / "best"
    shutil.copytree(folder, word)
    assert "version 'best' is no number" in refusal(f"bundle:{word}", *pca)
    (word / "golden.f32").write_bytes(b"damaged")
    assert "is damaged (golden.f32 changed or missing); export it again" in refusal(
        f"bundle:{word}", *pca
    )
    assert sorted(p.name for p in folder.parent.iterdir()) == ["1", "best"]


def test_specs():
    spec = PcaSpec.parse("w.1-x_=a,b/c=d,dimensions=12,head=gem:p=3,eps=0.1,layer=l")
    assert (spec.name, str(spec.folder), spec.head) == ("w.1-x_", "a,b/c=d", "gem:p=3,eps=0.1")
    assert (spec.layer, spec.dimensions) == ("l", 12)
    assert PcaSpec.parse("w=p,head=gem:p=3,eps=0.1,l2").head == "gem:p=3,eps=0.1,l2"
    assert PcaSpec.parse("w=p,head=gem:layer=l,dimensions=3").head == "gem:layer=l"
    assert PcaSpec.parse("w=photos") == PcaSpec("w", Path("photos"))
    assert FilterSpec.parse("f=x.pt,stride=2x3").stride == (2, 3)
    assert FilterSpec.parse("f=x.pt,stride=2,layer=l").stride == (2, 2)
    assert FilterSpec.parse("f=x.pt").stride is None


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (PcaSpec.parse, "photos", "--pca 'photos' is not understood; write NAME=FOLDER"),
        (PcaSpec.parse, "w=", "is not understood"),
        (PcaSpec.parse, "=photos", "name '' is not allowed"),
        (PcaSpec.parse, "a/b=photos", "name 'a/b' is not allowed"),
        (PcaSpec.parse, ".a=photos", "begin with a letter, digit or '_'"),
        (PcaSpec.parse, "a" * 129 + "=photos", "at most 128"),
        (PcaSpec.parse, "w=photos,dimensions=0", "dimensions is '0'; it must be 1 or more"),
        (PcaSpec.parse, "w=photos,dimensions=1.5", "dimensions is '1.5'"),
        (PcaSpec.parse, "w=photos,head=", "give head once and with a value"),
        (PcaSpec.parse, "w=photos,layer=a,layer=b", "give layer once"),
        (FilterSpec.parse, "f=x.pt,stride=0", "stride is '0'; write 2 or 2x2"),
        (FilterSpec.parse, "f=x.pt,stride=2x2x2", "stride is '2x2x2'"),
        (FilterSpec.parse, "f=x.pt,stride=1025", "each 1 to 1024"),
    ],
)
def test_specs_that_are_refused(parse, text, message):
    with pytest.raises(ExportError) as caught:
        parse(text)
    assert message in str(caught.value)
