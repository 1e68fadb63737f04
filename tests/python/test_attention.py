"""The layer `attention` of the exporter: what a transformer's class token pays to the patches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attention_of import timm_attention
from pixpool.export.probes import pictures
from pixpool.export.recipe import Recipe
from pixpool.export.trunk import LayerRef, Trunk, trace
from random_weights import roughen
from torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()  # timm imports torchvision

import timm  # noqa: E402
from torchvision.models import VisionTransformer  # noqa: E402

RECIPE = Recipe(height=64, width=64, resize_size=64)
SMALL = {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3}
TIMM = {
    "vit_tiny_patch16_224": SMALL,
    "deit_tiny_distilled_patch16_224": SMALL,
    "vit_small_patch14_reg4_dinov2": {**SMALL, "img_size": 70},
    # Biases of relative positions, and rotary ones.
    "beit_base_patch16_224": SMALL,
    "eva02_tiny_patch14_224": {**SMALL, "img_size": 70},
}
WITHOUT = {
    "vit_base_patch16_siglip_gap_224": SMALL,
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 2},
}


def made(name: str, arguments: dict) -> nn.Module:
    torch.manual_seed(7)
    model = timm.create_model(name, pretrained=False, num_classes=5, **arguments)
    roughen(model)
    return model.eval().requires_grad_(False)


def trunk_of(model: nn.Module, path: str, side: int) -> tuple[Trunk, torch.Tensor]:
    recipe = Recipe(height=side, width=side, resize_size=side)
    trunk = Trunk(model, [LayerRef("features", path)], recipe, attention=True)
    images = pictures(2, side, side)
    trunk.prepare(images)
    return trunk, images


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", TIMM)
def test_it_is_what_the_last_block_weighs_with(name, fused):
    side = TIMM[name]["img_size"]
    model = made(name, TIMM[name])
    for block in model.blocks:
        block.attn.fused_attn = fused
    trunk, images = trunk_of(model, "blocks.1", side)
    assert trunk.map_names() == ["features", "attention"]
    paid = timm_attention(model, trunk.normalize(images))[:, :, 0, model.num_prefix_tokens :]
    for run in (trunk, trace(trunk, images)):
        got = run(images)[1]
        assert got.shape == (2, 3, side // 16 if side == 64 else 5, side // 16 if side == 64 else 5)
        torch.testing.assert_close(got, paid.reshape(got.shape), rtol=1e-4, atol=1e-6)


def test_of_torchs_own_attention():
    torch.manual_seed(7)
    model = VisionTransformer(64, 16, 2, 3, 48, 96, num_classes=5)
    roughen(model)
    model.eval().requires_grad_(False)
    trunk, images = trunk_of(model, "encoder.layers.encoder_layer_1", 64)
    seen = []
    last = model.encoder.layers.encoder_layer_1.self_attention
    hook = last.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    model(trunk.normalize(images))
    hook.remove()
    _, weights = last(seen[0], seen[0], seen[0], need_weights=True, average_attn_weights=False)
    for run in (trunk, trace(trunk, images)):
        got = run(images)[1]
        assert got.shape == (2, 3, 4, 4)
        torch.testing.assert_close(got.flatten(2), weights[:, :, 0, 1:], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", WITHOUT)
def test_models_without_a_class_token_have_none(name):
    model = made(name, WITHOUT[name])
    path = "blocks.1" if hasattr(model, "blocks") else "layers.3"
    trunk, _ = trunk_of(model, path, 64)
    assert trunk.map_names() == ["features"]


def test_a_layer_of_the_users_own_of_that_name_stays():
    model = made("vit_tiny_patch16_224", SMALL)
    trunk = Trunk(model, [LayerRef("attention", "blocks.1")], RECIPE, attention=True)
    trunk.prepare(pictures(1, 64, 64))
    assert trunk.map_names() == ["attention"]
