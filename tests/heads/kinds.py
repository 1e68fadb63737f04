"""The kinds of heads, of docs/heads.json, so that tests of all heads take up a new one."""

from __future__ import annotations

import json
from pathlib import Path

HEADS = json.loads((Path(__file__).resolve().parents[2] / "docs" / "heads.json").read_text())
KINDS = [head["name"] for head in HEADS]
# Those that a map is enough for, whatever the model; test_tokens.py has the others.
OF_MAPS = [
    head["name"] for head in HEADS if head["reads"] == "map" and head["output"] != "activation_map"
]


def kind_of(spelling: str) -> str:
    """gem, of "gem:p=3"."""
    return spelling.partition(":")[0]


def simplest(kind: str) -> str:
    """The shortest spelling that any map takes: required sizes are 1."""
    if kind == "conv_pool":  # its filter is one of two parameters
        return "conv_pool:kernel_size=1,mean_filter=true"
    (head,) = (head for head in HEADS if head["name"] == kind)
    required = ",".join(f"{p['name']}=1" for p in head["parameters"] if p["required"])
    return f"{kind}:{required}" if required else kind
