"""The reasons of errors are told where clients look for them: all of them, each with its code."""

import re

from project_tree import ROOT

PROTO = "".join(
    (ROOT / "proto" / name).read_text(encoding="utf-8")
    for name in ("pixpool/v1/feature_service.proto", "inference/grpc_service.proto")
)
CLIENTS = (ROOT / "docs/clients.md").read_text(encoding="utf-8")


def reasons():
    """Reason -> code, as the server sends them."""
    text = (ROOT / "server/base/error.cc").read_text(encoding="utf-8")
    rows = re.findall(r'\{k\w+, "([A-Z_]+)", StatusCode::k(\w+)\}', text)
    return {name: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).upper() for name, code in rows}


def test_the_table_for_clients_is_that_of_the_server():
    assert len(reasons()) > 10
    table = CLIENTS[CLIENTS.index("| `reason` |") :]
    table = table[: table.index("\n\n")]
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\w+) \| (.+) \|$", table, re.M)
    assert [(name, code) for name, code, _ in rows] == list(reasons().items())


def test_the_comments_of_the_proto_name_every_reason():
    comments = " ".join(re.findall(r"//(.*)", PROTO))
    assert {name for name in reasons() if not re.search(rf"\b{name}\b", comments)} == set()


def test_the_code_beside_a_reason_in_the_proto_is_its_own():
    """Where a comment says "CODE, reason NAME" or "CODE and reason NAME"."""
    comments = " ".join(re.findall(r"//(.*)", PROTO))
    said = re.findall(r"\b([A-Z_]{5,})(?:,| and| with)\s+reason\s+([A-Z_]{5,})\b", comments)
    assert len(said) > 10
    assert [pair for pair in said if reasons().get(pair[1]) != pair[0]] == []
