"""Families whose layers are known from their papers, and their export held to that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

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
# One of each kind of classifier and of each package, of those that take a few seconds.
QUICK = ("torchvision:resnet18", "torchvision:mobilenet_v3_large", "timm:convnext_atto")


def assert_exports(spec: str, folder: Path) -> None:
    """Exports a model with random weights, which checks each of its graphs against PyTorch, and
    holds the bundle to what is known of it.
    """
    assert main([spec, "--random-weights", "--out", str(folder)]) == 0
    (path,) = folder.glob("*/1/manifest.json")
    manifest = json.loads(path.read_text())
    shutil.rmtree(folder / path.parts[-3])  # up to 200 MB each
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
