"""Which ONNX files the exporter refuses, that it says why, and that it leaves nothing behind."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from onnx_files import HEAD, TRUNK, node, value, write
from pixpool.export.__main__ import main
from test_onnx import to_onnx


def refusal(file, out, capsys, *arguments):
    assert main([f"onnx:{file}", "--out", str(out), *arguments]) == 1
    assert not out.exists() or not list(out.iterdir())
    return capsys.readouterr().err


SEQUENCE = helper.make_value_info(
    "parts", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, None))
)
FLAT = [node("Flatten", "x", "flat"), node("MatMul", "flat wide", "logits")]

FILES = {
    "two inputs": (
        {
            "inputs": [value("x", [1, 3, 64, 64]), value("size", [1, 2])],
            "nodes": [
                *TRUNK,
                *HEAD,
                node("ReduceMean", "size", "one", keepdims=0),
                node("Mul", "logits one", "scaled"),
            ],
            "outputs": [value("scaled", None)],
        },
        "output 'scaled' needs 'size' besides the pictures of input 'x'; a bundle's network takes"
        " pictures alone",
    ),
    "no input": (
        {"nodes": [node("Constant", "", "logits", value_floats=[1.0])], "inputs": []},
        "has 0 inputs (none)",
    ),
    "vectors": (
        {"nodes": [node("Relu", "v", "logits")], "inputs": [value("v", [1, 40])]},
        "input 'v' is [1,40]; pictures are [N, 3, H, W] or [N, H, W, 3]",
    ),
    "grey pictures": (
        {"nodes": [node("Relu", "g", "logits")], "inputs": [value("g", [1, 1, 28, 28])]},
        "input 'g' is [1,1,28,28]; it must have 3 channels (red, green, blue)",
    ),
    "double precision": (
        {
            "nodes": [node("Cast", "d", "x", to=TensorProto.FLOAT), *TRUNK, *HEAD],
            "inputs": [value("d", [1, 3, 64, 64], TensorProto.DOUBLE)],
        },
        "input 'd' is f64; export the model in float32",
    ),
    "two inputs that are no pictures": (
        {
            "inputs": [value("a", [1, 40]), value("b", [1, 40])],
            "nodes": [node("Add", "a b", "logits")],
        },
        "has 2 inputs ('a' [1,40], 'b' [1,40]), none of which takes pictures",
    ),
    "an operator of one's own": (
        {
            "nodes": [*TRUNK, node("Frobnicate", "map", "logits", domain="my.own")],
            "domain": "my.own",
        },
        "OpenVINO does not read {file}: No conversion rule found for operations: my.own.Frobnicate",
    ),
    "a sequence as output": (
        {
            "nodes": [*TRUNK, helper.make_node("SplitToSequence", ["map"], ["parts"], axis=1)],
            "outputs": [SEQUENCE],
        },
        "OpenVINO does not read {file}: No conversion rule found for operations:"
        " util::SequenceMark",
    ),
    "no map": (
        {"nodes": FLAT, "constants": {"wide": np.zeros((3 * 64 * 64, 5), np.float32)}},
        "has no feature map [N, C, h, w] that follows the input size",
    ),
    "no map but the turned picture": (
        {
            "nodes": [node("Transpose", "p", "x", perm=[0, 3, 1, 2]), *FLAT],
            "inputs": [value("p", [1, 64, 64, 3])],
            "constants": {"wide": np.zeros((3 * 64 * 64, 5), np.float32)},
        },
        "has no feature map [N, C, h, w] that follows the input size",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files(case, tmp_path, capsys):
    parts, why = FILES[case]
    if case == "no input":
        file = write(tmp_path / "file.onnx", parts["nodes"])
        model = onnx.load(str(file))
        del model.graph.input[:]
        onnx.save(model, str(file))
    else:
        file = write(tmp_path / "file.onnx", **parts)
    assert why.format(file=file) in refusal(file, tmp_path / "m", capsys)


@pytest.mark.parametrize("content", [b"", b"not a model", "cut"])
def test_what_is_no_onnx_file(content, tmp_path, capsys):
    file = write(tmp_path / "file.onnx")
    file.write_bytes(file.read_bytes()[:2000] if content == "cut" else content)
    assert f"OpenVINO does not read {file}: " in refusal(file, tmp_path / "m", capsys)
    assert f"there is no ONNX file '{tmp_path / 'other.onnx'}'" in refusal(
        tmp_path / "other.onnx", tmp_path / "m", capsys
    )


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ("a=nowhere", "layer 'a': the file has no tensor 'nowhere' that a node gives; it has"),
        ("a=ma", "it has map"),
        ("a=map#1", "has no tensor 'map#1'"),
        ("a=x", "has no tensor 'x' that a node gives"),
        ("a=stem.weight", "has no tensor 'stem.weight'"),
        (
            "a=flat",
            "layer 'a': tensor 'flat' is [1,12], not a feature map [N, C, h, w]; name one before"
            " it",
        ),
        ("a=map,b=map", "layers 'a' and 'b' are the same map; name it once"),
        ("a=stem,a=map", "layer name 'a' is used twice"),
        ("map", "layer 'map' is not understood"),
        ("a=pooled", "layer 'a' gives [1, 12, 1, 1] for 64 x 64 pixels"),
    ],
)
def test_layers(layers, why, tmp_path, capsys):
    assert why in refusal(write(tmp_path / "file.onnx"), tmp_path / "m", capsys, "--layers", layers)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ("--engines", "torchscript"),
            "--engines torchscript: an ONNX file gives the engine openvino alone",
        ),
        (("--engines", "torchscript,openvino"), "an ONNX file gives the engine openvino alone"),
        (("--aotinductor", "cpu"), "--aotinductor compiles PyTorch modules"),
        (("--weights", "w.pth"), "has its weights in it"),
        (("--random-weights",), "has its weights in it"),
        (("--labels", "imagenet"), "1000 names; the classifier has 5"),
        (("--input-size", "8"), "input height is 8; it must be at least 16"),
    ],
)
def test_options(arguments, why, tmp_path, capsys):
    assert why in refusal(write(tmp_path / "file.onnx"), tmp_path / "m", capsys, *arguments)


def test_operator_that_onnx_runtime_lacks_leaves_nothing_to_check_against(
    tmp_path, capsys, monkeypatch
):
    def fails(*_arguments, **_options):
        raise RuntimeError("no kernel for it\nat some place")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    why = refusal(write(tmp_path / "file.onnx"), tmp_path / "m", capsys)
    assert (
        "so there is nothing to check the bundle against: no kernel for it" in why
        and "at some place" not in why
    )


def test_without_openvino_the_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pixpool.export.onnx.source.openvino_package", lambda: None)
    # pixpool itself is on no index.
    assert "pip install './client/python[onnx]' in a checkout of pixpool" in refusal(
        write(tmp_path / "file.onnx"), tmp_path / "m", capsys
    )


def test_a_transformer(torchvision, tmp_path, capsys):
    """As people have it: exported for one picture of 224 x 224."""
    torch.manual_seed(1)
    encoder = torchvision.models.VisionTransformer(224, 32, 3, 2, 32, 64).eval()
    why = refusal(to_onnx(encoder, tmp_path / "transformer.onnx"), tmp_path / "m", capsys)
    assert "'/conv_proj/Conv_output_0' is the last map" in why
    assert "as a transformer does, and an ONNX file gives maps alone: export the PyTorch mod" in why
