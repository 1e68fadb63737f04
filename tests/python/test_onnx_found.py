"""ONNX files as they are found: open axes, float16, int8, uint8 input, maps with the channels last,
new opsets, several inputs and outputs. Each becomes a bundle that computes what ONNX Runtime does,
or is refused with what is the matter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from onnx_files import CLASSES, HEAD, TRUNK, convolution, node, value, weights, write
from pixpool.export.__main__ import main
from test_export import random_images
from test_onnx import assert_close, export, maps_of
from test_onnx_refusals import refusal

MEAN, STD = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
IMAGES = random_images(2, 64, 96)


def run_file(file, feeds, *tensors):
    """ONNX Runtime on the file as it is, with more of its tensors as outputs."""
    model = onnx.load(str(file))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(list(tensors), feeds)


def normalised(images):
    return ((images.numpy().astype(np.float32) - MEAN) / STD).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The map of the plain file for IMAGES."""
    folder = tmp_path_factory.mktemp("usual")
    return maps_of(*export(write(folder / "small.onnx"), folder), IMAGES)["features"]


OPEN = {
    "all axes": (["batch_size", "num_channels", "height", "width"], False),
    "all axes without names": ([None] * 4, False),
    "all axes, channels last": (["batch", "height", "width", "channels"], True),
    "channels alone": ([1, "channels", 64, 64], False),
}


@pytest.mark.parametrize("case", OPEN)
def test_open_channels_are_settled_by_the_first_weights(case, usual, tmp_path, capsys):
    shape, last = OPEN[case]
    nodes, name = [*TRUNK, *HEAD], "x"
    if last:
        nodes, name = [node("Transpose", "pictures", "x", perm=[0, 3, 1, 2]), *nodes], "pictures"
    file = write(tmp_path / "open.onnx", nodes, inputs=[value(name, shape)])
    folder, manifest = export(file, tmp_path)
    assert manifest["classifier"]["class_count"] == CLASSES
    assert_close(maps_of(folder, manifest, IMAGES)["features"], usual)
    layout = "[N, H, W, 3]" if last else "[N, 3, H, W]"
    assert layout in capsys.readouterr().out


def test_input_without_a_shape(tmp_path, capsys):
    file = write(tmp_path / "bare.onnx", inputs=[value("x", None)])
    assert (
        f"OpenVINO does not read {file}: node 'stem': Conv-17: The input data tensor's rank has to"
        " be known" in refusal(file, tmp_path / "m", capsys)
    )


def test_open_channels_of_another_number(tmp_path, capsys):
    grey = {"stem.weight": weights()["stem.weight"][:, :1].copy()}
    file = write(tmp_path / "grey.onnx", inputs=[value("x", ["n", "c", "h", "w"])], constants=grey)
    assert (
        "input 'x' is [?,?,?,?], and the first convolution after it takes 1 channels; it must have"
        " 3 channels" in refusal(file, tmp_path / "m", capsys)
    )


def narrowed(path: Path, kind: int, inside: bool) -> Path:
    """The plain file in float16 or bfloat16: all of it, or between a cast to and a cast back."""
    model = onnx.load(str(write(path)))
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    constants = [numpy_helper.to_array(t).astype(dtype) for t in model.graph.initializer]
    names = [t.name for t in model.graph.initializer]
    del model.graph.initializer[:]
    model.graph.initializer.extend(map(numpy_helper.from_array, constants, names))
    if inside:
        first, last = model.graph.node[0], model.graph.node[-1]
        first.input[0], last.output[0], last.name = "narrow", "narrow_logits", "narrow_node_2"
        model.graph.node.insert(0, node("Cast", "x", "narrow", to=kind))
        model.graph.node.append(node("Cast", "narrow_logits", "logits", to=TensorProto.FLOAT))
    else:
        model.graph.input[0].type.tensor_type.elem_type = kind
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("inside", [True, False])
def test_float16_becomes_float32_of_the_same_weights(inside, usual, tmp_path, capsys):
    file = narrowed(tmp_path / "half.onnx", TensorProto.FLOAT16, inside)
    folder, manifest = export(file, tmp_path)
    said = capsys.readouterr().out
    assert "remark: the file computes in float16 (node '" in said
    assert "1 x 64 x 64 against the unchanged file: cosine 0.99999" in said or "cosine 1.0" in said
    assert manifest["engines"][0]["precision"] == "float32"
    assert manifest["classifier"]["class_count"] == CLASSES
    features = maps_of(folder, manifest, IMAGES)["features"]
    # The weights are rounded to float16, the arithmetic is not.
    rounded = {n: w.astype(np.float16).astype(np.float32) for n, w in weights().items()}
    whole = write(tmp_path / "whole.onnx", constants=rounded)
    wide = maps_of(*export(whole, tmp_path), IMAGES)["features"]
    assert_close(features, wide)
    assert not torch.equal(features, usual)
    images = random_images(1, 64, 64)
    kind = np.float32 if inside else np.float16
    (wanted,) = run_file(file, {"x": normalised(images).astype(kind)}, "map")
    got = maps_of(folder, manifest, images)["features"]
    assert (got - torch.from_numpy(wanted.astype(np.float32))).abs().max() <= 5e-3 * got.max()


