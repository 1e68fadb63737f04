"""What the exporter refuses to write, and that it says why and leaves nothing behind."""

import pytest
import torch

from pixpool.export.__main__ import main
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.errors import ExportError
from pixpool.export.models import load_model
from pixpool.export.padding import follow_input_size
from pixpool.export.weights import load_weights
from test_export import TinyNet, export, tiny_source


class WrongSize(TinyNet):
    def forward(self, x):
        if x.shape[-1] == 224:
            raise ValueError("wrong width")
        return super().forward(x)


class Random(TinyNet):
    def forward(self, x):
        return super().forward(x + torch.rand_like(x))


@pytest.mark.parametrize(
    ("model", "layers", "message"),
    [
        (WrongSize, None, "fails on an input of 224 x 224 pixels: wrong width. --input-size sets"),
        (WrongSize, ["a=act"], "fails on an input of 224 x 224 pixels: wrong width"),
        (Random, None, "not deterministic"),
        (TinyNet, ["a=nowhere.act"], "layer 'a': the model has no module 'nowhere.act'"),
        (TinyNet, ["a=fc"], r"layer 'a': module 'fc' gives \(1, 5\), not a feature map"),
        (TinyNet, ["a=act#1"], "layer 'a': module 'act' runs only 1 time"),
        (TinyNet, ["a=pool"], "must be a map .N, C, h, w. whose h and w follow"),
        (TinyNet, ["a=act", "a=body"], "layer name 'a' is used twice"),
        (TinyNet, ["act"], "layer 'act' is not understood; write name=module.path"),
    ],
)
def test_models_and_layers(tmp_path, model, layers, message):
    with pytest.raises(ExportError, match=f"(?s){message}"):
        export(tiny_source(model()), tmp_path, layers=layers)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": "lanczos"}, "interpolation is lanczos; it must be bilinear|bicubic"),
        ({"height": 8}, "input height is 8; it must be at least 16"),
        ({"std": (1.0, 0.0, 1.0)}, "it must be above 0"),
        ({"resize_size": 0}, "resize_size is 0; it must be at least 1"),
    ],
)
def test_recipes(tmp_path, changes, message):
    with pytest.raises(ExportError) as caught:
        export(tiny_source(), tmp_path, recipe_changes=changes)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_labels(tmp_path):
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(ExportError, match="has 2 lines; the classifier has 5 classes"):
        export(tiny_source(), tmp_path / "m", labels=str(tmp_path / "labels.txt"))
    (tmp_path / "labels.txt").write_text("one\ntwo\n\nfour\nfive\n")
    with pytest.raises(ExportError, match="line 3 is empty"):
        export(tiny_source(), tmp_path / "m", labels=str(tmp_path / "labels.txt"))
    with pytest.raises(ExportError, match="1000 names; the classifier has 5"):
        export(tiny_source(), tmp_path / "m", labels="imagenet")


def test_weights_files(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(ExportError, match="does not exist"):
        load_weights(TinyNet(), path)
    torch.save(TinyNet(), path)  # a pickled model: loading it would run code
    with pytest.raises(ExportError, match="cannot be read.*Only plain state dicts"):
        load_weights(TinyNet(), path)
    state = TinyNet().state_dict()
    torch.save({**state, "extra": torch.zeros(1)}, path)
    with pytest.raises(ExportError, match="11 entries 11 match\n  1 unknown to the model: extra"):
        load_weights(TinyNet(), path)
    torch.save({**state, "fc.bias": torch.zeros(6)}, path)
    with pytest.raises(
        ExportError, match=r"1 of another shape in the file: fc.bias \[6\] for \[5\]"
    ):
        load_weights(TinyNet(), path)
    torch.save([1, 2], path)
    with pytest.raises(ExportError, match="does not hold a state dict"):
        load_weights(TinyNet(), path)


@pytest.mark.parametrize("spec", ["resnet18", "timm:", "module:only_one", "jax:resnet"])
def test_unknown_models(spec):
    with pytest.raises(ExportError, match="is not known; give efficientnet-lite0"):
        load_model(spec)


def test_module_that_is_not_there(tmp_path, capsys):
    assert main(["module:no_such_module:make", "--out", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert "'no_such_module', which cannot be imported" in error and "PYTHONPATH" in error
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_names_that_leave_the_folder(tmp_path, name):
    arguments = ["efficientnet-lite0", "--out", str(tmp_path), "--version", name]
    assert main(arguments) == 1
    assert list(tmp_path.iterdir()) == []


def test_classifier_is_left_out_where_it_would_answer_differently(tmp_path):
    class Extra(TinyNet):
        def forward(self, x):
            pooled = self.pool(self.body(self.act(self.norm(self.stem(x))))).flatten(1)
            return self.fc(pooled * 2.0)

    lines = []
    options = BundleOptions(out=tmp_path, vectors=["none"])
    write_bundle(tiny_source(Extra()), options, lines.append)
    assert any("misses the model's own logits" in line for line in lines)
    assert "classifier" not in (tmp_path / "tiny" / "1" / "manifest.json").read_text()


def test_same_padding_left_alone_is_caught(tmp_path, monkeypatch):
    """Negative control: without the padding that follows the input, a graph holds for those sizes
    alone at which it is the same."""
    monkeypatch.setattr("pixpool.export.following.follow_input_size", lambda _model: 0)
    from efficientnet_lite_pytorch import EfficientNet

    # Without an image size the package computes the padding in Python, which a trace freezes.
    model = EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()
    _, manifest = export(tiny_source(model), tmp_path, layers=["features=_bn1"])
    assert manifest["input"]["sizes"] == {"only": [{"height": 224, "width": 224}]}
    assert follow_input_size(model) == 49
