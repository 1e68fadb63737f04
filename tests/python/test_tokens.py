"""Transformers: tokens of patches are maps, those before them tokens, and the embedding is what the
model's authors call; each held to the model as it came.
"""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from attention_of import timm_attention
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.errors import ExportError
from pixpool.export.forms import Form, Tokens, form_of
from pixpool.export.models import load_model
from pixpool.export.openvino_graph import OpenVinoGraph
from pixpool.export.recipe import Recipe
from random_weights import roughen
from test_export import (
    NormBeforeHead,
    TinyNet,
    load_graph,
    random_images,
    recipe_of,
    tiny_source,
)

VIT = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 64}
SWIN = {"depths": (1, 2), "embed_dim": 16, "num_heads": (2, 2), "img_size": 56, "window_size": 7}


@dataclasses.dataclass(frozen=True)
class Family:
    """A small member, and what its bundle is to hold."""

    spec: str
    args: dict
    sizes: dict | None
    prefix: int = 0
    class_token: bool = False
    embedding: int = 32
    blocks: tuple[str, ...] = ("blocks.0", "blocks.1", "norm")
    classifier: bool = True


FAMILIES = {
    "vit": Family("timm:vit_tiny_patch16_224", VIT, {"multiple": 16}, 1, True),
    "vit, average of registers": Family(
        "timm:vit_medium_patch16_reg4_gap_256", VIT, {"multiple": 16}, 4
    ),
    "vit, positions without the class": Family(
        "timm:deit3_small_patch16_224", VIT, {"multiple": 16}, 1, True
    ),
    "deit, distilled": Family(
        "timm:deit_tiny_distilled_patch16_224", VIT, {"multiple": 16}, 2, True, classifier=False
    ),
    "dinov2": Family(
        "timm:vit_small_patch14_reg4_dinov2",
        {**VIT, "img_size": 56},
        {"multiple": 14},
        5,
        True,
        classifier=False,
    ),
    "dinov3": Family(
        "timm:vit_small_patch16_dinov3", VIT, {"multiple": 16}, 5, True, classifier=False
    ),
    "eva02": Family(
        "timm:eva02_tiny_patch14_224",
        {**VIT, "img_size": 56},
        {"multiple": 14},
        1,
        True,
        classifier=False,
    ),
    "clip": Family(
        "timm:vit_base_patch32_clip_224.openai",
        VIT,
        {"multiple": 32},
        1,
        True,
        embedding=512,
        classifier=False,
    ),
    "siglip": Family(
        "timm:vit_base_patch16_siglip_224.webli", VIT, {"multiple": 16}, classifier=False
    ),
}
BOUND = {
    "beit": Family(
        "timm:beit_base_patch16_224", VIT, {"only": [{"height": 64, "width": 64}]}, 1, True
    ),
}


def small(family: Family):
    torch.manual_seed(3)
    source = load_model(family.spec, random_weights=True, model_args=dict(family.args))
    roughen(source.module)
    return source


def export(source, out, **options):
    lines = []
    folder = write_bundle(source, BundleOptions(out=out, **options), lines.append)
    return folder, json.loads((folder / "manifest.json").read_text()), lines


def of_modules(model: nn.Module, paths, values):
    """What modules give in one forward."""
    seen = {}
    hooks = [
        model.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, path=path: seen.setdefault(path, out)
        )
        for path in paths
    ]
    with torch.no_grad():
        model(values)
    for hook in hooks:
        hook.remove()
    return [seen[path] for path in paths]


def normalized(manifest, images):
    recipe = recipe_of(manifest)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    return (images.permute(0, 3, 1, 2).float() - mean) / std


def layers_of(family: Family, manifest: dict) -> list[dict]:
    """Those that modules give: of a model with a class token the last one is its attention."""
    layers = manifest["layers"]
    if not family.class_token:
        return layers
    heads = family.args.get("num_heads", 2)
    last = {key: layers[-1][key] for key in ("name", "channels", "non_negative")}
    assert last == {"name": "attention", "channels": heads, "non_negative": True}
    return layers[:-1]


def assert_as_the_model(folder, manifest, family, model, size):
    """The graphs' outputs against the modules' own."""
    images = random_images(*size)
    values = normalized(manifest, images)
    given = of_modules(model, family.blocks, values)
    count, layers = family.prefix, layers_of(family, manifest)
    wanted = []
    for layer, tokens in zip(layers, given, strict=True):
        rows, columns = size[1] // layer["stride"], size[2] // layer["stride"]
        assert tokens.shape == (size[0], count + rows * columns, layer["channels"])
        cells = tokens[:, count:].reshape(size[0], rows, columns, -1)
        wanted.append(cells.permute(0, 3, 1, 2))
    if family.class_token:
        paid = timm_attention(model, values)[:, :, 0, count:]
        wanted.append(paid.reshape(*paid.shape[:2], rows, columns))
    wanted += [tokens[:, :count] for tokens in given if count]
    with torch.no_grad():
        embedding = model.forward_head(model.forward_features(values), pre_logits=True)
        if family.embedding == 512:
            embedding = model(values)
        wanted.append(embedding)
    for graph in (load_graph(folder), OpenVinoGraph(folder / "backbone.xml", threads=1)):
        got = graph(images)
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            assert a.dtype == torch.float32
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    return got[-1], values