def test_bfloat16_becomes_float32_too(tmp_path, capsys):
    file = narrowed(tmp_path / "brain.onnx", TensorProto.BFLOAT16, True)
    folder, manifest = export(file, tmp_path)
    said = capsys.readouterr().out
    assert "remark: the file computes in bfloat16 (node '" in said
    # ONNX Runtime has no convolution in it on CPUs.
    assert "remark: compared in float32 alone: ONNX Runtime does not take" in said
    assert "1 x 64 x 64 against the file in float32: cosine 1.0" in said
    kind = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
    rounded = {n: w.astype(kind).astype(np.float32) for n, w in weights().items()}
    whole = write(tmp_path / "whole.onnx", constants=rounded)
    wide = maps_of(*export(whole, tmp_path), IMAGES)["features"]
    assert_close(maps_of(folder, manifest, IMAGES)["features"], wide)
    assert manifest["classifier"]["class_count"] == CLASSES


def test_float16_that_overflows_is_refused(tmp_path, capsys):
    """Negative control of the comparison with the file as it is."""
    large = {"stem.weight": weights()["stem.weight"] * 6e4, "stem.bias": weights()["stem.bias"]}
    file = tmp_path / "half.onnx"
    model = onnx.load(str(write(file, constants=large)))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, str(file))
    assert "against the unchanged file" not in capsys.readouterr().out
    assert "differs from ONNX Runtime" in refusal(file, tmp_path / "m", capsys)


def test_weights_that_are_only_stored_in_float16_are_no_float16(tmp_path, capsys):
    stored = {"stem.stored": weights()["stem.weight"].astype(np.float16)}
    nodes = [node("Cast", "stem.stored", "stem.wide", to=TensorProto.FLOAT), *TRUNK[1:], *HEAD]
    nodes.insert(1, convolution("x stem.wide stem.bias", "stem", 2))
    file = write(tmp_path / "stored.onnx", nodes, constants=stored)
    folder, manifest = export(file, tmp_path)
    assert "float16" not in capsys.readouterr().out
    images = random_images(1, 64, 64)
    (wanted,) = run_file(file, {"x": normalised(images)}, "map")
    assert_close(maps_of(folder, manifest, images)["features"], torch.from_numpy(wanted))


def without_onnx(monkeypatch):
    import builtins

    real = builtins.__import__

    def fails(name, *arguments, **options):
        if name == "onnx":
            raise ImportError("No module named 'onnx'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", fails)


def test_float16_without_the_package_that_widens_it(tmp_path, capsys, monkeypatch):
    file = narrowed(tmp_path / "half.onnx", TensorProto.FLOAT16, True)
    without_onnx(monkeypatch)
    why = refusal(file, tmp_path / "m", capsys)
    assert "computes in float16 (node '" in why and "needs the package onnx: " in why


PIXELS = {
    "channels first": ([1, 3, 64, 64], [node("Cast", "pixels", "f", to=TensorProto.FLOAT)]),
    "channels last": (
        ["n", "h", "w", 3],
        [
            node("Transpose", "pixels", "turned", perm=[0, 3, 1, 2]),
            node("Cast", "turned", "f", to=TensorProto.FLOAT),
        ],
    ),
}


