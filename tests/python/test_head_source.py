"""`--pca` on what a graph gives beside its maps: tokens, the embedding, trained heads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.errors import ExportError
from pixpool.export.head_source import head_source
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.projection import fit_whitening
from pixpool.export.recipe import Recipe
from pixpool.export.specs import PcaSpec
from test_export import load_graph, recipe_of, tiny_source
from test_projection import save_picture
from test_tokens import Registers

# Layers with and without tokens before their maps; two vectors.
BODY = {
    "layers": [
        {"name": "stem", "channels": 2},
        {"name": "block0", "channels": 4, "prefix_tokens": 3, "class_token": True},
        {"name": "block1", "channels": 4, "prefix_tokens": 2},
    ],
    "default_layer": "block0",
    "vectors": [{"name": "embedding", "dimensions": 5}, {"name": "vlad", "dimensions": 6}],
}
torch.manual_seed(2)
OUTPUTS = (
    *(torch.randn(3, c, 2, 4) for c in (2, 4, 4)),
    *(torch.randn(3, p, 4) for p in (3, 2)),
    torch.randn(3, 5),
    torch.randn(3, 6),
)
MAPS, TOKENS, VECTORS = OUTPUTS[:3], OUTPUTS[3:5], OUTPUTS[5:]


def spec(text):
    from pixpool.export.head_spec import HeadSpec  # late: it needs the generated code of the API

    return HeadSpec.parse(text)


@pytest.mark.parametrize(
    ("text", "layer", "stands_on", "wanted"),
    [
        ("embedding", None, "vector 'embedding'", VECTORS[0]),
        ("bundle_head:name=vlad", None, "vector 'vlad'", VECTORS[1]),
        ("class_token", None, "block0", TOKENS[0][:, 0]),
        ("class_token:register=2", None, "block0", TOKENS[0][:, 2]),
        ("class_token:register=2", "block1", "block1", TOKENS[1][:, 1]),
        (
            "mean_token",
            "block1",
            "block1",
            (MAPS[2].sum((2, 3)) + TOKENS[1].sum(1)) / (2 * 4 + 2),
        ),
        ("mean_token", "stem", "stem", MAPS[0].mean((2, 3))),
        ("global_avg", "stem", "stem", MAPS[0].mean((2, 3))),
    ],
)
def test_what_heads_read(text, layer, stands_on, wanted):
    head = spec(text)
    source = head_source(BODY, head, layer, "--pca a")
    assert source.text() == stands_on
    torch.testing.assert_close(head(source.read(OUTPUTS)), wanted)


@pytest.mark.parametrize(
    ("text", "layer", "message"),
    [
        ("embedding", "stem", "--pca a: embedding takes no layer; leave 'stem' out"),
        ("bundle_head:name=gem", None, "has no vector 'gem'; it has embedding, vlad"),
        ("class_token", "block1", "--pca a: layer 'block1' has no class token"),
        ("class_token:register=3", "block0", "layer 'block0' has 2 registers; register is 3"),
        ("class_token:register=3", "block1", "layer 'block1' has 2 registers; register is 3"),
        ("class_token", "stem", "layer 'stem' has no class token"),
        ("gem", "nowhere", "--pca a: the model has no layer 'nowhere'; it has stem, block0"),
    ],
)
def test_what_a_bundle_does_not_have(text, layer, message):
    with pytest.raises(ExportError) as caught:
        head_source(BODY, spec(text), layer, "--pca a")
    assert message in str(caught.value)


def test_a_bundle_with_whitenings_of_its_vectors(tmp_path):
    for at in range(20):
        save_picture(tmp_path / "pictures" / f"{at:02}.png", at, (64, 64))
    pictures = sorted((tmp_path / "pictures").iterdir())
    pca = [
        PcaSpec.parse(f"{name}={tmp_path / 'pictures'},head={head},dimensions=3")
        for name, head in (("own", "embedding"), ("other", "bundle_head:name=pooled"))
    ]
    options = BundleOptions(out=tmp_path, vectors=["embedding", "pooled=pool"], pca=pca, threads=1)
    source = tiny_source(Registers(), recipe=Recipe(height=64, width=64))
    folder = write_bundle(source, options)
    manifest = json.loads((folder / "manifest.json").read_text())
    stands_on = [
        (entry["vector"], entry["head"], entry["head_parameters"], entry["input_dimensions"])
        for entry in manifest["projections"]
    ]
    assert stands_on == [
        ("embedding", "embedding", {}, 6),
        ("pooled", "bundle_head", {"name": "pooled"}, 8),
    ]
    assert not any("layer" in entry for entry in manifest["projections"])
    images = [preprocess(load_image(path), recipe_of(manifest)) for path in pictures]
    with torch.no_grad():
        outputs = load_graph(folder)(torch.from_numpy(np.stack(images)))
    for entry, vectors in zip(manifest["projections"], outputs[-2:], strict=True):
        wanted = fit_whitening(vectors.numpy(), 3)
        matrix = np.fromfile(folder / entry["matrix"], "<f4").reshape(3, -1)
        np.testing.assert_allclose(matrix, wanted.matrix, rtol=2e-3, atol=2e-3)