@pytest.mark.parametrize("name", [*FAMILIES, *BOUND])
def test_families_with_tokens(name, torchvision, tmp_path):
    family = {**FAMILIES, **BOUND}[name]
    source = small(family)
    model = copy.deepcopy(source.module)
    folder, manifest, lines = export(source, tmp_path)
    assert manifest["input"].get("sizes") == family.sizes
    side = family.args["img_size"]
    assert (manifest["input"]["height"], manifest["input"]["width"]) == (side, side)
    names = [path.replace(".", "_") for path in family.blocks[:-1]]
    assert [layer["name"] for layer in layers_of(family, manifest)] == [*names, "features"]
    for layer in layers_of(family, manifest):
        assert layer.get("prefix_tokens", 0) == family.prefix
        assert layer.get("class_token", False) == family.class_token
    assert manifest["vectors"] == [{"name": "embedding", "dimensions": family.embedding}]
    assert manifest["parameters"]["left_out"] == (0 if name != "deit, distilled" else 2 * 33000)
    vector, values = assert_as_the_model(folder, manifest, family, model, (2, side, side))
    classifier = manifest.get("classifier")
    assert bool(classifier) == family.classifier
    if classifier:
        assert classifier["vector"] == "embedding" and "layer" not in classifier
        weight = np.fromfile(folder / classifier["weight"], "<f4").reshape(1000, -1)
        logits = vector.numpy() @ weight.T + np.fromfile(folder / classifier["bias"], "<f4")
        with torch.no_grad():
            np.testing.assert_allclose(logits, model(values).numpy(), rtol=1e-3, atol=1e-4)
    if not family.sizes or "only" in family.sizes:
        return
    # At another size it is timm's own model for any size.
    any_size = source.for_any_size().eval()
    any_size.load_state_dict(model.state_dict())
    patch = family.sizes["multiple"]
    assert_as_the_model(folder, manifest, family, any_size, (3, 5 * patch, 3 * patch))