@pytest.mark.parametrize("case", PIXELS)
def test_pixels_that_the_file_normalises_itself(case, usual, tmp_path, capsys):
    shape, first = PIXELS[case]
    nodes = [*first, node("Sub", "f mean", "centred"), node("Div", "centred std", "x")]
    constants = {"mean": MEAN.reshape(3, 1, 1), "std": STD.reshape(3, 1, 1)}
    inputs = [value("pixels", shape, TensorProto.UINT8)]
    file = write(tmp_path / "pixels.onnx", [*nodes, *TRUNK, *HEAD], inputs, constants=constants)
    folder, manifest = export(file, tmp_path)
    assert (manifest["input"]["mean"], manifest["input"]["std"]) == ([0.0] * 3, [1.0] * 3)
    said = capsys.readouterr().out
    assert "are normalised with" not in said and " uint8 of " in said
    assert manifest["classifier"]["class_count"] == CLASSES
    assert_close(maps_of(folder, manifest, IMAGES)["features"], usual)
    assert (
        "input 'pixels' takes uint8 pixels, which the file normalises itself; leave them out"
        in refusal(file, tmp_path / "m", capsys, "--mean", "127", "--std", "128")
    )


def channels_last_inside() -> list[onnx.NodeProto]:
    """The plain network as exporters of channels-last frameworks write it: each convolution between
    two transposes, and the sum, the activation and the average between them."""

    def last(inputs: str, output: str, stride: int = 1) -> list[onnx.NodeProto]:
        data, *rest = inputs.split()
        return [
            node("Transpose", data, f"{output}_in", perm=[0, 3, 1, 2]),
            convolution(" ".join([f"{output}_in", *rest]), f"{output}_out", stride),
            node("Transpose", f"{output}_out", output, perm=[0, 2, 3, 1]),
        ]

    return [
        *last("pictures stem.weight stem.bias", "stem", 2),
        node("Relu", "stem", "stem_relu"),
        *last("stem_relu down.weight", "down", 2),
        *last("down body.weight", "branch"),
        node("Add", "down branch", "sum"),
        node("Relu", "sum", "map"),
        node("ReduceMean", "map", "flat", axes=[1, 2], keepdims=0),
        HEAD[-1],
    ]


@pytest.mark.parametrize("named", [False, True])
def test_maps_with_the_channels_last(named, usual, tmp_path):
    nodes = channels_last_inside()
    file = write(tmp_path / "last.onnx", nodes, inputs=[value("pictures", ["n", 64, 64, 3])])
    layers = ["--layers", "stride2=stem_relu,features=map"] if named else []
    folder, manifest = export(file, tmp_path, *layers)
    assert [(x["name"], x["channels"], x["stride"]) for x in manifest["layers"]] == [
        ("stride2", 8, 2),
        ("features", 12, 4),
    ]
    assert manifest["classifier"]["class_count"] == CLASSES
    assert manifest["layers"][-1]["non_negative"]
    assert_close(maps_of(folder, manifest, IMAGES)["features"], usual)


@pytest.mark.parametrize("opset", range(18, onnx.defs.onnx_opset_version() + 1))
def test_newer_opsets(opset, usual, tmp_path):
    file = write(tmp_path / "new.onnx", opset=opset)
    folder, manifest = export(file, tmp_path)
    assert manifest["classifier"]["class_count"] == CLASSES
    assert_close(maps_of(folder, manifest, IMAGES)["features"], usual)


SIZE = value("size", [1, 2])
MORE = [node("Relu", "size", "sized")]
MIXED = [node("ReduceMean", "size", "one", keepdims=0), node("Mul", "logits one", "scaled")]


