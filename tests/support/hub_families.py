"""Tiny models of Hugging Face's transformers, saved as the package saves them, and what the bundle
of each must hold and give: what the package's own call does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
import transformers

from pixpool.export.__main__ import main
from pixpool.export.openvino_graph import OpenVinoGraph
from pixpool.export.recipe import Recipe
from pixpool.export.verify import load_graph
from random_weights import roughen

SIDE = 64
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": SIDE,
    "patch_size": 16,
}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 30,
    "max_position_embeddings": 8,
}
NAMES = {0: "cat", 1: "dog", 2: "stoat"}
SQUARE = {"size": {"height": SIDE, "width": SIDE}}
CROPPED = {
    "size": {"shortest_edge": 72},
    "crop_size": {"height": SIDE, "width": SIDE},
}


@dataclasses.dataclass(frozen=True)
class Family:
    """What is saved, and what its bundle is to hold."""

    saved: str  # class of the model
    config: dict
    processor: str
    recipe: dict
    # What of the class's own output is the embedding; None: what its last linear layer takes.
    answer: str | None
    prefix: int = 0
    class_token: bool = False
    layers: tuple[str, ...] = ("blocks_0", "blocks_1", "features")
    sized: dict | None = None


# One of each architecture; the rest of what its folders may hold is below.
FAMILIES = {
    "vit with classes": Family(
        "ViTForImageClassification",
        {**VIT, "id2label": NAMES},
        "ViTImageProcessorPil",
        SQUARE,
        None,
        1,
        True,
    ),
    "dinov2 with registers": Family(
        "Dinov2WithRegistersModel",
        {**VIT, "num_register_tokens": 4},
        "BitImageProcessorPil",
        CROPPED,
        "pooler_output",
        5,
        True,
    ),
    "clip": Family(
        "CLIPModel",
        {"vision_config": VIT, "text_config": TEXT, "projection_dim": 24},
        "CLIPImageProcessorPil",
        CROPPED,
        "image_embeds",
        1,
        True,
        layers=("blocks_0", "features"),
    ),
    "siglip": Family(
        "SiglipModel",
        {"vision_config": VIT, "text_config": TEXT},
        "SiglipImageProcessorPil",
        SQUARE,
        "pooler_output",
    ),
    "resnet": Family(
        "ResNetForImageClassification",
        {
            "embedding_size": 8,
            "hidden_sizes": [8, 12, 16, 24],
            "depths": [1, 1, 1, 1],
            "layer_type": "basic",
            "id2label": NAMES,
        },
        "ConvNextImageProcessorPil",
        {"size": {"shortest_edge": SIDE}, "crop_pct": 0.875},
        None,
        layers=("stages_0", "stages_1", "stages_2", "features"),
    ),
    "convnext": Family(
        "ConvNextModel",
        {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]},
        "ConvNextImageProcessorPil",
        {"size": {"shortest_edge": 384}},
        "pooler_output",
        layers=("stages_0", "stages_1", "stages_2", "features"),
    ),
}
MORE_FAMILIES = {
    "dinov3": Family(
        "DINOv3ViTModel",
        {**VIT, "num_register_tokens": 4},
        "DINOv3ViTImageProcessor",
        SQUARE,
        "pooler_output",
        5,
        True,
    ),
    "convnext v2": Family(
        "ConvNextV2ForImageClassification",
        {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1], "id2label": NAMES},
        "ConvNextImageProcessorPil",
        {"size": {"shortest_edge": SIDE}, "crop_pct": 0.875},
        None,
        layers=("stages_0", "stages_1", "stages_2", "features"),
    ),
    "vit": Family("ViTModel", VIT, "ViTImageProcessorPil", SQUARE, "pooler_output", 1, True),
    "dinov2": Family(
        "Dinov2Model",
        {**VIT, "patch_size": 14, "image_size": 98},
        "BitImageProcessorPil",
        CROPPED | {"crop_size": {"height": 70, "width": 70}},
        "pooler_output",
        1,
        True,
    ),
    "dinov2 with classes": Family(
        "Dinov2ForImageClassification",
        {**VIT, "id2label": NAMES},
        "BitImageProcessorPil",
        CROPPED,
        None,
        1,
        True,
    ),
    "clip, image tower": Family(
        "CLIPVisionModel",
        VIT,
        "CLIPImageProcessorPil",
        CROPPED,
        "pooler_output",
        1,
        True,
        layers=("blocks_0", "features"),
    ),
}


def save(family: Family, folder: Path, **changes) -> Path:
    torch.manual_seed(3)
    made_by = getattr(transformers, family.saved)
    model = made_by(made_by.config_class(**family.config)).eval()
    roughen(model)
    model.save_pretrained(folder)
    getattr(transformers, family.processor)(**family.recipe).save_pretrained(folder)
    change(folder / "config.json", **changes)
    return folder


def change(path: Path, **changes) -> None:
    """None takes an entry out."""
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))


def export(folder: Path, out: Path, *arguments: str) -> tuple[Path, dict]:
    assert main([f"hf:{folder}", "--out", str(out), *arguments]) == 0
    (path,) = out.glob("*/1/manifest.json")
    return path.parent, json.loads(path.read_text())


def own_run(family: Family, folder: Path):
    """The package's own call as its documentation shows it: what it gives, and the embedding."""
    model = getattr(transformers, family.saved).from_pretrained(folder).eval()
    # Where it has the option; the others follow the size anyway.
    takes = family.saved.startswith("ViT") or family.processor.startswith(("CLIP", "Siglip"))
    more = {"interpolate_pos_encoding": True} if takes else {}
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]

    @torch.no_grad()
    def run(values):
        taken = []
        tower = getattr(model, "vision_model", model)
        with contextlib.ExitStack() as hooks:
            hook = linear.register_forward_hook(lambda _m, given, _o: taken.append(given[0]))
            hooks.callback(hook.remove)
            output = tower(pixel_values=values, output_hidden_states=True, **more)
        if tower is not model:
            return model.get_image_features(pixel_values=values, **more).pooler_output, output
        embedding = getattr(output, family.answer) if family.answer else taken[0]
        return embedding.flatten(1), output

    return run


