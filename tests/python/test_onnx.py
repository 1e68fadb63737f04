"""ONNX files as a source of the exporter: the bundle computes what PyTorch and ONNX Runtime do, for
any size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from onnx_files import CLASSES, HEAD, TRUNK, node, value, weights, write
from pixpool.export.__main__ import main
from pixpool.export.onnx import pipeline, reference
from pixpool.export.openvino_graph import OpenVinoGraph
from test_export import random_images

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
SIZES = [(1, 224, 224), (2, 160, 288), (3, 131, 97), (1, 48, 200)]


def export(file, out, *arguments):
    """Folder and manifest of the bundle of a file; its progress is on the standard output."""
    assert main([f"onnx:{file}", "--out", str(out), *arguments]) == 0
    folder = out / file.stem / "1"
    return folder, json.loads((folder / "manifest.json").read_text())


def to_onnx(model, path, side=224, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that needs no other package
        torch.onnx.export(model, torch.zeros(1, 3, side, side), path, dynamo=False, **options)
    return path


def maps_of(folder, manifest, images):
    maps = OpenVinoGraph(folder / manifest["engines"][0]["path"], 1)(images)
    return dict(zip((layer["name"] for layer in manifest["layers"]), maps, strict=True))


def normalised(images):
    return ((images.float() - MEAN) / STD).permute(0, 3, 1, 2)


def assert_close(got, wanted):
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= 2e-5 * wanted.abs().max()


def untrained(torchvision, name):
    """With statistics of the batches as training leaves them: not 0 and 1, which hide mistakes."""
    torch.manual_seed(5)
    model = torchvision.models.get_model(name, weights=None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.7, 1.4)
    return model


# Model -> layers, strides and channels that are to be found, and the modules that they are.
FOUND = {
    "resnet18": {
        "stride4": (4, 64, "layer1"),
        "stride8": (8, 128, "layer2"),
        "stride16": (16, 256, "layer3"),
        "features": (32, 512, "layer4"),
    },
    "mobilenet_v2": {
        "stride4": (4, 24, "features.3"),
        "stride8": (8, 32, "features.6"),
        "stride16": (16, 96, "features.13"),
        "features": (32, 1280, "features.18"),
    },
}


@pytest.fixture(scope="module", params=FOUND)
def zoo(request, torchvision, tmp_path_factory):
    """Name, module, and the bundle of its file, which is made for one picture of 224 x 224."""
    folder = tmp_path_factory.mktemp("zoo")
    model = untrained(torchvision, request.param)
    file = to_onnx(model, folder / f"{request.param}.onnx")
    return request.param, model, *export(file, folder / "models")


def test_bundle_of_a_torchvision_model_gives_pytorchs_maps_at_any_size(zoo):
    name, model, folder, manifest = zoo
    layers = {layer["name"]: layer for layer in manifest["layers"]}
    assert manifest["default_layer"] == "features"
    for layer, (stride, channels, _) in FOUND[name].items():
        assert (layers[layer]["stride"], layers[layer]["channels"]) == (stride, channels)
    assert layers["features"]["non_negative"]
    assert layers["stride8"]["non_negative"] == (
        name == "resnet18"
    )  # a sum without activation in the other
    for size in SIZES:
        images, wanted, handles = random_images(*size), {}, []
        for layer, (_, _, path) in FOUND[name].items():
            module = model.get_submodule(path)
            handles.append(module.register_forward_hook(keep(wanted, layer)))
        with torch.no_grad():
            model(normalised(images))
        for handle in handles:
            handle.remove()
        got = maps_of(folder, manifest, images)
        for layer in FOUND[name]:
            assert_close(got[layer], wanted[layer])


def keep(outputs, layer):
    """A hook that puts what a module gives under the layer's name."""
    return lambda _module, _inputs, output: outputs.update({layer: output})


