"""What an export leaves out of a model is found by the model's own output, said, and refused where
it is more than the layers after pooling."""

import json

import pytest
import torch
from torch import nn

from pixpool.export import verify
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.dependence import find_dependence
from pixpool.export.errors import ExportError
from pixpool.export.models import SourceModel
from pixpool.export.probes import pictures
from pixpool.export.recipe import Recipe
from pixpool.export.trunk import LayerRef, Trunk
from pixpool.export.unchanged import Unchanged
from test_export import NormBeforeHead, TinyNet, export, tiny_source

WHOLE = sum(parameter.numel() for parameter in TinyNet().parameters())


class TokenNet(nn.Module):
    """A transformer in small: its patch embedding is the last module that gives [N, C, h, w]."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.patches = nn.Conv2d(3, 8, 16, stride=16)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1)
        return self.head(self.block(tokens).mean(1))


class Detached(TokenNet):
    """Autograd sees nothing of its blocks."""

    @torch.no_grad()
    def forward(self, x):
        return super().forward(x).detach()


class LearntPooling(TinyNet):
    """GeM with an exponent of its own, which a global pooling does not know."""

    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.tensor([3.0]))

    def forward(self, x):
        x = self.body(self.act(self.norm(self.stem(x))))
        return self.fc(x.clamp(min=1e-6).pow(self.p).mean((2, 3)).pow(1.0 / self.p))


class TwoBranches(TinyNet):
    """The module that runs last is a side branch, which the answer has nothing of."""

    def __init__(self):
        super().__init__()
        self.aside = nn.Conv2d(8, 4, 3)

    def forward(self, x):
        x = self.act(self.norm(self.stem(x)))
        answer = self.fc(self.pool(self.body(x)).flatten(1))
        self.aside(x)
        return answer


STUMPS = [
    (LearntPooling, "body", "p"),
    (TwoBranches, "aside", "body.0"),
]


@pytest.mark.parametrize(("model", "ends_at", "lost"), STUMPS)
def test_a_part_of_a_model_is_refused_unless_asked_for(tmp_path, model, ends_at, lost):
    with pytest.raises(ExportError, match="that the model's own output depends on") as caught:
        export(tiny_source(model()), tmp_path, vectors=["none"])
    assert f"last of them, '{ends_at}', the model works on with {lost} " in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    asked = f"features={ends_at}"
    assert str(caught.value).endswith(f"--layers {asked}")
    lines = []
    options = BundleOptions(out=tmp_path, layers=[asked])
    folder = write_bundle(tiny_source(model()), options, lines.append)
    parameters = json.loads((folder / "manifest.json").read_text())["parameters"]
    assert parameters["left_out"] > 0
    (line,) = [line for line in lines if line.startswith("left out: ")]
    assert set(lost.split(", ")) <= set(line.partition("(")[2].rstrip(")").split(", "))


@pytest.mark.parametrize("model", [TokenNet, Detached, LearntPooling, TwoBranches])
def test_the_embedding_holds_what_no_layer_does(tmp_path, model):
    folder, manifest = export(tiny_source(model()), tmp_path)
    assert [vector["name"] for vector in manifest["vectors"]] == ["embedding"]
    assert manifest["parameters"]["left_out"] == 0


class TwoOutputs(LearntPooling):
    """Which of them its embedding is cannot be told."""

    def forward(self, x):
        logits = super().forward(x)
        return logits, logits * 2


def test_a_model_without_embedding_is_refused_as_a_part(tmp_path):
    with pytest.raises(ExportError, match="that the model's own output depends on"):
        export(tiny_source(TwoOutputs()), tmp_path)


def test_what_works_on_the_pooled_vector_is_left_out_and_said(tmp_path):
    lines = []
    options = BundleOptions(out=tmp_path, vectors=["none"])
    folder = write_bundle(tiny_source(NormBeforeHead()), options, lines.append)
    manifest = json.loads((folder / "manifest.json").read_text())
    head = 16 + 16 + 16 * 5 + 5
    assert manifest["parameters"] == {"held": WHOLE - 16 * 5 - 5, "left_out": head}
    assert any(line.startswith("left out: ") and "(fc, last)" in line for line in lines)


def test_a_classifier_is_held(tmp_path):
    lines = []
    folder = write_bundle(tiny_source(), BundleOptions(out=tmp_path), lines.append)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["classifier"]
    assert manifest["parameters"] == {"held": WHOLE, "left_out": 0}
    assert not any(line.startswith("left out") for line in lines)
    assert any(
        line.startswith("check 1 x 224 x 224 of the model's own output: cosine 1.0")
        for line in lines
    )


def unchanged(model: nn.Module, *layers: str) -> tuple[Unchanged, Trunk]:
    source: SourceModel = tiny_source(model)
    named = [LayerRef.parse(text) for text in layers]
    trunk = Trunk(source.module, named, source.recipe)
    return Unchanged(trunk, (224, 224)), trunk


def test_the_check_is_on_the_models_own_output():
    """A graph whose maps are right but for what a later layer makes of them is found out."""
    checked, trunk = unchanged(TinyNet(), "a=act", "b=body")
    assert [check.cosine > 0.999999 for check in checked.checks(trunk)] == [True, True]
    calls = []

    def changes_its_mind(images):
        calls.append(len(images))
        maps = trunk(images)
        return maps if len(calls) <= 2 else (maps[0], maps[1] + 0.1)

    with pytest.raises(ExportError, match="value 'output 0' at 1 x 224 x 224.*not those that"):
        checked.checks(changes_its_mind)


class Answers(TinyNet):
    def forward(self, x):
        logits = super().forward(x)
        return {"logits": logits, "best": logits.argmax(1), "pair": (logits, [logits * 2])}


def test_outputs_of_any_form():
    _, trunk = unchanged(Answers(), "b=body")
    outputs = trunk.own_output(pictures(2, 64, 64))
    assert [tuple(output.shape) for output in outputs] == [(2, 5)] * 3


def test_a_layer_that_runs_several_times_is_watched_at_its_call():
    class Twice(TinyNet):
        def __init__(self):
            super().__init__()
            self.turn, self.between = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            x = self.turn(self.between(self.turn(self.act(self.norm(self.stem(x))))))
            return self.fc(self.pool(self.body(x)).flatten(1))

    for call, left_out in (("#0", True), ("", False)):
        layers = [LayerRef.parse(f"a=turn{call}")]
        trunk = Trunk(Twice().eval(), layers, tiny_source().recipe)
        trunk.prepare(pictures(1, 64, 64))
        found = find_dependence(trunk, pictures(2, 64, 64))
        assert ("between.weight" in found.left_out) == left_out
        assert ("between.weight" in found.held) != left_out
        assert "turn.weight" in found.held and "body.0.weight" in found.left_out


class ClassesOfPositions(TokenNet):
    """As VOLO: a second classifier works on the patches, and its best answer is added."""

    def __init__(self):
        super().__init__()
        self.aside = nn.Linear(8, 5)

    def tokens(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1))

    def embed(self, x):
        return self.tokens(x)[:, 0]

    def forward(self, x):
        tokens = self.tokens(x)
        return self.head(tokens[:, 0]) + self.aside(tokens[:, 1:]).amax(1) / 2


def test_what_the_authors_call_for_the_embedding_leaves_out_is_no_layer(tmp_path):
    source = tiny_source(ClassesOfPositions(), embed=lambda net, values: net.embed(values))
    folder, manifest = export(source, tmp_path)
    (layer,) = manifest["layers"]
    assert (layer["name"], layer["channels"], layer["prefix_tokens"]) == ("features", 8, 1)
    assert manifest["vectors"] == [{"name": "embedding", "dimensions": 8}]
    # Both classifiers: together they are no linear layer on the embedding.
    assert "classifier" not in manifest
    assert manifest["parameters"]["left_out"] == 2 * (8 * 5 + 5)
    graph, images = verify.load_graph(folder / "backbone.ts"), pictures(2, 64, 64)
    with torch.no_grad():
        recipe = Recipe.from_json(manifest["input"])
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
        wanted = ClassesOfPositions().embed((images.permute(0, 3, 1, 2).float() - mean) / std)
    torch.testing.assert_close(graph(images)[-1], wanted, rtol=1e-4, atol=1e-5)
