"""Bundles take every input size where the model does, else those that it takes."""

import json
import sys
import types

import pytest
import torch
from torch import nn

from pixpool.export.__main__ import main
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.discover import stride_of
from pixpool.export.errors import ExportError
from pixpool.export.openvino_graph import OpenVinoGraph
from pixpool.export.recipe import Recipe
from pixpool.export.sizes import InputSizes, candidates
from test_export import TinyNet, load_graph, random_images, recipe_of, tiny_source


class FreezesValues(TinyNet):
    """Takes every size, but a trace keeps the number that it computes from the first."""

    def forward(self, x):
        return super().forward(x * (1.0 + float(x.shape[-1]) / 100.0))


class FreezesPadding(TinyNet):
    """Pads to multiples of 32 in Python: a trace keeps the padding of the first size."""

    def forward(self, x):
        pads = [-int(side) % 32 for side in x.shape[2:]]
        return super().forward(nn.functional.pad(x, (0, pads[1], 0, pads[0])))


class Patches(TinyNet):
    """Takes multiples of its patches."""

    def __init__(self, patch=14):
        super().__init__()
        self.patches = nn.Conv2d(3, 3, patch, stride=patch // 2, padding=patch // 4)
        self.patch = patch

    def forward(self, x):
        if x.shape[2] % self.patch or x.shape[3] % self.patch:
            raise ValueError(f"no multiple of {self.patch}")
        return super().forward(self.patches(x))


class Flattens(TinyNet):
    """As the networks of old: a linear layer on all cells of the last map."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16 * 16 * 24, 5)

    def forward(self, x):
        return self.fc(self.body(self.act(self.norm(self.stem(x)))).flatten(1))


class Limited(TinyNet):
    """Has a table of positions that ends, as relative positions do."""

    def forward(self, x):
        if max(x.shape[2:]) > 300:
            raise IndexError("position 301 is out of bounds")
        return super().forward(x)


class Resizes(TinyNet):
    """Takes every size, and makes its own of it."""

    def forward(self, x):
        return super().forward(nn.functional.interpolate(x, (64, 96)))


class Two(TinyNet):
    def forward(self, x):
        if tuple(x.shape[2:]) not in ((64, 96), (96, 64)):
            raise ValueError("neither")
        return super().forward(x)


def export(tmp_path, model, size=(224, 224), **options):
    lines = []
    source = tiny_source(model, recipe=Recipe(height=size[0], width=size[1]))
    folder = write_bundle(source, BundleOptions(out=tmp_path, **options), lines.append)
    return folder, json.loads((folder / "manifest.json").read_text()), lines


@pytest.mark.parametrize(
    ("model", "size", "wanted", "reason"),
    [
        (TinyNet, (224, 224), None, None),
        (FreezesValues, (224, 160), {"only": [{"height": 224, "width": 160}]}, "differs from"),
        (FreezesPadding, (224, 224), {"multiple": 32}, "at 2 x 160 x 288|at 3 x 131 x 97"),
        (Patches, (224, 224), {"multiple": 14}, "at 160 x 288 no multiple of 14"),
        (Patches, (98, 112), {"multiple": 14}, "at 160 x 288 no multiple of 14"),
        (Limited, (224, 224), {"only": [{"height": 224, "width": 224}]}, "at 480 x 480 position"),
        (Flattens, (64, 96), {"only": [{"height": 64, "width": 96}]}, "at 160 x 288 mat1"),
        (
            Resizes,
            (64, 96),
            {"only": [{"height": 64, "width": 96}]},
            "no module of the model gives",
        ),
    ],
)
def test_sizes_are_found(tmp_path, model, size, wanted, reason):
    folder, manifest, lines = export(tmp_path, model(), size)
    assert manifest["input"].get("sizes") == wanted
    recipe = recipe_of(manifest)
    assert recipe.sizes.takes(*size) and recipe.to_json() == manifest["input"]
    said = [line for line in lines if line.startswith("input: the bundle takes ")]
    assert said == ([f"input: the bundle takes {recipe.sizes.text()}"] if wanted else [])
    remarks = [line for line in lines if line.startswith("remark: not every size: ")]
    assert len(remarks) == bool(wanted)
    if reason:
        assert any(text in remarks[0] for text in reason.split("|")), remarks
    assert {engine["engine"] for engine in manifest["engines"]} == {"torchscript", "openvino"}
    assert manifest["layers"][-1]["stride"] == (28 if model is Patches else 4)
    # The graphs are right at each of them.
    openvino = OpenVinoGraph(folder / "backbone.xml", threads=1)
    for batch, height, width in [(1, *size), *recipe.sizes.batches()]:
        images = random_images(batch, height, width)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
        seen = []
        fresh = model().eval()
        fresh.body.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
        with torch.no_grad():
            fresh((images.permute(0, 3, 1, 2).float() - mean) / std)
        for graph in (load_graph(folder), openvino):
            got = graph(images)[len(manifest["layers"]) - 1]
            torch.testing.assert_close(got, seen[0], rtol=1e-3, atol=1e-4)


def test_layers_before_what_binds_the_size_take_every_size(tmp_path):
    _, manifest, _ = export(tmp_path, Flattens(), (64, 96), layers=["mid=act"])
    assert "sizes" not in manifest["input"]


def test_sizes_that_the_user_names(tmp_path, monkeypatch, capsys):
    module = types.ModuleType("my_models")
    module.tiny, module.two = TinyNet, Two
    monkeypatch.setitem(sys.modules, "my_models", module)

    def run(factory, sizes):
        arguments = [f"module:my_models:{factory}", "--out", str(tmp_path), "--force"]
        code = main([*arguments, "--input-size", sizes])
        path = tmp_path / factory / "1" / "manifest.json"
        return code, json.loads(path.read_text())["input"] if code == 0 else None

    code, taken = run("two", "64x96,96x64")
    assert code == 0 and (taken["height"], taken["width"]) == (64, 96)
    both = [{"height": 64, "width": 96}, {"height": 96, "width": 64}]
    assert taken["sizes"] == {"only": both}
    assert "input: the bundle takes 64 x 96 or 96 x 64 pixels" in capsys.readouterr().out
    assert run("two", "64x96")[1]["sizes"] == {"only": both[:1]}
    assert "sizes" not in run("tiny", "64x96")[1]
    assert run("tiny", "64x96,32")[1]["sizes"] == {"only": [both[0], {"height": 32, "width": 32}]}
    capsys.readouterr()
    assert run("two", "64x96,96")[0] == 1
    assert "does not take an input of 96 x 96 pixels: neither" in capsys.readouterr().err


def test_a_recipe_that_gives_every_size_needs_a_network_that_takes_it(tmp_path):
    changes = {"resize": "shorter_side", "crop": "none"}
    with pytest.raises(ExportError, match="does not take an input of 160 x 288 pixels: no multi"):
        export(tmp_path, Patches(), recipe_changes=changes)
    _, manifest, _ = export(tmp_path, TinyNet(), recipe_changes=changes)
    assert "sizes" not in manifest["input"]


class Resizable(Two):
    """As timm's: it can be set to a size, and takes no other."""

    def __init__(self):
        super().__init__()
        self.size = (224, 224)

    def set_input_size(self, img_size):
        self.size = img_size

    def forward(self, x):
        if tuple(x.shape[2:]) != self.size:
            raise ValueError("wrong size")
        return TinyNet.forward(self, x)


def test_a_model_is_set_to_the_size_that_the_user_names(tmp_path):
    _, manifest, lines = export(
        tmp_path, Resizable(), recipe_changes={"height": 96, "width": 64, "resize_size": 96}
    )
    assert manifest["input"]["sizes"] == {"only": [{"height": 96, "width": 64}]}
    assert any(line.startswith("check 1 x 96 x 64 against the unchanged model") for line in lines)


def test_the_words_and_numbers_of_sizes():
    some = InputSizes(only=((224, 224), (384, 288), (96, 96)))
    assert some.text() == "224 x 224, 384 x 288 or 96 x 96 pixels"
    assert InputSizes(only=((224, 192),)).text() == "224 x 192 pixels alone"
    assert InputSizes(multiple=14).text() == "multiples of 14 pixels a side"
    assert InputSizes().text() == "any size" and InputSizes().to_json() is None
    assert some.takes(384, 288) and not some.takes(288, 384)
    for sizes in (some, InputSizes(multiple=14), InputSizes()):
        assert InputSizes.from_json(sizes.to_json()) == sizes


@pytest.mark.parametrize("own", [(224, 224), (192, 256), (299, 299), (16, 16), (384, 384)])
def test_what_may_be_taken_is_tried_from_the_widest(own):
    found = candidates(*own)
    assert found[0] == InputSizes() and found[-1] == InputSizes(only=(own,))
    multiples = [sizes.multiple for sizes in found[1:-1]]
    assert multiples == sorted(set(multiples)) and multiples
    for sizes in found:
        assert sizes.takes(*own)
        for _, height, width in sizes.batches():
            assert sizes.takes(height, width) and min(height, width) >= 14
        for larger in sizes.multiple * 2, sizes.multiple * 3:  # no larger number would do
            if not sizes.only:
                shapes = [(h, w) for _, h, w in sizes.batches()]
                assert any(h % larger or w % larger for h, w in shapes)
        if larger := sizes.larger(*own):
            assert sizes.takes(*larger) and larger[0] - own[0] == larger[1] - own[1] > 0


def test_strides_of_one_size_and_of_two():
    assert stride_of([(1, 8, 14, 14), (1, 8, 30, 30)], [(224, 224), (480, 480)]) == 16
    assert stride_of([(1, 8, 1, 1), (1, 8, 1, 1)], [(224, 224), (480, 480)]) == 0
    one = [(224, 160)] * 2
    assert stride_of([(1, 8, 7, 5)] * 2, one) == 32
    assert stride_of([(1, 8, 4, 3)] * 2, one) == 64  # of 3.5 by 2.5 cells, padded
    assert stride_of([(1, 8, 16, 16)] * 2, [(224, 224)] * 2) == 14
    assert stride_of([(1, 8, 1, 1)] * 2, one) == 0
    assert stride_of([(1, 8, 7, 64)] * 2, one) == 0