def test_classifier_of_a_torchvision_model_is_its_linear_layer(zoo):
    name, model, folder, manifest = zoo
    entry, linear = manifest["classifier"], model.fc if name == "resnet18" else model.classifier[1]
    assert (entry["layer"], entry["class_count"], entry.get("labels")) == ("features", 1000, None)
    weight = np.fromfile(folder / entry["weight"], "<f4").reshape(1000, -1)
    np.testing.assert_array_equal(weight, linear.weight.detach())
    np.testing.assert_array_equal(np.fromfile(folder / entry["bias"], "<f4"), linear.bias.detach())


def test_files_of_the_bundle_are_what_the_manifest_says(zoo):
    _, _, folder, manifest = zoo
    assert manifest["engines"] == [
        {"engine": "openvino", "precision": "float32", "path": "backbone.xml"}
    ]
    assert manifest["license"] == "unknown"
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    assert set(listed) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for path, digest in listed.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    # Under the recipe: 320 x 240 becomes 341 x 256, and the centre of that is taken.
    sized = Image.open(folder / "golden.png").resize((341, 256), Image.Resampling.BILINEAR)
    left, top = round((341 - 224) / 2), (256 - 224) // 2
    images = torch.from_numpy(np.asarray(sized.crop((left, top, left + 224, top + 224))).copy())[
        None
    ]
    vector = maps_of(folder, manifest, images)["features"].mean((2, 3))[0]
    np.testing.assert_allclose(
        np.fromfile(folder / "golden.f32", "<f4"), vector, rtol=1e-4, atol=1e-6
    )


