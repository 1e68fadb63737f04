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


def test_a_flood_of_failures_is_told_by_its_number(start_server, api):
    server = start_server("--log-requests", "failed")
    calls = 2000
    with grpc.insecure_channel(server.target) as channel:
        get_model = api.rpc.FeatureServiceStub(channel).GetModel
        for _ in range(calls // 100):
            asked = [get_model.future(api.pb.GetModelRequest(model="nope")) for _ in range(100)]
            assert {call.code() for call in asked} == {grpc.StatusCode.NOT_FOUND}
    server.stop()
    found = [line for line in server.lines("request") if line["method"] == "GetModel"]
    left_out = server.lines("requests_left_out")
    assert {(row["code"], row["reason"]) for row in left_out} == {("NOT_FOUND", "MODEL_NOT_FOUND")}
    assert {row["caller"] for row in left_out} == {found[0]["caller"]}
    assert len(found) + sum(row["left_out"] for row in left_out) == calls
    assert 10 <= len(found) < calls / 4
