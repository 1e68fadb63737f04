"""The user's own checkpoint: found in what training scripts save, matched by name, with its own
number of classes; what does not match is listed."""

import argparse
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pixpool.export.__main__ import main
from pixpool.export.errors import ExportError
from pixpool.export.models import load_model
from pixpool.export.weights import load_weights, read_weights
from test_export import TinyNet


class Classes(TinyNet):
    def __init__(self, num_classes: int = 5):
        super().__init__()
        self.fc = nn.Linear(16, num_classes)


@pytest.fixture
def mine(monkeypatch):
    module = types.ModuleType("my_models")
    module.tiny, module.classes = TinyNet, Classes
    monkeypatch.setitem(sys.modules, "my_models", module)


def trained(model: nn.Module | None = None) -> dict[str, torch.Tensor]:
    state = (model or TinyNet()).state_dict()
    generator = torch.Generator().manual_seed(11)
    return {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in state.items()
    }


def assert_loaded(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name].to(value.dtype))


def saved(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "mine.pth"
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "_orig_mod.", "model._orig_mod.", "module.net.encoder."]
)
def test_prefixes_of_wrappers_are_taken_off(tmp_path, prefix):
    state = trained()
    path = saved(tmp_path, {prefix + name: value for name, value in state.items()})
    model = TinyNet()
    load_weights(model, path)
    assert_loaded(model, state)


def test_a_compiled_part_is_found_where_it_is(tmp_path):
    state = trained()
    path = saved(tmp_path, {n.replace("body.", "body._orig_mod."): v for n, v in state.items()})
    model = TinyNet()
    load_weights(model, path)
    assert_loaded(model, state)


def test_what_training_kept_beside_the_model_is_left_and_said(tmp_path, mine):
    inside = {f"model.{name}": value for name, value in trained().items()}
    path = saved(tmp_path, {"state_dict": {**inside, "criterion.weight": torch.ones(5)}})
    source = load_model("module:my_models:tiny", path)
    assert_loaded(source.module, trained())
    assert source.origin.endswith(
        "weights of mine.pth ('state_dict' of it; names without 'model.'; 1 others left out, such"
        " as criterion.weight)"
    )


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "ema", "model_ema", "weights_of_mine"])
def test_a_state_dict_inside_a_checkpoint(tmp_path, wrapper):
    state = trained()
    checkpoint = {
        wrapper: state,
        "epoch": 3,
        "best": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1, out=tmp_path),
        "optimizer": {"state": {0: {"step": torch.zeros(1)}}, "param_groups": [{"lr": 0.1}]},
    }
    model = TinyNet()
    load_weights(model, saved(tmp_path, checkpoint))
    assert_loaded(model, state)


def test_of_two_state_dicts_one_is_taken_and_the_other_named(tmp_path, mine, capsys):
    state = trained()
    average = {name: value + 1 for name, value in state.items()}
    path = saved(tmp_path, {"model_ema": average, "model": state, "epoch": 1})
    file = read_weights(path)
    assert file.remark == "'model' of it (--weights-key takes another: model_ema)"
    assert_loaded(load_model("module:my_models:tiny", path).module, state)
    source = load_model("module:my_models:tiny", path, weights_key="model_ema")
    assert_loaded(source.module, average)
    with pytest.raises(ExportError, match="no state dict of that name; it has model_ema, model"):
        read_weights(path, "emma")
    arguments = ["module:my_models:tiny", "--out", str(tmp_path / "m"), "--weights-key", "ema"]
    assert main(arguments) == 1
    assert "--weights-key names a part of the file of --weights" in capsys.readouterr().err


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state = trained()
    path = tmp_path / "mine.safetensors"
    safetensors.save_file({f"model.{name}": value for name, value in state.items()}, path)
    model = TinyNet()
    load_weights(model, path)
    assert_loaded(model, state)


def test_half_precision_becomes_single_and_batch_counts_may_be_missing(tmp_path):
    state = {n: v.half() for n, v in trained().items() if not n.endswith("num_batches_tracked")}
    model = TinyNet()
    load_weights(model, saved(tmp_path, state))
    assert model.fc.weight.dtype == torch.float32
    torch.testing.assert_close(model.fc.weight, state["fc.weight"].float())


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:resnet18"])
def test_the_number_of_classes_is_the_files(tmp_path, torchvision, spec):
    from torchvision.models import resnet18

    state = trained(resnet18(num_classes=7))
    source = load_model(spec, saved(tmp_path, {"state_dict": state}))
    assert source.module.fc.out_features == 7
    assert_loaded(source.module, state)
    assert "7 classes, weights of mine.pth" in source.origin


def test_a_file_without_a_classifier_of_timm(tmp_path, torchvision):
    timm = pytest.importorskip("timm")
    state = trained(timm.create_model("resnet18", num_classes=0))
    source = load_model("timm:resnet18", saved(tmp_path, state))
    assert isinstance(source.module.fc, nn.Identity)
    assert_loaded(source.module, state)