def test_inputs_and_outputs_that_have_nothing_to_do_with_pictures_are_left_out(
    usual, tmp_path, capsys
):
    """As of CLIP: one file for pictures and texts, and outputs of both and of each."""
    outputs = [value(name, None) for name in ("scaled", "sized", "logits")]
    file = write(
        tmp_path / "two.onnx",
        [*TRUNK, *HEAD, *MORE, *MIXED],
        [SIZE, value("x", [1, 3, 64, 64])],
        outputs,
    )
    folder, manifest = export(file, tmp_path)
    said = capsys.readouterr().out
    assert "left out: input 'size', output 'scaled', output 'sized'" in said
    assert manifest["classifier"]["class_count"] == CLASSES
    assert_close(maps_of(folder, manifest, IMAGES)["features"], usual)
    why = refusal(file, tmp_path / "m", capsys, "--onnx-output", "scaled")
    assert "output 'scaled' needs 'size' besides the pictures of input 'x'" in why
    why = refusal(file, tmp_path / "m", capsys, "--onnx-output", "sized")
    assert "output 'sized' needs 'size' besides the pictures of input 'x'" in why
    why = refusal(file, tmp_path / "m", capsys, "--onnx-output", "map")
    assert f"--onnx-output: {file} has no output 'map'; it has 'scaled', 'sized', 'logits'" in why
    why = refusal(file, tmp_path / "m", capsys, "--onnx-input", "y")
    assert f"--onnx-input: {file} has no input 'y'; it has 'size', 'x'" in why
    why = refusal(file, tmp_path / "m", capsys, "--onnx-input", "size")
    assert "input 'size' is [1,2]; pictures are [N, 3, H, W]" in why


def test_two_inputs_that_may_take_pictures(usual, tmp_path, capsys):
    left = [node("Identity", "left", "x"), *TRUNK, *HEAD]
    right = [convolution("right stem.weight", "other", 2), node("GlobalMaxPool", "other", "most")]
    inputs = [value(name, [1, 3, 64, 64]) for name in ("left", "right")]
    outputs = [value("logits", None), value("most", None)]
    file = write(tmp_path / "two.onnx", [*left, *right], inputs, outputs)
    assert (
        "has 2 inputs ('left' [1,3,64,64], 'right' [1,3,64,64]), of which 2 may take pictures;"
        " --onnx-input names the one that does" in refusal(file, tmp_path / "m", capsys)
    )
    folder, manifest = export(file, tmp_path, "--onnx-input", "left")
    assert_close(maps_of(folder, manifest, IMAGES)["features"], usual)
    _, manifest = export(file, tmp_path / "right", "--onnx-input", "right")
    assert [layer["stride"] for layer in manifest["layers"]] == [2]


def test_of_several_answers_one_is_chosen(usual, tmp_path, capsys):
    second = node("Gemm", "flat fc.weight", "second", transB=1)
    outputs = [value(name, None) for name in ("logits", "second", "map")]
    file = write(tmp_path / "two.onnx", [*TRUNK, *HEAD, second], outputs=outputs)
    _, manifest = export(file, tmp_path / "both")
    assert "classifier" not in manifest
    assert (
        "no classifier: the outputs logits, second end in linear layers of their own;"
        " --onnx-output chooses one" in capsys.readouterr().out
    )
    folder, manifest = export(file, tmp_path, "--onnx-output", "second")
    assert not np.fromfile(folder / manifest["classifier"]["bias"], "<f4").any()
    assert "left out: output 'logits', output 'map'" in capsys.readouterr().out
    assert_close(maps_of(folder, manifest, IMAGES)["features"], usual)


@pytest.mark.parametrize(
    "arguments",
    [("efficientnet-lite0", "--onnx-input", "x"), ("efficientnet-lite0", "--onnx-output", "y")],
)
def test_flags_of_onnx_files_with_other_models(arguments, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path)]) == 1
    assert "--onnx-input and --onnx-output are for ONNX files" in capsys.readouterr().err


def test_random_numbers_are_named(tmp_path, capsys):
    noise = [
        node("RandomNormalLike", "map", "noise", scale=0.1),
        node("Add", "map noise", "noisy"),
        node("GlobalAveragePool", "noisy", "pooled"),
    ]
    file = write(tmp_path / "noise.onnx", [*TRUNK, *noise, *HEAD[1:]])
    assert "draws random numbers (node '" in refusal(file, tmp_path / "m", capsys)