def run_file(file, images, mean, std, *tensors):
    """ONNX Runtime on the file as it is."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    values = (images.numpy().astype(np.float32) - mean) / std
    return session.run(list(tensors), {"x": values.transpose(0, 3, 1, 2)})


def test_file_made_by_hand(tmp_path, capsys):
    file = write(tmp_path / "small.onnx", outputs=[value("logits", None), value("map", None)])
    folder, manifest = export(file, tmp_path, "--mean", "10,20,30", "--std", "40,50,60")
    assert [(layer["name"], layer["stride"]) for layer in manifest["layers"]] == [
        ("stride2", 2),
        ("features", 4),
    ]
    assert (
        manifest["input"]["height"],
        manifest["input"]["width"],
        manifest["input"]["resize_size"],
    ) == (64, 64, 73)
    images = random_images(1, 64, 64)
    (wanted,) = run_file(file, images, np.float32([10, 20, 30]), np.float32([40, 50, 60]), "map")
    assert_close(maps_of(folder, manifest, images)["features"], torch.from_numpy(wanted))
    said = capsys.readouterr().out
    assert f"reference: ONNX Runtime {onnxruntime.__version__}" in said
    assert "against the unchanged file: cosine 1.0" in said
    assert "layer features: 12 channels, stride 4, never negative, map" in said
    assert "normalised with" not in said  # both were given
    assert manifest["golden"]["layer"] == "features"
    assert manifest["classifier"]["class_count"] == CLASSES  # whatever other outputs there are


def test_default_normalisation_is_said_aloud(tmp_path, capsys):
    _, manifest = export(write(tmp_path / "small.onnx"), tmp_path, "--std", "255")
    assert manifest["input"]["std"] == [255.0] * 3
    assert (
        "remark: pixels are normalised with mean 123.675,116.28,103.53 and std 255,255,255"
        in capsys.readouterr().out
    )


def test_layers_are_named_by_tensors(tmp_path):
    file = write(tmp_path / "small.onnx")
    folder, manifest = export(
        file, tmp_path, "--layers", "low=stem,top=sum", "--input-size", "96x128"
    )
    layers = {
        layer["name"]: (layer["channels"], layer["stride"], layer["non_negative"])
        for layer in manifest["layers"]
    }
    assert layers == {"low": (8, 2, False), "top": (12, 4, False)}
    whole, all_layers = export(file, tmp_path / "whole")
    images = random_images(2, 96, 128)
    top, features = (
        maps_of(folder, manifest, images)["top"],
        maps_of(whole, all_layers, images)["features"],
    )
    assert top.min() < 0
    assert_close(top.relu(), features)


def test_padding_apart_and_an_average_of_the_files_own_size_are_no_layers(tmp_path):
    """As some exporters write SAME padding and global pooling."""
    pads = {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])}
    apart = [
        TRUNK[1],
        node("Pad", "stem_relu pads", "padded"),
        node("Conv", "padded down.weight", "down", strides=[2, 2]),
        *TRUNK[3:],
    ]
    average = [node("AveragePool", "map", "pooled", kernel_shape=[16, 16]), *HEAD[1:]]
    file = write(tmp_path / "small.onnx", [TRUNK[0], *apart, *average], constants=pads)
    folder, manifest = export(file, tmp_path)
    assert [(layer["name"], layer["stride"]) for layer in manifest["layers"]] == [
        ("stride2", 2),
        ("features", 4),
    ]
    usual = maps_of(*export(write(tmp_path / "usual.onnx"), tmp_path), random_images(2, 64, 96))
    got = maps_of(folder, manifest, random_images(2, 64, 96))
    for layer in ("stride2", "features"):
        assert_close(got[layer], usual[layer])
    assert manifest["classifier"]["layer"] == "features"


@pytest.mark.parametrize(
    "shape", [["n", 3, "h", "w"], [None, 3, None, None], [6, 3, 64, 64], [1, 3, "h", 64]]
)
def test_sizes_that_the_file_fixes_or_leaves_open_make_no_difference(shape, tmp_path):
    fixed = maps_of(*export(write(tmp_path / "small.onnx"), tmp_path), random_images(2, 50, 70))[
        "features"
    ]
    file = write(tmp_path / "other.onnx", inputs=[value("x", shape)])
    folder, manifest = export(file, tmp_path)
    side = 64 if 64 in shape else 224
    assert (manifest["input"]["height"], manifest["input"]["width"]) == (side, side)
    assert manifest["classifier"]["class_count"] == CLASSES
    assert_close(maps_of(folder, manifest, random_images(2, 50, 70))["features"], fixed)


def test_channels_last_input(tmp_path):
    first = maps_of(*export(write(tmp_path / "first.onnx"), tmp_path), random_images(2, 80, 48))[
        "features"
    ]
    nodes = [node("Transpose", "pictures", "x", perm=[0, 3, 1, 2]), *TRUNK, *HEAD]
    file = write(tmp_path / "last.onnx", nodes, inputs=[value("pictures", [1, 64, 72, 3])])
    folder, manifest = export(file, tmp_path)
    assert (manifest["input"]["height"], manifest["input"]["width"]) == (64, 72)
    assert_close(maps_of(folder, manifest, random_images(2, 80, 48))["features"], first)
    assert manifest["classifier"]["layer"] == "features"


def test_file_that_takes_blue_green_red(tmp_path, capsys):
    images, mean = random_images(2, 80, 48), ("--mean", "100,110,120")
    folder, one = export(write(tmp_path / "first.onnx"), tmp_path, *mean)
    turned = {"stem.weight": weights()["stem.weight"][:, ::-1].copy()}
    file = write(tmp_path / "turned.onnx", constants=turned)
    other, two = export(file, tmp_path, *mean, "--bgr")
    assert_close(maps_of(other, two, images)["features"], maps_of(folder, one, images)["features"])
    _, three = export(write(tmp_path / "third.onnx", constants=turned), tmp_path, *mean)
    assert three["weights_sha256"] != two["weights_sha256"]  # other vectors
    assert main(["efficientnet-lite0", "--bgr", "--out", str(tmp_path / "no")]) == 1
    assert "--bgr is for ONNX files" in capsys.readouterr().err


SCALED = node("Gemm", "flat fc.weight fc.bias", "logits", transB=1, alpha=0.5, beta=3.0)
TURNED = {"fc.turned": weights()["fc.weight"].T.copy()}
ENDS = {
    "gemm": ([], 1.0, 1.0, {}),
    "scaled gemm": ([SCALED], 0.5, 3.0, {}),
    "product and sum": (
        [node("MatMul", "flat fc.turned", "p"), node("Add", "p fc.bias", "logits")],
        1.0,
        1.0,
        TURNED,
    ),
    "sum the other way": (
        [node("MatMul", "flat fc.turned", "p"), node("Add", "fc.bias p", "logits")],
        1.0,
        1.0,
        TURNED,
    ),
    "casts between": (
        [
            node("MatMul", "flat fc.turned", "p"),
            node("Cast", "p", "q", to=1),
            node("Add", "q fc.bias", "logits"),
        ],
        1.0,
        1.0,
        TURNED,
    ),
    "no bias": ([node("MatMul", "flat fc.turned", "logits")], 1.0, 0.0, TURNED),
}


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_classifiers_that_are_found(end, softmax, tmp_path):
    nodes, scale, bias_scale, constants = ENDS[end]
    nodes = [*TRUNK, *HEAD[:2], *(nodes or HEAD[2:])]
    outputs = [value("logits", None)]
    if softmax:
        nodes, outputs = [*nodes, node("Softmax", "logits", "scores")], [value("scores", None)]
    folder, manifest = export(
        write(tmp_path / "small.onnx", nodes, outputs=outputs, constants=constants), tmp_path
    )
    entry = manifest["classifier"]
    assert (entry["layer"], entry["class_count"]) == ("features", CLASSES)
    weight = np.fromfile(folder / entry["weight"], "<f4").reshape(CLASSES, -1)
    np.testing.assert_allclose(weight, scale * weights()["fc.weight"], rtol=1e-6)
    np.testing.assert_allclose(
        np.fromfile(folder / entry["bias"], "<f4"), bias_scale * weights()["fc.bias"], rtol=1e-6
    )


# A square root between pooling and classifier.
ROOT = [
    node("Sqrt", "flat", "root"),
    node("Gemm", "root fc.weight fc.bias", "logits", transB=1),
]


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([node("GlobalMaxPool", "map", "pooled"), *HEAD[1:]], "misses the model's own logits"),
        ([*HEAD[:2], *ROOT], "misses the model's own logits"),
        ([*HEAD[:1], node("Relu", "pooled", "logits")], "does not end in a linear layer"),
        ([*HEAD, node("Sigmoid", "logits", "scores")], "does not end in a linear layer"),
    ],
)
def test_other_ends_have_no_classifier_and_it_is_said(nodes, why, tmp_path, capsys):
    file = write(
        tmp_path / "small.onnx", [*TRUNK, *nodes], outputs=[value(nodes[-1].output[0], None)]
    )
    _, manifest = export(file, tmp_path)
    assert "classifier" not in manifest
    assert "no classifier" in (said := capsys.readouterr().out) and why in said


def test_labels_and_licence(tmp_path):
    (tmp_path / "names.txt").write_text("".join(f"class {i}\n" for i in range(CLASSES)))
    folder, manifest = export(
        write(tmp_path / "small.onnx"),
        tmp_path,
        "--labels",
        str(tmp_path / "names.txt"),
        "--license",
        "MIT",
    )
    assert (folder / manifest["classifier"]["labels"]).read_text().splitlines()[
        -1
    ] == f"class {CLASSES - 1}"
    assert manifest["license"] == "MIT"


def test_weights_decide_the_digest_and_the_file_is_the_same_each_time(tmp_path):
    first, one = export(write(tmp_path / "small.onnx"), tmp_path / "a")
    other = write(tmp_path / "renamed.onnx", inputs=[value("x", ["n", 3, "h", "w"])])
    second, two = export(other, tmp_path / "b", "--input-size", "64")
    assert one["weights_sha256"] == two["weights_sha256"]
    for name in ("backbone.xml", "backbone.bin", "golden.f32"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    _, three = export(
        write(tmp_path / "more.onnx", constants={"stem.bias": weights(2)["stem.bias"]}), tmp_path
    )
    _, four = export(
        write(tmp_path / "layer.onnx"), tmp_path, "--layers", "stride2=stem_relu,features=sum"
    )
    assert len({m["weights_sha256"] for m in (one, three, four)}) == 3


def test_weights_beside_the_file(tmp_path):
    inside = maps_of(*export(write(tmp_path / "small.onnx"), tmp_path), random_images(1, 64, 64))[
        "features"
    ]
    (tmp_path / "apart").mkdir()
    file = write(
        tmp_path / "apart" / "outside.onnx",
        save_as_external_data=True,
        location="outside.data",
        size_threshold=0,
    )
    assert (tmp_path / "apart" / "outside.data").stat().st_size > 4000
    outside = maps_of(*export(file, tmp_path), random_images(1, 64, 64))["features"]
    assert torch.equal(inside, outside)


def test_without_onnx_runtime_openvino_is_the_reference(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "has_onnx_runtime", lambda: False)
    _, manifest = export(write(tmp_path / "small.onnx"), tmp_path)
    said = capsys.readouterr().out
    assert "reference: OpenVINO on the file itself, in its most accurate setting" in said
    assert said.count("check openvino") == 4 and "cosine 1.0000000" in said
    assert manifest["classifier"]["class_count"] == CLASSES
    golden = np.fromfile(tmp_path / "small" / "1" / "golden.f32", "<f4")
    monkeypatch.undo()
    folder, _ = export(write(tmp_path / "again.onnx"), tmp_path)
    np.testing.assert_allclose(
        golden, np.fromfile(folder / "golden.f32", "<f4"), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("runtime", [True, False])
def test_a_graph_that_computes_otherwise_is_refused(tmp_path, monkeypatch, runtime, capsys):
    """Negative control: a mean that is off by one of 255."""
    right = pipeline.layer_graph
    monkeypatch.setattr(
        pipeline,
        "layer_graph",
        lambda source, layers, recipe: right(
            source, layers, dataclasses.replace(recipe, mean=(124.0, 117.0, 104.0))
        ),
    )
    if not runtime:
        monkeypatch.setattr(reference, "has_onnx_runtime", lambda: False)
    assert main([f"onnx:{write(tmp_path / 'small.onnx')}", "--out", str(tmp_path / "m")]) == 1
    named = "ONNX Runtime" if runtime else "OpenVINO on the file itself"
    assert f"the bundle's graph differs from {named}" in capsys.readouterr().err
    assert not list((tmp_path / "m").iterdir())


def save_pictures(folder, count):
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((80, 60), Image.Resampling.BICUBIC).save(folder / f"{number:03d}.png")
    return folder


def test_whitening_and_int8_of_an_onnx_bundle(tmp_path, capsys):
    photos = save_pictures(tmp_path / "photos", 36)
    file = write(tmp_path / "small.onnx")
    folder, manifest = export(file, tmp_path, "--pca", f"white={photos},dimensions=4")
    (entry,) = manifest["projections"]
    assert (entry["pictures"], entry["input_dimensions"], entry["output_dimensions"]) == (36, 12, 4)
    assert (
        main([f"bundle:{folder}", "--int8", str(photos), "--pca", f"other={photos},dimensions=3"])
        == 0
    )
    capsys.readouterr()
    second = tmp_path / "small" / "2"
    manifest = json.loads((second / "manifest.json").read_text())
    assert [e["precision"] for e in manifest["engines"]] == ["float32", "int8"]
    assert {p["name"] for p in manifest["projections"]} == {"white", "other"}
    row = manifest["engines"][1]
    assert row["fidelity"]["cosine_median"] >= 0.99 and row["fidelity"]["top1_agreement"] >= 0.95
    assert 'type="FakeQuantize"' in (second / row["path"]).read_text()
