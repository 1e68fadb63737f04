"""Which calls have a line in the log: --log-requests."""

from __future__ import annotations

import grpc
import pytest


@pytest.mark.parametrize(
    ("which", "kept"), [("all", 8), ("1/3", 3), ("failed", 0)], ids=["all", "1 of 3", "failed"]
)
def test_of_good_calls_each_nth_and_all_that_failed(start_server, api, photos, which, kept):
    server = start_server("--log-requests", which)
    client = api.client(server.target)
    for _ in range(7):
        client.extract([photos["cat.png"]])
    client.extract([photos["cat.png"], b"junk"])
    with pytest.raises(grpc.RpcError):
        client.extract([photos["cat.png"]], model="nope")
    client.extract([photos["cat.png"]])
    server.stop()
    found = [line for line in server.lines("request") if line["method"] == "ExtractFeatures"]
    assert sum(line["code"] == "NOT_FOUND" for line in found) == 1
    assert sum(line.get("failed_images") == 1 for line in found) == 1
    good = [line for line in found if line["code"] == "OK" and not line["failed_images"]]
    assert len(good) == kept
    assert all(line.get("one_of") == (3 if which == "1/3" else None) for line in good)
