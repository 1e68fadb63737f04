"""CHANGELOG.md has what users of the API ask for by name."""

import json
import re

import pytest

from project_tree import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROTO = (ROOT / "proto/pixpool/v1/feature_service.proto").read_text(encoding="utf-8")
HEADS = [head["name"] for head in json.loads((ROOT / "docs/heads.json").read_text())]
CALLS = re.findall(r"^  rpc (\w+)", PROTO, re.M)


@pytest.mark.parametrize("name", [*HEADS, *CALLS])
def test_heads_and_calls_are_named(name):
    assert f"`{name}`" in CHANGELOG
