"""Transformers from the exporter to the client: what the server gives of a picture is what timm's
own calls give of it.
"""

from __future__ import annotations

import io
import json

import grpc
import numpy as np
import pytest
import torch
from PIL import Image

from attention_of import timm_attention
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.models import load_model
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.recipe import Recipe
from random_weights import roughen
from torchvision_operators import declare_torchvision_operators

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}
MODELS = {
    "dinov2": ("timm:vit_small_patch14_reg4_dinov2.lvd142m", {**SMALL, "img_size": 56}),
    "vit": ("timm:vit_tiny_patch16_224", SMALL),
}
HEADS = ("class_token", "mean_token", "embedding", "global_avg:layer=blocks_0")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of the bundles, and the models by name."""
    declare_torchvision_operators()  # timm imports torchvision
    folder, modules = tmp_path_factory.mktemp("models"), {}
    for name, (spec, arguments) in MODELS.items():
        torch.manual_seed(3)
        source = load_model(spec, random_weights=True, model_args=dict(arguments))
        roughen(source.module)
        modules[name] = source.module
        write_bundle(source, BundleOptions(out=folder, name=name), lambda _line: None)
    return folder, modules


def values_of(path, recipe: Recipe) -> torch.Tensor:
    """A picture as the models take it."""
    pixels = torch.from_numpy(preprocess(load_image(path), recipe))[None]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    return (pixels.permute(0, 3, 1, 2).float() - mean) / std


def wanted_of(model, values: torch.Tensor) -> list[np.ndarray]:
    """What HEADS are to give."""
    with torch.no_grad():
        tokens = model.forward_features(values)
        (first,) = model.forward_intermediates(
            values, indices=[0], norm=False, intermediates_only=True
        )
        embedding = model.forward_head(tokens, pre_logits=True)
    return [
        tokens[0, 0].numpy(),
        tokens[0].mean(0).numpy(),
        embedding[0].numpy(),
        first[0].mean((1, 2)).numpy(),
    ]


@pytest.mark.parametrize("engine", ["torchscript", "openvino"])
def test_features_are_those_of_the_authors_calls(start_server, api, photos, exported, engine):
    folder, modules = exported
    client = api.client(start_server("--engine", engine, models=folder).target)
    for name, model in modules.items():
        manifest = json.loads((folder / name / "1" / "manifest.json").read_text())
        recipe = Recipe.from_json(manifest["input"])
        for path in photos.values():
            wanted = wanted_of(model, values_of(path, recipe))
            got = client.features(path, *HEADS, model=name)
            for head, a, b in zip(HEADS, got, wanted, strict=True):
                close = {"rtol": 1e-3, "atol": 1e-4 * np.abs(b).max(), "err_msg": f"{name}, {head}"}
                np.testing.assert_allclose(a, b, **close)


@pytest.mark.parametrize("engine", ["torchscript", "openvino"])
def test_where_the_class_token_looks(start_server, api, photos, exported, engine):
    folder, modules = exported
    client = api.client(start_server("--engine", engine, models=folder).target)
    for name, model in modules.items():
        manifest = json.loads((folder / name / "1" / "manifest.json").read_text())
        recipe = Recipe.from_json(manifest["input"])
        for path in photos.values():
            paid = timm_attention(model, values_of(path, recipe))[
                0, :, 0, model.num_prefix_tokens :
            ]
            heads, mean_map = client.features(
                path, "feature_map:layer=attention", "mean_map:layer=attention", model=name
            )
            want = paid.reshape(heads.shape).numpy()
            np.testing.assert_allclose(heads, want, rtol=1e-3, atol=1e-4 * want.max())
            np.testing.assert_allclose(mean_map, want.mean(0), rtol=1e-3, atol=1e-4 * want.max())
            assert mean_map.min() >= 0
        answer = client.extract(
            [path],
            ["mean_map:layer=attention,format=ACTIVATION_MAP_FORMAT_PNG_OVERLAY"],
            model=name,
        ).results[0]
        (drawn,) = answer.features.head_results
        picture = Image.open(io.BytesIO(drawn.activation_map.png))
        assert picture.size == (answer.features.width_px, answer.features.height_px)
        assert not drawn.activation_map.HasField("class_score")
        assert drawn.activation_map.box.right_px > drawn.activation_map.box.left_px


def test_the_refusal_of_a_class_activation_map_says_what_shows_a_transformer(
    start_server, api, photos, exported
):
    folder, _ = exported
    client = api.client(start_server(models=folder).target)
    with pytest.raises(grpc.RpcError) as caught:
        client.features(next(iter(photos.values())), "class_activation_map", model="vit")
    assert "mean_map with layer 'attention' shows where the model looks" in caught.value.details()
