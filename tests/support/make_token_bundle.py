"""Writes a small bundle, tokens/1, for tests: a vision transformer of timm with random weights.

    python make_token_bundle.py OUT

Its two blocks have a class token and two registers beside the 4 x 6 tokens of the map; it has the
embedding of its authors, a trained head "attention", and its classifier of 7 classes stands on the
embedding. Two projections, of the embedding and of a class token, are random. It takes pictures of
64 x 96 pixels alone, as they are. Engines: torchscript, openvino, and aotinductor.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from PIL import Image
from torch import Tensor, nn

from make_tiny_bundle import weights_digest
from torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()  # timm imports torchvision

from timm.layers import AttentionPoolLatent  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402

HEIGHT, WIDTH, PATCH = 64, 96, 16
CHANNELS, CLASSES = 64, 7
REGISTERS = 2
MEAN, STD = 120.0, 64.0
BLOCKS = ("block0", "block1")
VECTORS = ("embedding", "attention")
PROJECTIONS = {
    "of_embedding": {"vector": "embedding", "head": "embedding"},
    "of_token": {"layer": "block1", "head": "class_token"},
}


class Tokens(nn.Module):
    """The transformer and its trained head as a graph: the outputs that docs/bundle.md lists."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.vit = VisionTransformer(
            img_size=(HEIGHT, WIDTH),
            patch_size=PATCH,
            embed_dim=CHANNELS,
            depth=len(BLOCKS),
            num_heads=4,
            num_classes=CLASSES,
            reg_tokens=REGISTERS,
        )
        self.attention = AttentionPoolLatent(CHANNELS, num_heads=4)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.2)
        self.eval()

    @staticmethod
    def normalised(images: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] as timm's models take it, [N, 3, H, W]."""
        return (images.permute(0, 3, 1, 2).float() - MEAN) / STD

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        vit, maps, tokens = self.vit, [], []
        x = vit.norm_pre(vit._pos_embed(vit.patch_embed(self.normalised(images))))
        for block in vit.blocks:
            x = block(x)
            patches = x[:, 1 + REGISTERS :].transpose(1, 2)
            maps.append(patches.unflatten(2, (HEIGHT // PATCH, WIDTH // PATCH)))
            tokens.append(x[:, : 1 + REGISTERS])
        x = vit.norm(x)
        return (*maps, *tokens, vit.forward_head(x, pre_logits=True), self.attention(x))


def make_picture() -> Image.Image:
    small = np.random.default_rng(8).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def write_graphs(net: Tokens, folder: Path) -> list[dict[str, object]]:
    """Writes the network for each engine, and gives the entries of the manifest."""
    images = torch.zeros(2, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    with torch.inference_mode(False), torch.no_grad():
        graph = torch.jit.trace(net, images)
        graph.save(str(folder / "backbone.ts"))
        shape = ov.PartialShape([-1, HEIGHT, WIDTH, 3])
        model = ov.convert_model(graph, example_input=images, input=[shape])
        ov.save_model(model, str(folder / "backbone.xml"), compress_to_fp16=False)
        batch = {0: torch.export.Dim("batch", min=1, max=64)}
        exported = torch.export.export(net, (images,), dynamic_shapes=(batch,))
        torch._inductor.aoti_compile_and_package(
            exported, package_path=str(folder / "backbone.cpu.pt2")
        )
    return [
        {"engine": "openvino", "precision": "float32", "path": "backbone.xml"},
        {"engine": "torchscript", "precision": "float32", "path": "backbone.ts"},
        {
            "engine": "aotinductor",
            "precision": "float32",
            "path": "backbone.cpu.pt2",
            "device": "cpu",
        },
    ]


def write_projections(folder: Path) -> list[dict[str, object]]:
    rng = np.random.default_rng(9)
    entries = []
    for name, source in PROJECTIONS.items():
        arrays = {"mean": rng.normal(0, 0.1, CHANNELS), "matrix": rng.normal(size=(8, CHANNELS))}
        for part, array in arrays.items():
            array.astype("<f4").tofile(folder / f"projection.{name}.{part}.f32")
        entries.append(
            {
                "name": name,
                **source,
                "input_dimensions": CHANNELS,
                "output_dimensions": 8,
                "pictures": 100,
                "explained_variance": 0.5,
                "mean": f"projection.{name}.mean.f32",
                "matrix": f"projection.{name}.matrix.f32",
            }
        )
    return entries


def main(out: Path) -> None:
    folder = out / "tokens" / "1"
    folder.mkdir(parents=True)
    net = Tokens()
    engines = write_graphs(net, folder)
    projections = write_projections(folder)
    linear = net.vit.head
    linear.weight.detach().numpy().astype("<f4").tofile(folder / "classifier.weight.f32")
    linear.bias.detach().numpy().astype("<f4").tofile(folder / "classifier.bias.f32")
    picture = make_picture()
    picture.save(folder / "golden.png")
    with torch.inference_mode():
        outputs = net(torch.from_numpy(np.array(picture))[None])
    last = outputs[len(BLOCKS) - 1]
    for name, vector in zip(VECTORS, outputs[-len(VECTORS) :], strict=True):
        vector[0].numpy().astype("<f4").tofile(folder / f"golden.{name}.f32")
    last.mean((2, 3))[0].numpy().astype("<f4").tofile(folder / "golden.f32")
    manifest = {
        "format_version": 1,
        "name": "tokens",
        "version": "1",
        "license": "CC0-1.0",
        "weights_sha256": weights_digest(net.state_dict()),
        "input": {
            "resize": "exact",
            "interpolation": "bicubic",
            "crop": "none",
            "height": HEIGHT,
            "width": WIDTH,
            "sizes": {"only": [{"height": HEIGHT, "width": WIDTH}]},
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
        },
        "layers": [
            {
                "name": name,
                "channels": CHANNELS,
                "stride": PATCH,
                "non_negative": False,
                "prefix_tokens": 1 + REGISTERS,
                "class_token": True,
            }
            for name in BLOCKS
        ],
        "vectors": [{"name": name, "dimensions": CHANNELS} for name in VECTORS],
        "default_layer": BLOCKS[-1],
        "engines": engines,
        "parameters": {"held": sum(p.numel() for p in net.parameters()), "left_out": 0},
        "classifier": {
            "vector": "embedding",
            "class_count": CLASSES,
            "weight": "classifier.weight.f32",
            "bias": "classifier.bias.f32",
        },
        "projections": projections,
        "golden": {
            "image": "golden.png",
            "layer": BLOCKS[-1],
            "values": "golden.f32",
            "vectors": [{"name": name, "values": f"golden.{name}.f32"} for name in VECTORS],
            "min_cosine": 0.9999,
        },
        "files": [
            {"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in sorted(folder.iterdir())
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
