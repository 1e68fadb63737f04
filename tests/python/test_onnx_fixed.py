"""ONNX files whose constants hold for one size: their bundles take that one, any number of pictures
at a time, and give what ONNX Runtime gives of the file as it is, picture by picture.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onnx_files import CLASSES, HEAD, TRUNK, convolution, node, value, write
from pixpool.export.__main__ import main
from test_export import random_images
from test_onnx import assert_close, export, maps_of, to_onnx, untrained
from test_onnx_found import normalised, run_file
from test_onnx_refusals import refusal

# As exporters write a channel shuffle for a fixed size: 2 groups of 6 channels.
SHUFFLE = [
    node("Reshape", "map grouped", "groups"),
    node("Transpose", "groups", "turned", perm=[0, 2, 1, 3, 4]),
    node("Reshape", "turned flatter", "shuffled"),
]
# More than a classifier's few layers.
DEEP = [
    convolution(f"{'shuffled' if at == 0 else f'deep{at}'} body.weight", f"deep{at + 1}")
    for at in range(6)
]
LAST = [*DEEP, node("GlobalAveragePool", "deep6", "pooled"), *HEAD[1:]]
ONE = {"only": [{"height": 64, "width": 64}]}


def shuffling(path, batch: int = 1, nodes=()):
    constants = {
        "grouped": np.int64([batch, 2, 6, 16, 16]),
        "flatter": np.int64([batch, 12, 16, 16]),
    }
    inputs = [value("x", [batch, 3, 64, 64])]
    return write(path, [*TRUNK, *(nodes or SHUFFLE), *LAST], inputs, constants=constants)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_file_of_one_size(batch, tmp_path, capsys):
    file = shuffling(tmp_path / "shuffle.onnx", batch)
    folder, manifest = export(file, tmp_path)
    assert manifest["input"]["sizes"] == ONE
    assert [(x["name"], x["channels"], x["stride"]) for x in manifest["layers"]] == [
        ("stride2", 8, 2),
        ("features", 12, 4),
    ]
    assert manifest["classifier"]["class_count"] == CLASSES
    said = capsys.readouterr().out
    assert "input: the bundle takes 64 x 64 pixels alone" in said
    assert "remark: not every size: " in said and "node 'groups_node'" in said
    images = random_images(3, 64, 64)
    # The last picture twice where the file wants pairs.
    fed = [images[at : at + 1] for at in range(3)] if batch == 1 else [images[:2], images[[2, 2]]]
    wanted = [run_file(file, {"x": normalised(part)}, "deep6")[0] for part in fed]
    wanted = torch.from_numpy(np.concatenate(wanted)[:3])
    assert_close(maps_of(folder, manifest, images)["features"], wanted)


def test_named_layers_of_one_size_and_of_any(tmp_path):
    file = shuffling(tmp_path / "shuffle.onnx")
    _, manifest = export(file, tmp_path, "--layers", "a=map,b=shuffled")
    assert manifest["input"]["sizes"] == ONE
    _, manifest = export(file, tmp_path / "before", "--layers", "a=map")
    assert "sizes" not in manifest["input"]


@pytest.mark.parametrize("size", ["96", "64,96"])
def test_another_size_is_refused_with_what_is_the_matter(size, tmp_path, capsys):
    file = shuffling(tmp_path / "shuffle.onnx")
    why = refusal(file, tmp_path / "m", capsys, "--input-size", size)
    assert "Requested output shape [1,2,6,16,16] is incompatible" in why
    assert "Export the file with dynamic batch, height and width" in why


def test_pictures_that_the_file_mixes_are_refused(tmp_path, capsys):
    """Negative control: the number of pictures does not come first in this reshape."""
    mixing = [
        node("Reshape", "map grouped", "groups"),
        node("Transpose", "groups", "turned", perm=[1, 0, 2, 3, 4]),
        node("Reshape", "turned flatter", "shuffled"),
    ]
    file = shuffling(tmp_path / "mixing.onnx", nodes=mixing)
    assert "differs from ONNX Runtime" in refusal(file, tmp_path / "m", capsys)


def test_shufflenet_of_torchvision(torchvision, tmp_path):
    """As people have it: exported for one picture of 224 x 224."""
    model = untrained(torchvision, "shufflenet_v2_x0_5")
    file = to_onnx(model, tmp_path / "shufflenet.onnx")
    folder, manifest = export(file, tmp_path)
    assert manifest["input"]["sizes"] == {"only": [{"height": 224, "width": 224}]}
    assert manifest["classifier"]["class_count"] == 1000
    assert {layer["stride"]: layer["channels"] for layer in manifest["layers"]} == {
        2: 24,
        8: 48,
        16: 96,
        32: 1024,
    }
    images, seen = random_images(2, 224, 224), []
    model.conv5.register_forward_hook(lambda _m, _i, output: seen.append(output))
    with torch.no_grad():
        model(torch.from_numpy(normalised(images)))
    assert_close(maps_of(folder, manifest, images)["features"], seen[0])


def test_a_file_that_holds_for_every_size_is_not_bound(tmp_path):
    assert main([f"onnx:{write(tmp_path / 'small.onnx')}", "--out", str(tmp_path)]) == 0
    assert '"sizes"' not in (tmp_path / "small" / "1" / "manifest.json").read_text()