def test_channels_last_maps_of_swin(torchvision, tmp_path):
    family = Family("timm:swin_tiny_patch4_window7_224", SWIN, None, blocks=("layers.0", "norm"))
    source = small(family)
    model = copy.deepcopy(source.module)
    folder, manifest, _ = export(source, tmp_path)
    assert [tuple(layer.values())[:3] for layer in manifest["layers"]] == [
        ("layers_0", 16, 4),
        ("features", 32, 8),
    ]
    images = random_images(2, 56, 56)
    values = normalized(manifest, images)
    given = of_modules(model, family.blocks, values)
    for graph in (load_graph(folder), OpenVinoGraph(folder / "backbone.xml", threads=1)):
        *maps, embedding = graph(images)
        for a, b in zip(maps, given, strict=True):
            torch.testing.assert_close(a, b.permute(0, 3, 1, 2), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(embedding, given[-1].mean((1, 2)), rtol=1e-3, atol=1e-4)
    assert manifest["classifier"]["layer"] == "features"


def test_torchvisions_transformer(torchvision, tmp_path):
    from torchvision.models.vision_transformer import VisionTransformer

    torch.manual_seed(5)
    net = VisionTransformer(
        image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=48
    ).eval()
    nn.init.normal_(net.heads.head.weight)
    model = copy.deepcopy(net)
    source = tiny_source(net, recipe=Recipe(height=64, width=64))
    folder, manifest, _ = export(source, tmp_path)
    assert manifest["input"]["sizes"] == {"only": [{"height": 64, "width": 64}]}
    blocks = [f"encoder.layers.encoder_layer_{at}" for at in range(2)]
    family = Family("", {}, None, 1, True, blocks=(*blocks, "encoder"))
    layers = layers_of(family, manifest)
    assert [layer["prefix_tokens"] for layer in layers] == [1, 1, 1]
    assert all(layer["class_token"] for layer in layers)
    assert manifest["classifier"]["vector"] == "embedding"
    images = random_images(3, 64, 64)
    tokens = of_modules(model, family.blocks, normalized(manifest, images))
    for graph in (load_graph(folder), OpenVinoGraph(folder / "backbone.xml", threads=1)):
        got = graph(images)
        assert [tuple(output.shape) for output in got] == [
            *[(3, 32, 4, 4)] * 3,
            (3, 2, 4, 4),
            *[(3, 1, 32)] * 3,
            (3, 32),
        ]
        torch.testing.assert_close(got[-1], tokens[-1][:, 0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(got[4], tokens[0][:, :1], rtol=1e-3, atol=1e-4)
        cells = tokens[1][:, 1:].transpose(1, 2).unflatten(2, (4, 4))
        torch.testing.assert_close(got[1], cells, rtol=1e-3, atol=1e-4)


def test_forms_of_outputs():
    """Of shapes alone, at the one size that a model may have."""
    silent, says = Tokens(None, True), Tokens(5, True)
    assert form_of((1, 192, 14, 14), (224, 224), silent) == Form()
    assert form_of((1, 14, 14, 192), (224, 224), silent) == Form("NHWC")
    assert form_of((1, 14, 10, 192), (224, 160), silent) == Form("NHWC")
    assert form_of((1, 196, 192), (224, 224), silent) == Form("NTC", 0, False, (16, 16))
    assert form_of((1, 197, 192), (224, 224), silent) == Form("NTC", 1, True, (16, 16))
    assert form_of((1, 141, 192), (224, 160), silent) == Form("NTC", 1, True, (16, 16))
    assert form_of((1, 201, 192), (224, 224), says) == Form("NTC", 5, True, (16, 16))
    assert form_of((1, 196, 192), (224, 224), says) == Form("NTC", 0, False, (16, 16))
    assert form_of((1, 729, 9), (384, 384), Tokens(0, False)) == Form("NTC", 0, False, (14, 14))
    assert form_of((1, 197, 192), (224, 224), says) is None
    assert form_of((1, 192), (224, 224), silent) is None
    assert form_of((1, 3, 2), (224, 224), silent) is None


class Registers(nn.Module):
    """Of the user's own: two registers, then patches, and no name that says so."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.patches = nn.Conv2d(3, 8, 16, stride=16)
        self.registers = nn.Parameter(torch.randn(1, 2, 8))
        self.body = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
        self.pool = Query()
        self.whiten = nn.Linear(8, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.registers.expand(tokens.shape[0], -1, -1), tokens], 1)
        return self.head(self.whiten(self.pool(self.body(tokens))))


class Query(nn.Module):
    """Attention pooling: what it computes of tokens on its way is no layer."""

    def __init__(self):
        super().__init__()
        self.values, self.query = nn.Linear(8, 8), nn.Parameter(torch.randn(8))

    def forward(self, tokens):
        values = self.values(tokens)
        return (torch.softmax(values @ self.query, 1)[..., None] * values).sum(1)


def test_vectors_that_the_user_names(tmp_path):
    model = Registers().eval()
    vectors = ["embedding", "pooled=pool", "whitened=whiten"]
    folder, manifest, _ = export(tiny_source(Registers()), tmp_path / "a", vectors=vectors)
    assert manifest["vectors"] == [
        {"name": "embedding", "dimensions": 6},
        {"name": "pooled", "dimensions": 8},
        {"name": "whitened", "dimensions": 6},
    ]
    assert [layer["name"] for layer in manifest["layers"]] == ["body_0", "body_1", "features"]
    assert {layer["prefix_tokens"] for layer in manifest["layers"]} == {2}
    assert not any("class_token" in layer for layer in manifest["layers"])
    assert manifest["parameters"]["left_out"] == 0
    images = random_images(2, 224, 224)
    pooled, whitened = of_modules(model, ["pool", "whiten"], normalized(manifest, images))
    for graph in (load_graph(folder), OpenVinoGraph(folder / "backbone.xml", threads=1)):
        *_, embedding, first, second = graph(images)
        torch.testing.assert_close(first, pooled, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(second, whitened, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(embedding, second)
    # Only what the user names is part of the digest: the same name may be another module.
    digests = {manifest["weights_sha256"]}
    for at, more in enumerate((None, ["x=pool"], ["x=whiten"])):
        _, other, _ = export(tiny_source(Registers()), tmp_path / str(at), vectors=more)
        digests.add(other["weights_sha256"])
    assert len(digests) == 4


def test_named_layers_end_the_bundle_unless_the_embedding_is_asked_for(tmp_path):
    layers = ["mid=act", "features=body"]
    _, manifest, lines = export(tiny_source(), tmp_path / "a", layers=layers)
    assert "vectors" not in manifest
    assert any(line.startswith("embedding: not in the bundle") for line in lines)
    _, manifest, _ = export(tiny_source(), tmp_path / "b", layers=layers, vectors=["embedding"])
    assert manifest["vectors"] == [{"name": "embedding", "dimensions": 16}]
    _, manifest, _ = export(tiny_source(), tmp_path / "c", vectors=["none"])
    assert "vectors" not in manifest and manifest["classifier"]["layer"] == "features"


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (["x=nowhere"], "vector 'x': the model has no module 'nowhere'"),
        (["x=body"], r"vector 'x': module 'body' gives \(1, 18, 8\), not one vector a picture"),
        (["x=pool", "x=whiten"], "vector name 'x' is used twice"),
        (["x=pool#1"], "vector 'x': module 'pool' runs only 1 time"),
        (["pool"], "vector 'pool' is not understood; write name=module.path"),
        (["none", "x=pool"], "--vectors: 'none' stands alone"),
    ],
)
def test_vectors_that_are_refused(tmp_path, vectors, message):
    source = tiny_source(Registers(), recipe=Recipe(height=64, width=64))
    with pytest.raises(ExportError, match=message):
        export(source, tmp_path, vectors=vectors)
    assert list(tmp_path.iterdir()) == []


class Answers(TinyNet):
    def forward(self, x):
        features = self.body(self.act(self.norm(self.stem(x))))
        return {"map": features, "more": features * 2}


def test_a_model_without_a_vector_has_none(tmp_path):
    _, manifest, lines = export(tiny_source(Answers()), tmp_path / "a")
    assert "vectors" not in manifest
    assert "no embedding: the model gives no vector a picture" in lines
    with pytest.raises(ExportError, match="--vectors: no embedding: the model gives no vector"):
        export(tiny_source(Answers()), tmp_path / "b", vectors=["embedding"])


class Normalised(TinyNet):
    """Metric learning: what it returns is the embedding, after its last linear layer."""

    def forward(self, x):
        return nn.functional.normalize(super().forward(x))


def test_what_is_returned_is_the_embedding_where_no_linear_layer_gives_it(tmp_path):
    model = Normalised().eval()
    folder, manifest, lines = export(tiny_source(Normalised()), tmp_path)
    assert manifest["vectors"] == [{"name": "embedding", "dimensions": 5}]
    assert "embedding: model(images)" in lines and "classifier" not in manifest
    images = random_images(2, 96, 64)
    with torch.no_grad():
        wanted = model(normalized(manifest, images))
    torch.testing.assert_close(load_graph(folder)(images)[-1], wanted, rtol=1e-4, atol=1e-5)


def test_a_classifier_stands_on_the_embedding_where_the_average_is_not_it(tmp_path):
    model = NormBeforeHead().eval()
    folder, manifest, lines = export(tiny_source(NormBeforeHead()), tmp_path)
    assert manifest["classifier"]["vector"] == "embedding"
    assert "classifier of 5 classes on vector 'embedding'" in lines
    assert manifest["parameters"]["left_out"] == 0
    images = random_images(2, 96, 64)
    weight = np.fromfile(folder / "classifier.weight.f32", "<f4").reshape(5, 16)
    with torch.no_grad():
        got = load_graph(folder)(images)[-1].numpy() @ weight.T
        got += np.fromfile(folder / "classifier.bias.f32", "<f4")
        wanted = model(normalized(manifest, images)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    # The classifier's own weights are beside the graph, not in it too.
    assert not any("fc" in name for name, _ in load_graph(folder).named_parameters())


class TwoHeads(NormBeforeHead):
    """As distilled models: two classifiers, each with a norm of its own, and the average of their
    answers."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 5)) for _ in range(2)
        )
        for head in self.heads:
            nn.init.normal_(head[0].running_mean)

    def get_classifier(self):
        return tuple(self.heads)

    def embed(self, x):
        x = self.pool(self.body(self.act(self.norm(self.stem(x)))))
        return self.last(x.flatten(1))

    def forward(self, x):
        pooled = self.embed(x)
        return (self.heads[0](pooled) + self.heads[1](pooled)) / 2


def test_a_classifier_of_several_parts_becomes_one(tmp_path):
    model = TwoHeads().eval()
    source = tiny_source(copy.deepcopy(model), embed=lambda net, values: net.embed(values))
    folder, manifest, _ = export(source, tmp_path)
    assert manifest["classifier"]["vector"] == "embedding"
    assert manifest["parameters"]["left_out"] == 0
    images = random_images(2, 96, 64)
    weight = np.fromfile(folder / "classifier.weight.f32", "<f4").reshape(5, 16)
    with torch.no_grad():
        got = load_graph(folder)(images)[-1].numpy() @ weight.T
        got += np.fromfile(folder / "classifier.bias.f32", "<f4")
        wanted = model(normalized(manifest, images)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