@torch.no_grad()
def own_attention(family: Family, folder: Path, values: torch.Tensor) -> torch.Tensor:
    """[N, heads, T, T] of the last block, as the package gives it where it is asked to."""
    made = getattr(transformers, family.saved)
    model = made.from_pretrained(folder, attn_implementation="eager").eval()
    tower = getattr(model, "vision_model", model)
    takes = family.saved.startswith("ViT") or family.processor.startswith("CLIP")
    more = {"interpolate_pos_encoding": True} if takes else {}
    return tower(pixel_values=values, output_attentions=True, **more).attentions[-1]


def normalized(manifest: dict, images: torch.Tensor) -> torch.Tensor:
    recipe = Recipe.from_json(manifest["input"])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    return (images.permute(0, 3, 1, 2).float() - mean) / std


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    """To 1e-5 of the largest value."""
    assert got.shape == wanted.shape and got.dtype == torch.float32
    assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def _pictures(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    shape = (count, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def assert_bundle_gives_what_the_package_does(family: Family, work: Path) -> None:
    """Saves the model and makes its bundle in the folder `work`."""
    source = save(family, work / "my-model")
    folder, manifest = export(source, work / "models")
    assert folder.parent.name == "my-model"
    attention = ("attention",) if family.class_token else ()
    assert tuple(layer["name"] for layer in manifest["layers"]) == family.layers + attention
    for layer in manifest["layers"][: len(family.layers)]:
        assert layer.get("prefix_tokens", 0) == family.prefix
        assert layer.get("class_token", False) == family.class_token
    assert manifest["input"].get("sizes") == family.sized
    assert manifest["parameters"]["left_out"] == 0
    assert {entry["engine"] for entry in manifest["engines"]} == {"torchscript", "openvino"}
    recipe, run = Recipe.from_json(manifest["input"]), own_run(family, source)
    weight, bias = None, None
    if family.answer is None:
        assert (folder / "labels.txt").read_text().split() == list(NAMES.values())
        weight = torch.from_numpy(np.fromfile(folder / "classifier.weight.f32", "<f4"))
        bias = torch.from_numpy(np.fromfile(folder / "classifier.bias.f32", "<f4"))
    else:
        assert "classifier" not in manifest
    graphs = (
        load_graph(folder / "backbone.ts"),
        OpenVinoGraph(folder / "backbone.xml", threads=1),
    )
    for size in ((1, recipe.height, recipe.width), (2, 96, 128)):
        images = _pictures(*size)
        embedding, output = run(normalized(manifest, images))
        for graph in graphs:
            got = graph(images)
            close(got[-1], embedding)
            if weight is not None:
                close(got[-1] @ weight.view(len(NAMES), -1).T + bias, output.logits)
            for at, state in _layers_of(family, output):
                if state.dim() == 4:
                    close(got[at], state)
                    continue
                patches = state[:, family.prefix :].transpose(1, 2)
                close(got[at], patches.unflatten(2, got[at].shape[2:]))
                if family.prefix:
                    first = len(manifest["layers"])
                    close(got[first + at], state[:, : family.prefix])
            if family.class_token:
                paid = own_attention(family, source, normalized(manifest, images))
                looks = got[len(family.layers)]
                close(looks.flatten(2), paid[:, :, 0, family.prefix :])


def _layers_of(family: Family, output) -> list[tuple[int, torch.Tensor]]:
    """What each layer is to give, by its place: after the package's embeddings each block or stage
    has an entry of its own. `features` is what comes last, often a norm of the last block."""
    last = len(family.layers) - 1
    found = list(enumerate(output.hidden_states[1 : last + 1]))
    if "last_hidden_state" in output:
        found.append((last, output.last_hidden_state))
    assert len(found) >= last
    return found
