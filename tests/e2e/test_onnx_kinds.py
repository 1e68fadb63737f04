"""ONNX files in float16, in int8 and with uint8 input on the real server: features are those that
ONNX Runtime gives for the file as it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxruntime.quantization as quantization
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from test_onnx import MEAN, PIPELINE, STD, Small, cosine

CLIENT = Path(__file__).resolve().parents[2] / "client" / "python"
# Kind -> the precision that is served, and the cosine with the file as it is.
KINDS = {"half": ("float32", 0.9999), "stepped": ("int8", 0.999), "pixels": ("float32", 0.9999)}


def in_float16(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def in_pixels(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    for at, (key, number) in enumerate((("own_mean", MEAN), ("own_std", STD))):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(number), key))
        made = "centred" if at == 0 else name
        node = helper.make_node(("Sub", "Div")[at], [("wide", "centred")[at], key], [made])
        model.graph.node.insert(at, node)
    model.graph.node.insert(0, helper.make_node("Cast", ["pixels"], ["wide"], to=1))
    model.graph.input[0].name = "pixels"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


class Pictures(quantization.CalibrationDataReader):
    def __init__(self, name: str, paths) -> None:
        self._left = [{name: PIPELINE(path).numpy()} for path in paths]

    def get_next(self):
        return self._left.pop() if self._left else None


@pytest.fixture(scope="module")
def files(photos, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    plain = folder / "plain.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that needs no other package
        torch.onnx.export(Small().eval(), torch.zeros(1, 3, 224, 224), plain, dynamo=False)
    for kind, change in (("half", in_float16), ("pixels", in_pixels)):
        model = onnx.load(str(plain))
        change(model)
        onnx.save(model, str(folder / f"{kind}.onnx"))
    name = onnx.load(str(plain)).graph.input[0].name
    pictures = Pictures(name, photos.values())
    quantization.quantize_static(str(plain), str(folder / "stepped.onnx"), pictures)
    return {kind: folder / f"{kind}.onnx" for kind in KINDS}


@pytest.fixture(scope="module")
def client(files, api, start_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    for kind, file in files.items():
        recipe = ["--mean", str(MEAN), "--std", str(STD)] if kind != "pixels" else []
        recipe += ["--interpolation", "bicubic", "--out", folder]
        command = [sys.executable, "-m", "pixpool.export", f"onnx:{file}", *recipe]
        environment = {**os.environ, "PYTHONPATH": str(CLIENT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    return api.client(start_server(models=folder).target)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_file(kind, files, client, photos):
    precision, least = KINDS[kind]
    info = client.stub.GetModel(client.pb.GetModelRequest(model=kind), timeout=10).model
    assert (info.engine, info.precision) == ("openvino", precision)
    model = onnx.load(str(files[kind]))
    (mean,) = (n for n in model.graph.node if n.op_type in ("ReduceMean", "GlobalAveragePool"))
    model.graph.output.append(onnx.ValueInfoProto(name=mean.input[0]))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for path in photos.values():
        values = PIPELINE(path).numpy()
        if kind == "pixels":
            values = np.rint(values * STD + MEAN).astype(np.uint8)
        elif kind == "half":
            values = values.astype(np.float16)
        wanted = session.run([mean.input[0]], {session.get_inputs()[0].name: values})[0][0]
        (got,) = client.features(path, "feature_map", model=kind)
        assert cosine(got, wanted) > least
