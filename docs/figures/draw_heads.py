"""Draws docs/figures/heads.jpg and cam.jpg: what each head keeps of a photograph.

    PYTHONPATH=client/python python docs/figures/draw_heads.py

heads.jpg: the photograph's last feature map is fetched with the head feature_map; for every cell a
copy of the map with that cell set to zero goes through PoolTensor. The influence of a cell is the
L2 distance that this moves the head's vector, divided by the vector's norm. cam.jpg is what
`pixpool heatmap` makes of photographs, with the box of each class activation map drawn in.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from live import ROOT, Client, add_arguments, as_array, as_input, samples, server

HERE = Path(__file__).resolve().parent
PHOTO = "coffee"
SIDE = 640  # shorter side of the network's input, pixels: a map of 20 x 30 cells
ACTIVATION_MAPS = (
    ("coffee", []),
    ("cat", []),
    ("cat", ["--crop", "none", "--resize-size", "448"]),
)
BATCH = 16  # maps a call, within the message limit
HEADS = {
    "global_avg": "global_avg",
    "lp (p 2)": "lp",
    "gem, p 3": "gem",
    "gem, p 10": "gem:p=10",
    "lse (r 10)": "lse",
    "global_max": "global_max",
    "spatial_pyramid": "spatial_pyramid",
    "rmac": "rmac",
    "spoc": "spoc",
    "crow": "crow",
    "scda": "scda",
}
# From no influence to the most: dark blue, violet, orange, pale yellow.
STOPS = np.array([[10, 10, 45], [90, 20, 110], [185, 50, 85], [245, 125, 30], [252, 250, 170]])
PANEL = (300, 200)
GAP, TITLE, COLUMNS = 10, 22, 4


def influence(client: Client, x: np.ndarray, named_heads: dict[str, str]) -> dict[str, np.ndarray]:
    """[H, W] for each head: how far its vector moves, relative to its norm, without the cell."""
    heads = [client.head(text) for text in named_heads.values()]
    _, height, width = x.shape

    def pool(maps: np.ndarray) -> list[list[np.ndarray]]:
        tensor = client.pb.Tensor(shape=maps.shape, values=maps.ravel().tolist())
        request = client.pb.PoolTensorRequest(tensor=tensor, heads=heads)
        results = client.stub.PoolTensor(request, timeout=120).results
        return [[as_array(head) for head in result.head_results] for result in results]

    full = pool(x[None])[0]
    moved = np.zeros((len(heads), height * width))
    for start in range(0, height * width, BATCH):
        cells = range(start, min(start + BATCH, height * width))
        maps = np.repeat(x[None], len(cells), axis=0)
        for copy, cell in enumerate(cells):
            maps[copy, :, cell // width, cell % width] = 0
        for cell, vectors in zip(cells, pool(maps), strict=True):
            for k, (vector, whole) in enumerate(zip(vectors, full, strict=True)):
                moved[k, cell] = np.linalg.norm(vector - whole) / np.linalg.norm(whole)
    return dict(zip(named_heads, moved.reshape(-1, height, width), strict=True))


def half_share(weights: np.ndarray) -> float:
    """The smallest share of cells that holds half of the influence."""
    falling = np.sort(weights.ravel())[::-1].cumsum()
    return float((np.searchsorted(falling, falling[-1] / 2) + 1) / weights.size)


def colours(values: np.ndarray) -> np.ndarray:
    """uint8 RGB for values from 0 to 1."""
    at = np.clip(values, 0, 1) * (len(STOPS) - 1)
    return np.stack(
        [np.interp(at, range(len(STOPS)), STOPS[:, c]) for c in range(3)], axis=-1
    ).astype(np.uint8)


def overlay(photo: Image.Image, weights: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The photograph in grey under the weights, scaled to the largest; cells are squares."""
    tint = Image.fromarray(colours(weights / weights.max())).resize(size, Image.Resampling.NEAREST)
    grey = photo.resize(size, Image.Resampling.LANCZOS).convert("L").convert("RGB")
    return Image.blend(grey, tint, 0.68)


def sheet(panels: list[tuple[str, str, Image.Image]], columns: int) -> Image.Image:
    """Panels with a name on the left and a remark on the right above them."""
    width, height = panels[0][2].size
    rows = -(-len(panels) // columns)
    page = Image.new(
        "RGB", (columns * (width + GAP) + GAP, rows * (height + TITLE + GAP) + GAP), "white"
    )
    draw = ImageDraw.Draw(page)
    for i, (name, remark, picture) in enumerate(panels):
        x = GAP + i % columns * (width + GAP)
        y = GAP + i // columns * (height + TITLE + GAP)
        draw.text((x, y + 1), name, "black", ImageFont.load_default(15))
        draw.text((x + width, y + 4), remark, "#555555", ImageFont.load_default(12), anchor="ra")
        page.paste(picture, (x, y + TITLE))
    return page


def network_map(client: Client, photo: Image.Image) -> np.ndarray:
    """The last feature map of the photograph, whole and with its shorter side at SIDE pixels."""
    wanted = (round(SIDE * photo.width / photo.height), SIDE)
    (x,) = as_input(photo.resize(wanted, Image.Resampling.BICUBIC), client, ("feature_map",))
    print(f"{PHOTO}: input {wanted[1]} x {wanted[0]}, map {x.shape[1]} x {x.shape[2]}")
    return x


def draw_influence(client: Client) -> Image.Image:
    photo = samples()[PHOTO]
    panels = [("the photograph", "", photo.resize(PANEL, Image.Resampling.LANCZOS))]
    for name, weights in influence(client, network_map(client, photo), HEADS).items():
        share = half_share(weights)
        print(f"{name:16} largest {weights.max():.4f}, half of it in {share:.1%} of the cells")
        remark = f"half in {share:.0%} of the cells"
        panels.append((name, remark, overlay(photo, weights, PANEL)))
    return sheet(panels, COLUMNS)


def draw_activation_maps(client: Client, target: str, binary: Path) -> Image.Image:
    """`pixpool heatmap` of three requests, with the box that each answer names."""
    panels = []
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in ACTIVATION_MAPS:
            path, out = Path(folder, f"{name}.png"), Path(folder, f"{name}-map.png")
            samples()[name].save(path)
            command = [binary, "heatmap", path, "--output", out, "--target", target, *flags]
            subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
            options = client.pb.InputOptions()
            if flags:
                options.crop, options.resize_size_px = client.pb.CROP_MODE_NONE, int(flags[-1])
            reply = client.extract([path], ["class_activation_map"], input_options=options)
            found = reply.results[0].features.head_results[0].activation_map
            edges = (found.box.left_px, found.box.top_px, found.box.right_px, found.box.bottom_px)
            picture = Image.open(out).convert("RGB")
            ImageDraw.Draw(picture).rectangle(edges, outline="white", width=2)
            score = f"{found.class_score.label}, {found.class_score.score:.0%}"
            print(f"{name} {' '.join(flags)}: {score}, box {edges}")
            text = " ".join(flags) or "the model's own crop"
            panels.append((score, text, picture.resize(PANEL, Image.Resampling.LANCZOS)))
    return sheet(panels, 3)


def save(picture: Image.Image, name: str) -> None:
    path = HERE / name
    picture.save(path, quality=88, subsampling=0, optimize=True)
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {path.stat().st_size} B")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args()
    with server(args) as (client, target):
        save(draw_influence(client), "heads.jpg")
        save(draw_activation_maps(client, target, args.build / "bin" / "pixpool"), "cam.jpg")


if __name__ == "__main__":
    main()