def test_a_factory_that_takes_the_number_of_classes(tmp_path, mine):
    path = saved(tmp_path, trained(Classes(9)))
    assert load_model("module:my_models:classes", path).module.fc.out_features == 9
    with pytest.raises(ExportError, match=r"2 of another shape.*fc.weight \[9, 16\] for \[5, 16\]"):
        load_model("module:my_models:tiny", path)
    given = {"num_classes": 4}
    with pytest.raises(ExportError, match=r"fc.weight \[9, 16\] for \[4, 16\]"):
        load_model("module:my_models:classes", path, model_args=given)


def test_what_does_not_match_is_listed(tmp_path, mine):
    state = {f"net.{name}": value for name, value in trained().items()}
    state["net.stem.weight"] = torch.zeros(8, 1, 3, 3)
    del state["net.norm.bias"], state["net.fc.bias"]
    state |= {f"net.extra{at}": torch.zeros(1) for at in range(10)}
    with pytest.raises(ExportError) as caught:
        load_model("module:my_models:tiny", saved(tmp_path, state))
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/mine.pth does not fit the model: of the model's 11 entries 8 match (under the"
        " prefix 'net.')",
        "  1 of another shape in the file: stem.weight [8, 1, 3, 3] for [8, 3, 3, 3]",
        "  2 missing in the file: norm.bias, fc.bias",
        "  10 unknown to the model: " + ", ".join(f"extra{at}" for at in range(8)) + " and 2 more",
        "--model-args sets what the model is made with",
    ]


class Config:
    """Of a training script: making one runs its code."""


def test_objects_are_not_made_and_their_class_is_named(tmp_path):
    path = saved(tmp_path, {"state_dict": trained(), "config": Config()})
    with pytest.raises(ExportError, match="it holds an object of test_weights.Config.*run code"):
        read_weights(path)


def test_model_args_reach_the_call(tmp_path, mine, torchvision, capsys):
    arguments = ["module:my_models:classes", "--random-weights", "--out", str(tmp_path)]
    assert main([*arguments, "--model-args", "num_classes=3"]) == 0
    assert "classifier of 3 classes" in capsys.readouterr().out
    assert main([*arguments, "--force", "--model-args", "depth=(1,2)", "name=big"]) == 1
    assert "classes(depth=(1, 2), name='big') fails" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--model-args", "3"])
    assert "'3' is no argument; write NAME=VALUE" in capsys.readouterr().err
    # A vision transformer of open sizes, which had become a bundle of its first convolution.
    arguments = ["timm:vit_tiny_patch16_224", "--random-weights", "--out", str(tmp_path / "vit")]
    small = ["depth=2", "embed_dim=48", "num_heads=3"]
    open_sizes = ["dynamic_img_size=true", "dynamic_img_pad=true"]
    assert main([*arguments, "--model-args", *small, *open_sizes]) == 0
    said = capsys.readouterr().out
    assert "classifier of 1000 classes on vector 'embedding'" in said
    assert "left out" not in said
    for spec in ("efficientnet-lite0", "onnx:x.onnx"):
        assert main([spec, "--out", str(tmp_path / "no"), "--model-args", "a=1"]) == 1
        assert "--model-args" in capsys.readouterr().err


def test_one_channel_networks_are_told_about_channels(tmp_path, torchvision, capsys):
    arguments = ["timm:resnet18", "--random-weights", "--out", str(tmp_path)]
    for layers in ([], ["--layers", "features=layer4"]):
        assert main([*arguments, *layers, "--model-args", "in_chans=1"]) == 1
        assert "takes pictures of 1 channel; --grey exports it" in capsys.readouterr().err
    grey = [*arguments, "--model-args", "in_chans=1", "--grey"]
    assert main(grey) == 1
    assert "one mean and one std" in capsys.readouterr().err
    assert main([*grey, "--mean", "127.5", "--std", "64"]) == 0
    said = capsys.readouterr().out
    assert "golden: 512 values\n" in said and "classifier of 1000 classes" in said
    manifest = json.loads((tmp_path / "resnet18" / "1" / "manifest.json").read_text())
    assert manifest["input"]["color"] == "grey"
    assert manifest["input"]["mean"] == [127.5] * 3


def test_random_weights_download_nothing(torchvision, monkeypatch):
    def download(*_arguments, **_options):
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    load_model("torchvision:deeplabv3_mobilenet_v3_large", random_weights=True)


def test_the_package_that_is_missing_is_named(monkeypatch):
    def without_torchvision(name):
        error = ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
        raise error

    monkeypatch.setattr("importlib.import_module", without_torchvision)
    for spec in ("timm:resnet18", "torchvision:resnet18"):
        with pytest.raises(ExportError, match="pip install torchvision$"):
            load_model(spec, random_weights=True)


def test_names_near_one_that_is_not_known(torchvision):
    with pytest.raises(ExportError, match="has no model 'resnet81'; near it are .*resnet18"):
        load_model("torchvision:resnet81")
    with pytest.raises(ExportError, match="has no model 'resnet81.a1_in1k'; near it are"):
        load_model("timm:resnet81.a1_in1k")
