"""What a bundle says of its input: a resize beyond it, sizes that the network is bound to, and what
part of its model it holds.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

from pixpool.export import verify
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.models import SourceModel
from pixpool.export.preprocess import crop_offset, load_image, preprocess, resized_size
from pixpool.export.recipe import Recipe

NAME = "efficientnet-lite0"


def changed(models_dir: Path, tmp_path: Path, change: Callable[[dict], None]) -> Path:
    """A copy of the default bundle with a changed manifest."""
    folder = tmp_path / NAME / "1"
    shutil.copytree(models_dir / NAME / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def vectors(folder: Path, recipe: Recipe, path: Path) -> np.ndarray:
    """global_avg of the last layer, by PyTorch and Pillow."""
    pixels = torch.from_numpy(preprocess(load_image(path), recipe))[None]
    last = len(json.loads((folder / "manifest.json").read_text())["layers"]) - 1
    with torch.no_grad():
        return verify.load_graph(folder / "backbone.ts")(pixels)[last].mean((2, 3))[0].numpy()


def test_a_resize_beyond_the_input_is_computed_as_the_exporter_does(
    start_server, models_dir, api, photos, tmp_path
):
    def squash(manifest):
        own = manifest["input"] | {"resize": "exact", "resize_height": 249, "resize_width": 251}
        recipe = Recipe.from_json(own)
        folder = models_dir / NAME / "1"
        golden = vectors(folder, recipe, folder / "golden.png").astype("<f4")
        written = tmp_path / NAME / "1" / "golden.f32"
        golden.tofile(written)
        manifest["input"] = own
        # The embedding and the trained heads that the exporter saw belong to its own recipe.
        manifest["golden"].pop("vectors", None)
        for file in manifest["files"]:
            if file["path"] == "golden.f32":
                file["sha256"] = hashlib.sha256(written.read_bytes()).hexdigest()

    folder = changed(models_dir, tmp_path, squash)
    recipe = Recipe.from_json(json.loads((folder / "manifest.json").read_text())["input"])
    client = api.client(start_server(models=tmp_path).target)
    shown = client.stub.GetModel(client.pb.GetModelRequest(model=NAME), timeout=10).model
    assert shown.input_recipe.resize == client.pb.RESIZE_MODE_EXACT
    assert shown.input_recipe.resize_height_px == 249
    assert shown.input_recipe.resize_width_px == 251
    for path in photos.values():
        got, wanted = client.features(path, "global_avg")[0], vectors(folder, recipe, path)
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "other", "taken", "what"),
    [
        ({"only": [{"height": 224, "width": 224}]}, 256, 224, "224 x 224 pixels alone"),
        ({"multiple": 32}, 225, 320, "multiples of 32 pixels a side"),
    ],
)
def test_sizes_that_the_network_does_not_take(
    start_server, models_dir, api, photos, tmp_path, sizes, other, taken, what
):
    changed(models_dir, tmp_path, lambda manifest: manifest["input"].update(sizes=sizes))
    client = api.client(start_server(models=tmp_path).target)
    options = client.pb.InputOptions(input_height_px=other)
    with pytest.raises(grpc.RpcError) as caught:
        client.extract([photos["coffee.png"]], ["global_avg"], input_options=options)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"would be {other} x {other} pixels (height first); it takes {what}" in (
        caught.value.details()
    )
    options = client.pb.InputOptions(input_height_px=taken)
    for wanted in ({}, {"input_options": options}):
        assert client.features(photos["coffee.png"], "global_avg", **wanted)[0].shape == (1280,)
    stem = client.features(photos["coffee.png"], "feature_map:layer=stem")[0]
    assert stem.shape == (32, 112, 112)
    shown = client.stub.GetModel(client.pb.GetModelRequest(model=NAME), timeout=10).model
    assert len(shown.input_recipe.sizes) == len(sizes.get("only", []))
    assert shown.input_recipe.size_multiple_px == sizes.get("multiple", 1)


class OneChannel(nn.Module):
    """A small network of grey pictures."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(1, 8, 5, stride=4, padding=2)
        self.body = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = torch.relu(self.body(torch.relu(self.stem(x))))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("crop", ["center", "none"])
def test_a_network_of_one_channel_sees_grey_as_pillow_makes_it(
    start_server, api, photos, tmp_path, crop
):
    recipe = Recipe(
        resize_size=96,
        height=80,
        width=80,
        crop=crop,
        mean=(120.0,) * 3,
        std=(60.0,) * 3,
        color="grey",
    )
    module = OneChannel().eval()
    write_bundle(SourceModel(module, "grey", "test", recipe=recipe), BundleOptions(out=tmp_path))
    client = api.client(start_server("--default-model", "grey", models=tmp_path).target)
    shown = client.stub.GetModel(client.pb.GetModelRequest(model="grey"), timeout=10).model
    assert shown.input_recipe.color == "grey"
    for path in photos.values():
        with Image.open(path) as opened:
            level = ImageOps.exif_transpose(opened).convert("RGB").convert("L")
        level = level.resize(resized_size(*level.size, 96), Image.Resampling.BILINEAR)
        if crop == "center":
            left, top = (crop_offset(side, 80) for side in level.size)
            level = level.crop((left, top, left + 80, top + 80))
        values = torch.from_numpy(np.array(level, np.float32))[None, None]
        with torch.no_grad():
            wanted = module((values - 120) / 60)[0].softmax(0)
            maps = module.body(torch.relu(module.stem((values - 120) / 60)))
        got = client.features(path, "global_avg")[0]
        np.testing.assert_allclose(got, maps.mean((2, 3))[0], rtol=1e-4, atol=1e-5)
        features = client.extract([path], ["class_scores:top_k=3"]).results[0].features
        for found in features.head_results[0].class_scores:
            assert found.score == pytest.approx(wanted[found.class_index].item(), abs=1e-5)


class Tokens(nn.Module):
    """A transformer in small, whose patch embedding was exported as the whole."""

    def __init__(self):
        super().__init__()
        self.patches, self.block = nn.Conv2d(3, 8, 16, stride=16), nn.Linear(8, 8)

    def forward(self, x):
        return self.block(self.patches(x).flatten(2).transpose(1, 2)).mean(1)


def test_a_patch_embedding_of_an_earlier_exporter_is_refused(start_server, tmp_path):
    source = SourceModel(Tokens().eval(), "tokens", "test")
    options = BundleOptions(out=tmp_path, layers=["features=patches"])
    folder = write_bundle(source, options)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["parameters"]  # which earlier exporters did not write
    (folder / "manifest.json").write_text(json.dumps(manifest))
    server = start_server(models=tmp_path, wait=False)
    assert server.wait() != 0
    assert "one convolution of stride 16, the patch embedding of a transformer" in server.log()
