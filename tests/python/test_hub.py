"""Folders that Hugging Face's transformers saves: each bundle gives what the package's own call
does, and its recipe the pixels of the package's own preprocessing.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixpool.export.__main__ import main
from pixpool.export.errors import ExportError
from pixpool.export.hub import read_recipe
from pixpool.export.hub_recipe import hub_recipe
from pixpool.export.models import load_model
from pixpool.export.preprocess import preprocess
from test_export import load_graph, random_images

transformers = pytest.importorskip("transformers")

from hub_families import (  # noqa: E402
    CROPPED,
    FAMILIES,
    MORE_FAMILIES,
    SIDE,
    SQUARE,
    VIT,
    assert_bundle_gives_what_the_package_does,
    change,
    close,
    export,
    normalized,
    save,
)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_bundle_gives_what_the_packages_own_call_does(name, torchvision, tmp_path):
    assert_bundle_gives_what_the_package_does(FAMILIES[name], tmp_path)


def picture(width: int, height: int) -> Image.Image:
    """Smooth with edges."""
    rng = np.random.default_rng(width)
    small = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


PROCESSORS = [
    ("ViTImageProcessorPil", SQUARE),
    ("ViTImageProcessorPil", SQUARE | {"do_normalize": False}),
    ("ViTImageProcessorPil", SQUARE | {"do_rescale": False, "image_mean": [1, 2, 3]}),
    ("ViTImageProcessorPil", SQUARE | {"rescale_factor": 1 / 127.5, "resample": 3}),
    ("SiglipImageProcessorPil", {"size": {"height": 80, "width": 48}}),
    ("CLIPImageProcessorPil", CROPPED),
    ("CLIPImageProcessorPil", CROPPED | {"crop_size": {"height": 48, "width": 56}}),
    ("BitImageProcessorPil", CROPPED | {"resample": 2}),
    ("DeiTImageProcessorPil", {"size": {"height": 80, "width": 80}, "crop_size": SQUARE["size"]}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": SIDE}, "crop_pct": 0.8}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
]


@pytest.mark.parametrize(("processor", "fields"), PROCESSORS)
def test_pixels_are_those_of_the_image_processor(processor, fields, tmp_path):
    own = getattr(transformers, processor)(**fields)
    own.save_pretrained(tmp_path)
    recipe = read_recipe(transformers, tmp_path, (SIDE, SIDE))
    recipe.validate()
    for image in (picture(400, 300), picture(176, 264), picture(96, 96)):
        wanted = own(image, return_tensors="np")["pixel_values"][0]
        pixels = preprocess(image, recipe).astype(np.float64).transpose(2, 0, 1)
        mean, std = (np.array(v)[:, None, None] for v in (recipe.mean, recipe.std))
        np.testing.assert_allclose((pixels - mean) / std, wanted, rtol=1e-5, atol=1e-5)


def test_a_crop_may_lie_a_pixel_beside_the_packages(tmp_path):
    """Of 3 pixels that are left over the package takes 1 before the crop, the server 2, as
    torchvision does; of 1 and 5 both take as many."""
    size = {"height": 48, "width": 32}
    own = transformers.CLIPImageProcessorPil(do_resize=False, do_normalize=False, crop_size=size)
    own.save_pretrained(tmp_path)
    recipe = read_recipe(transformers, tmp_path, (SIDE, SIDE))
    assert (recipe.resize, recipe.crop, recipe.height, recipe.width) == ("none", "center", 48, 32)
    for left, beside in ((1, 0), (3, 1), (5, 0)):
        image = picture(32 + left, 48 + left)
        moved = image.crop((beside, beside, image.width, image.height))
        wanted = own(moved, return_tensors="np")["pixel_values"][0] * 255
        pixels = preprocess(image, recipe).transpose(2, 0, 1)
        np.testing.assert_allclose(pixels, wanted, atol=1e-3)


def test_a_processor_that_resizes_unrounded_values_differs_by_a_level_at_most(
    torchvision, tmp_path
):
    own = transformers.DINOv3ViTImageProcessor(**SQUARE, do_normalize=False)
    own.save_pretrained(tmp_path)
    recipe = read_recipe(transformers, tmp_path, (SIDE, SIDE))
    for image in (picture(400, 300), picture(176, 264)):
        wanted = own(image, return_tensors="np")["pixel_values"][0] * 255
        pixels = preprocess(image, recipe).astype(np.float64).transpose(2, 0, 1)
        assert np.abs(pixels - wanted).max() <= 1.0
        assert np.abs(pixels - wanted).mean() <= 0.1


OLDER = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 3,
}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (
            {"feature_extractor_type": "ViTFeatureExtractor", "size": 224},
            {"resize": "exact", "crop": "none", "height": 224, "width": 224},
        ),
        (
            {
                "feature_extractor_type": "CLIPFeatureExtractor",
                "size": 256,
                "do_center_crop": True,
                "crop_size": 224,
            },
            {"resize": "shorter_side", "resize_size": 256, "crop": "center", "height": 224},
        ),
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875},
            {"resize": "shorter_side", "resize_size": 256, "crop": "center", "width": 224},
        ),
    ],
)
def test_files_of_older_versions(tmp_path, fields, wanted):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**OLDER, **fields}))
    recipe = read_recipe(transformers, tmp_path, (SIDE, SIDE))
    assert {name: getattr(recipe, name) for name in wanted} == wanted
    assert (recipe.mean, recipe.std) == ((127.5,) * 3, (127.5,) * 3)


def test_the_recipe_of_a_processor_of_pictures_and_texts(tmp_path):
    fields = {**OLDER, "image_processor_type": "SiglipImageProcessor", **SQUARE}
    both = {"processor_class": "SiglipProcessor", "image_processor": fields}
    (tmp_path / "processor_config.json").write_text(json.dumps(both))
    recipe = read_recipe(transformers, tmp_path, (224, 224))
    assert (recipe.resize, recipe.height, recipe.width) == ("exact", SIDE, SIDE)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"do_pad": True}, "'do_pad' is true; the server resizes, crops the centre"),
        ({"do_flip_channel_order": True}, "'do_flip_channel_order' is true"),
        (
            {"size": {"shortest_edge": 64, "longest_edge": 96}},
            "'size' is {'shortest_edge': 64, 'longest_edge': 96}; the server resizes the shorter",
        ),
        ({"size": {"height": 0, "width": 9}}, "it must have sides of at least 1 pixel"),
        ({"size": None}, "does not say 'size'"),
        ({"image_mean": [0.5]}, "'image_mean' is [0.5]; it must be three numbers"),
        ({"rescale_factor": 0}, "'rescale_factor' is 0; it must be a number above 0"),
        (
            {"do_center_crop": True, "crop_size": 80},
            "'crop_size' is 80 x 80; it must be at most 64 x 64, the size that is resized to",
        ),
    ],
)
def test_what_the_server_cannot_do_is_refused_by_name(fields, message):
    taken = {**OLDER, "do_rescale": True, "rescale_factor": 1 / 255, **SQUARE, **fields}
    with pytest.raises(ExportError) as caught:
        hub_recipe(taken, "ViT", (SIDE, SIDE), "preprocessor_config.json")
    assert str(caught.value).startswith("preprocessor_config.json") and message in str(caught.value)


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    return save(MORE_FAMILIES["vit"], tmp_path_factory.mktemp("saved") / "vit")


def refusal(source: Path | str, out: Path, capsys, *arguments: str) -> str:
    assert main([f"hf:{source}", "--out", str(out), *arguments]) == 1
    assert not out.is_dir() or list(out.iterdir()) == []
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (
            "config.json",
            {"model_type": "bert"},
            "config.json: model_type is 'bert' (ViTModel); the",
        ),
        ("config.json", {"quantization_config": {}}, "the weights are quantised"),
        (
            "config.json",
            {"num_channels": 1},
            "takes pictures of 1 channel; a bundle's network takes",
        ),
        ("config.json", {"num_hidden_layers": 3}, "16 are missing: "),
        (
            "config.json",
            {"hidden_size": 40},
            "do not fit its config.json: 37 of another shape in the file: ",
        ),
        ("preprocessor_config.json", {"resample": 1}, "interpolation is lanczos; it must be bili"),
        (
            "preprocessor_config.json",
            {"do_pad": True},
            "preprocessor_config.json: 'do_pad' is true",
        ),
    ],
)
def test_folders_that_are_refused(file, changes, message, vit, tmp_path, capsys):
    folder = tmp_path / "vit"
    shutil.copytree(vit, folder)
    change(folder / file, **changes)
    assert message in refusal(folder, tmp_path / "models", capsys)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "has no config.json, which says what the model is"),
        (
            "preprocessor_config.json",
            "has no preprocessor_config.json, which says how pictures are",
        ),
        ("model.safetensors", "has no model.safetensors (nor "),
    ],
)
def test_files_that_are_missing(file, message, vit, tmp_path, capsys):
    folder = tmp_path / "vit"
    shutil.copytree(vit, folder)
    (folder / file).unlink()
    assert message in refusal(folder, tmp_path / "models", capsys)


def test_errors_that_tell_the_cause(vit, tmp_path, capsys, monkeypatch):
    out = tmp_path / "models"
    assert "there is no folder 'nowhere'" in refusal("nowhere", out, capsys)
    said = refusal("google/vit-base-patch16-224", out, capsys)
    assert "downloads nothing from the hub: fetch it with hf download google/vit-base" in said
    said = refusal(vit, out, capsys, "--model-args", "depht=3")
    assert "--model-args: ViTModel has no depht" in said
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "Install it: pip install transformers" in refusal(vit, out, capsys)


def test_a_file_without_a_pooler_gives_the_class_token(tmp_path):
    torch.manual_seed(3)
    model = transformers.ViTModel(transformers.ViTConfig(**VIT), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path / "dino")
    transformers.ViTImageProcessorPil(**SQUARE).save_pretrained(tmp_path / "dino")
    folder, manifest = export(tmp_path / "dino", tmp_path / "models", "--engines", "torchscript")
    images = random_images(2, 96, 80)
    with torch.no_grad():
        output = model(normalized(manifest, images), interpolate_pos_encoding=True)
    close(load_graph(folder)(images)[-1], output.last_hidden_state[:, 0])


def test_weights_in_half_precision_and_a_name_of_the_hubs_cache(tmp_path):
    kept = tmp_path / "models--me--tiny" / "snapshots" / ("0" * 40)
    save(MORE_FAMILIES["vit"], kept)
    model = transformers.ViTModel.from_pretrained(kept).half()
    model.save_pretrained(kept)
    (kept / "README.md").write_text("---\nlicense: apache-2.0\ntags:\n- vision\n---\n# Tiny\n")
    source = load_model(f"hf:{kept}")
    assert (source.name, source.license) == ("tiny", "Apache-2.0")
    assert {parameter.dtype for parameter in source.module.parameters()} == {torch.float32}
    images = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        close(source.module(images), model.float()(images).pooler_output)


def test_a_checkpoint_of_another_number_of_classes(vit, tmp_path):
    config = transformers.ViTConfig(**VIT, num_labels=7)
    torch.manual_seed(3)
    model = transformers.ViTForImageClassification(config).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "mine.pth")
    folder = save(FAMILIES["vit with classes"], tmp_path / "saved")
    source = load_model(f"hf:{folder}", tmp_path / "mine.pth")
    assert "7 classes" in source.origin and source.license == "unknown"
    images = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        close(source.module(images), model(images).logits)
    made = load_model(f"hf:{vit}", random_weights=True, model_args={"num_hidden_layers": 1})
    assert sum("layernorm_before.weight" in name for name in made.module.state_dict()) == 1
