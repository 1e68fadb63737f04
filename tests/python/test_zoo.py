"""The exporter on the families that people use, with random weights: it checks each of its graphs
against PyTorch itself.
"""

from __future__ import annotations

import json
import shutil

import pytest

from pixpool.export.__main__ import main

# Model -> layers by stride with their channels, from the papers or the model's own definition.
FAMILIES = {
    "torchvision:resnet18": {4: 64, 8: 128, 16: 256, 32: 512},
    "torchvision:resnet50": {4: 256, 8: 512, 16: 1024, 32: 2048},
    "torchvision:mobilenet_v2": {4: 24, 8: 32, 16: 96, 32: 1280},
    "torchvision:mobilenet_v3_large": {4: 24, 8: 40, 16: 112, 32: 960},
    "torchvision:efficientnet_b0": {4: 24, 8: 40, 16: 112, 32: 1280},
    "torchvision:vgg11": {4: 256, 8: 512, 16: 512, 32: 512},
    "torchvision:densenet121": {4: 256, 8: 512, 16: 1024, 32: 1024},
    "torchvision:convnext_tiny": {4: 96, 8: 192, 16: 384, 32: 768},
    "timm:resnet18": {4: 64, 8: 128, 16: 256, 32: 512},
    "timm:mobilenetv3_small_100": {4: 16, 8: 24, 16: 48, 32: 576},
    "timm:efficientnet_lite0": {4: 24, 8: 40, 16: 112, 32: 1280},
    "timm:convnext_atto": {4: 40, 8: 80, 16: 160, 32: 320},
}
# Where the classifier is linear on the pooled last map, so that activation maps can be had.
LINEAR = {
    "torchvision:resnet18",
    "torchvision:resnet50",
    "torchvision:mobilenet_v2",
    "torchvision:efficientnet_b0",
    "timm:resnet18",
    "timm:efficientnet_lite0",
}


@pytest.mark.parametrize("spec", FAMILIES)
def test_families_export_with_both_engines(spec, tmp_path, torchvision, capsys):
    assert main([spec, "--random-weights", "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    (path,) = tmp_path.glob("*/1/manifest.json")
    manifest = json.loads(path.read_text())
    shutil.rmtree(tmp_path / path.parts[-3])  # up to 200 MB each
    by_stride = {layer["stride"]: layer["channels"] for layer in manifest["layers"]}
    assert {stride: by_stride.get(stride) for stride in FAMILIES[spec]} == FAMILIES[spec]
    assert {e["engine"] for e in manifest["engines"]} == {"torchscript", "openvino"}
    stands_on = {key: manifest["classifier"].get(key) for key in ("layer", "vector")}
    on_map = spec in LINEAR
    assert stands_on == {
        "layer": "features" if on_map else None,
        "vector": None if on_map else "embedding",
    }
    (vector,) = manifest["vectors"]
    assert vector["name"] == "embedding"
    assert manifest["parameters"]["left_out"] == 0
    assert manifest["golden"]


def test_a_name_that_is_not_there(tmp_path, torchvision, capsys):
    assert main(["timm:no_such_model", "--random-weights", "--out", str(tmp_path)]) == 1
    assert "Is the name right?" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/1"))
