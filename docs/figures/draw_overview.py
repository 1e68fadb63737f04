"""Draws docs/figures/overview.jpg, the picture on top of README.md.

    PYTHONPATH=client/python python docs/figures/draw_overview.py

From left to right: a sample photograph, its class activation map as the server draws it, and what
global_avg and global_max keep of it, measured as draw_heads.py says.
"""

from __future__ import annotations

import argparse
import io

from PIL import Image

from draw_heads import PHOTO, half_share, influence, network_map, overlay, save, sheet
from live import Client, add_arguments, samples, server

PANEL = (360, 240)
HEADS = {"average keeps the whole": "global_avg", "max keeps the peaks": "global_max"}


def evidence(client: Client, photo: Image.Image) -> tuple[str, str, Image.Image]:
    """The panel of the class activation map, drawn over the photograph by the server."""
    file = io.BytesIO()
    photo.save(file, "PNG")
    head = "class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG_OVERLAY"
    reply = client.extract([file.getvalue()], [head]).results[0].features.head_results[0]
    found = reply.activation_map
    picture = Image.open(io.BytesIO(found.png)).convert("RGB")
    score = f"{found.class_score.label}, {found.class_score.score:.0%}"
    return "its heatmap", score, picture.resize(PANEL, Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args()
    photo = samples()[PHOTO]
    with server(args) as (client, _):
        panels = [("a photograph", "", photo.resize(PANEL, Image.Resampling.LANCZOS))]
        panels.append(evidence(client, photo))
        for name, weights in influence(client, network_map(client, photo), HEADS).items():
            remark = f"half in {half_share(weights):.0%} of the cells"
            panels.append((name, remark, overlay(photo, weights, PANEL)))
    save(sheet(panels, len(panels)), "overview.jpg")


if __name__ == "__main__":
    main()
