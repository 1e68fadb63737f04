"""ONNX files that are quantised: pairs of QuantizeLinear and DequantizeLinear become a bundle of
precision int8, other formats are refused by name.
"""

from __future__ import annotations

import json

import onnx
import onnxruntime.quantization as quantization
import pytest
import torch

from onnx_files import CLASSES, write
from pixpool.export.__main__ import main
from pixpool.export.onnx import rounding
from test_export import random_images
from test_onnx import export, maps_of, save_pictures
from test_onnx_found import normalised, run_file
from test_onnx_refusals import refusal

IMAGES = random_images(1, 64, 64)


class Pictures(quantization.CalibrationDataReader):
    def __init__(self):
        self._left = [normalised(random_images(1, 64, 64)) for _ in range(4)]

    def get_next(self):
        return {"x": self._left.pop()} if self._left else None


def quantised(folder, kind="QDQ", name="stepped.onnx", **options):
    source, target = write(folder / "small.onnx"), folder / name
    form = getattr(quantization.QuantFormat, kind)
    quantization.quantize_static(str(source), str(target), Pictures(), quant_format=form, **options)
    return target


FORMS = {
    "uint8, per channel": {"per_channel": True},
    "int8": {"activation_type": quantization.QuantType.QInt8},
    "uint8, one scale": {"activation_type": quantization.QuantType.QUInt8},
}


@pytest.mark.parametrize("form", FORMS)
def test_pairs_of_quantise_and_dequantise_stay_int8(form, tmp_path, capsys):
    file = quantised(tmp_path, **FORMS[form])
    folder, manifest = export(file, tmp_path)
    (entry,) = manifest["engines"]
    assert (entry["engine"], entry["precision"]) == ("openvino", "int8")
    assert 0.99 < entry["golden_min_cosine"] < 1
    said = capsys.readouterr().out
    assert "remark: the file rounds values to int8 (node 'x_QuantizeLinear')" in said
    assert manifest["classifier"]["class_count"] == CLASSES
    layer = manifest["layers"][-1]
    assert (layer["name"], layer["channels"], layer["stride"]) == ("features", 12, 4)
    # What the file computes, which is not what it was made from.
    made = onnx.load(str(file))
    (pool,) = (n for n in made.graph.node if n.op_type == "GlobalAveragePool")
    (wanted,) = run_file(file, {"x": normalised(IMAGES)}, pool.input[0])
    got = maps_of(folder, manifest, IMAGES)["features"]
    steps = (got - torch.from_numpy(wanted)).abs() / (wanted.max() / 255)
    assert steps.max() <= 2.01 and (steps > 0.5).float().mean() < 0.02
    text = (folder / entry["path"]).read_text()
    assert 'type="FakeQuantize"' in text and 'element_type="i8"' in text


def test_bundle_of_int8_alone_takes_a_whitening_but_no_second_int8(tmp_path, capsys):
    photos = save_pictures(tmp_path / "photos", 36)
    folder, _ = export(quantised(tmp_path), tmp_path, "--pca", f"white={photos},dimensions=4")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["projections"][0]["pictures"] == 36
    assert main([f"bundle:{folder}", "--int8", str(photos)]) == 1
    assert "--int8 needs the engine openvino in float32" in capsys.readouterr().err


def test_weights_that_are_only_stored_in_int8_are_float32(tmp_path, capsys):
    file = quantised(tmp_path, op_types_to_quantize=["Conv"])
    model = onnx.load(str(file))
    renamed = {}
    for node in list(model.graph.node):  # takes the rounding of values out, not that of weights
        if node.op_type == "QuantizeLinear":
            renamed[node.output[0]] = node.input[0]
            model.graph.node.remove(node)
    for node in list(model.graph.node):
        if node.op_type == "DequantizeLinear" and node.input[0] in renamed:
            renamed[node.output[0]] = renamed[node.input[0]]
            model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    onnx.save(model, str(file))
    folder, manifest = export(file, tmp_path)
    assert manifest["engines"][0]["precision"] == "float32"
    assert "rounds values" not in capsys.readouterr().out
    (wanted,) = run_file(file, {"x": normalised(IMAGES)}, "map")
    got = maps_of(folder, manifest, IMAGES)["features"]
    assert (got - torch.from_numpy(wanted)).abs().max() <= 2e-5 * wanted.max()


def test_operators_of_int8_are_refused_by_name(tmp_path, capsys):
    file = quantised(tmp_path, "QOperator", activation_type=quantization.QuantType.QUInt8)
    why = refusal(file, tmp_path / "m", capsys)
    assert f"OpenVINO does not read {file}: No conversion rule found for operations: " in why
    assert "The file is quantised in operators of their own" in why and "QuantFormat.QDQ" in why


def test_an_int8_graph_that_computes_otherwise_is_refused(tmp_path, capsys, monkeypatch):
    """Negative control: the bounds of int8 are applied."""
    file = quantised(tmp_path)
    monkeypatch.setattr("pixpool.export.onnx.pipeline.INT8", rounding.Bounds(1.1, 0.0))
    assert "the bundle's graph differs from ONNX Runtime" in refusal(file, tmp_path / "m", capsys)
