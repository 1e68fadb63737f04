"""The networks that the package onnx carries without their learnt weights, written by Caffe2's
exporter for one picture of 224 x 224: each becomes a bundle, for every size where the file holds
for it. The exporter itself compares each with ONNX Runtime.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest
import torch

from test_export import random_images
from test_onnx import export, maps_of
from test_onnx_found import normalised, run_file

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# File -> channels by stride, and whether it ends in average pooling and a linear layer.
TAKEN = {
    "light_bvlc_alexnet": ({4: 96, 8: 256, 16: 256}, False),
    "light_densenet121": ({2: 64, 4: 128, 8: 256, 16: 512, 32: 1024}, True),
    "light_inception_v1": ({2: 64, 4: 192, 8: 480, 16: 832, 32: 1024}, True),
    "light_inception_v2": ({2: 64, 4: 192, 8: 320, 16: 576, 32: 1024}, True),
    "light_resnet50": ({2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}, True),
    # Its average is over the scores themselves.
    "light_shufflenet": ({2: 24, 8: 136, 16: 272, 32: 544}, True),
    "light_squeezenet": ({2: 64, 4: 128, 8: 256, 16: 1000}, False),
    "light_vgg19": ({2: 128, 4: 256, 8: 512, 16: 512}, False),
    "light_zfnet512": ({2: 96, 8: 256, 16: 512}, False),
}
# Its channel shuffle is written for one picture of that size.
OF_ONE_SIZE = {"light_shufflenet"}


def test_every_file_is_looked_at():
    assert {path.stem for path in FOLDER.glob("*.onnx")} == {*TAKEN}


@pytest.mark.parametrize("name", TAKEN)
def test_files_that_become_bundles(name, tmp_path):
    layers, classifier = TAKEN[name]
    folder, manifest = export(FOLDER / f"{name}.onnx", tmp_path)
    assert {layer["stride"]: layer["channels"] for layer in manifest["layers"]} == layers
    assert ("sizes" in manifest["input"]) == (name in OF_ONE_SIZE)
    assert ("classifier" in manifest) == classifier
    if classifier:
        assert manifest["classifier"]["class_count"] == 1000
    shutil.rmtree(folder)  # up to 30 MB each


def test_bundle_gives_what_onnx_runtime_does(tmp_path):
    """Independently of the exporter's own comparison."""
    file = FOLDER / "light_squeezenet.onnx"
    folder, manifest = export(file, tmp_path)
    images = random_images(1, 224, 224)
    model = onnx.load(str(file))
    (pool,) = (node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    picture = next(v.name for v in model.graph.input if v.name.startswith("data"))
    (wanted,) = run_file(file, {picture: normalised(images)}, pool.input[0])
    got = maps_of(folder, manifest, images)["features"]
    assert (got - torch.from_numpy(wanted)).abs().max() <= 1e-4 * wanted.max()
