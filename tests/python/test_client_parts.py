"""Retry schedules, errors, values and channel settings by themselves."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest

from pixpool import ImageError, PixpoolError, RetryPolicy, channel_options
from pixpool._adaptive import AdaptiveLimit
from pixpool._call import Readiness
from pixpool._channel import service_config
from pixpool._decode import features_from_proto
from pixpool._errors import FieldViolation
from pixpool._retry import RetrySchedule, is_retryable
from pixpool._values import decode_values
from pixpool.v1 import feature_service_pb2 as pb
from pixpool.v1 import feature_service_pb2_grpc as rpc
from scripted_server import Failure

PACKAGE = Path(__file__).parents[2] / "client" / "python"


def unavailable(after=None):
    return PixpoolError(grpc.StatusCode.UNAVAILABLE, "", reason="OVERLOADED", retry_after_s=after)


def test_waits_grow_to_their_limit_and_are_spread():
    schedule = RetrySchedule(
        RetryPolicy(max_attempts=7, initial_backoff_s=0.1, max_backoff_s=1, jitter=0.2)
    )
    waits = [schedule.next(unavailable(), 60, 0.5) for _ in range(7)]
    assert waits[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1]) and waits[6] is None
    schedule = RetrySchedule(RetryPolicy())
    assert schedule.next(unavailable(), 60, 0.0) == pytest.approx(0.08)
    assert schedule.next(unavailable(), 60, 1.0) == pytest.approx(0.24)


def test_a_call_that_was_reset_for_want_of_room_is_tried_again():
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    reset = "Stream removed (RST_STREAM (Received RST_STREAM with error code 11))"
    assert is_retryable(PixpoolError(exhausted, reset))
    assert not is_retryable(PixpoolError(exhausted, "Sent message larger than max (9 vs. 4)"))
    assert not is_retryable(PixpoolError(grpc.StatusCode.INTERNAL, reset))


def test_what_the_server_states_is_only_ever_lengthened():
    for unit, wait in ((0.0, 1.5), (1.0, 1.8)):
        assert RetrySchedule(RetryPolicy()).next(unavailable(1.5), 60, unit) == pytest.approx(wait)


def test_a_wait_beyond_the_time_left_is_not_begun():
    assert RetrySchedule(RetryPolicy()).next(unavailable(2), 1.9, 0.0) is None
    assert RetrySchedule(RetryPolicy()).next(unavailable(2), 2.1, 0.0) == 2


def test_the_window_of_calls_is_cut_once_for_what_was_shed_together():
    limit = AdaptiveLimit(16)
    for number in [limit.sent() for _ in range(16)]:
        limit.ended(number, True)
    assert limit.size == 11
    limit.shed(limit.sent())
    assert limit.size == 7
    for _ in range(50):
        limit.shed(limit.sent())
    assert limit.size == 1  # it never closes
    for size in (2, 2, 2, 3):  # and grows by one for each window of answers
        limit.answered()
        assert limit.size == size
    for _ in range(1000):
        limit.ended(limit.sent(), False)
    assert limit.size == 16


def test_channels_are_kept_alive_as_servers_allow():
    options = dict(channel_options())
    assert options["grpc.keepalive_time_ms"] >= 10_000
    assert options["grpc.http2.max_pings_without_data"] == 0
    # Without calls nothing is sent, whatever the server thinks of it.
    assert "grpc.keepalive_permit_without_calls" not in options


def test_pauses_between_health_checks_grow_within_the_time(monkeypatch):
    now = 100.0
    monkeypatch.setattr("pixpool._call.time.monotonic", lambda: now)
    waiting = Readiness(3.0)
    pauses = []
    with pytest.raises(PixpoolError, match="not ready after 3 s: .* does not serve") as caught:
        while True:
            assert waiting.timeout() == pytest.approx(103 - now)
            pauses.append(waiting.pause_after(None))
            now += pauses[-1]
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])
    with pytest.raises(PixpoolError, match="not ready after 3 s: UNAVAILABLE"):
        waiting.pause_after(unavailable())
    unknown = PixpoolError(grpc.StatusCode.NOT_FOUND, "no such service")
    with pytest.raises(PixpoolError) as caught:
        Readiness(3.0).pause_after(unknown)
    assert caught.value is unknown  # no time mends that


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"initial_backoff_s": 0},
        {"max_backoff_s": 0.01},
        {"multiplier": 0.5},
        {"jitter": 1.5},
    ],
)
def test_policies_out_of_range(wrong):
    with pytest.raises(ValueError, match=r"retry\."):
        RetryPolicy(**wrong)


def test_errors_travel_between_processes():
    error = PixpoolError(
        grpc.StatusCode.NOT_FOUND,
        "gone",
        reason="MODEL_NOT_FOUND",
        fields=(FieldViolation("model", "unknown"),),
    )
    for one in (error, ImageError(error, "a.jpg", 3)):
        again = pickle.loads(pickle.dumps(one))
        assert (
            type(again) is type(one) and str(again) == str(one) and again.__dict__ == one.__dict__
        )


def head(encoding, shape, **fields):
    return pb.HeadResult(head_id="h", encoding=encoding, shape=shape, **fields)


def test_values_in_every_encoding():
    values = np.array([[1.5, -2, 0.25], [0, 3, 4]], np.float32)
    flat = values.ravel()
    for result, expected in (
        (head(pb.ENCODING_FLOAT32, [2, 3], values=flat), values),
        (head(pb.ENCODING_UNSPECIFIED, [2, 3], values=flat), values),
        (head(pb.ENCODING_FLOAT16, [2, 3], packed_values=flat.astype("<f2").tobytes()),
         values.astype(np.float16)),
        (head(pb.ENCODING_INT8, [3], packed_values=b"\x01\xff\x7f", scale=0.5),
         np.float32([0.5, -0.5, 63.5])),
        (head(pb.ENCODING_BINARY, [2, 5], packed_values=b"\xa1\x40"),
         np.array([[1, 0, 1, 0, 0], [0, 0, 1, 0, 1]], bool)),
        (head(pb.ENCODING_FLOAT32, [0], class_scores=[pb.ClassScore()]), np.empty(0, np.float32)),
    ):  # fmt: skip
        got = decode_values(result)
        assert got.dtype == expected.dtype and not got.flags.writeable
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "result",
    [
        head(pb.ENCODING_FLOAT32, [3], values=[1, 2]),
        head(pb.ENCODING_FLOAT32, [2], values=[1, 2], packed_values=b"x"),
        head(pb.ENCODING_FLOAT16, [2], packed_values=b"abc"),
        head(pb.ENCODING_INT8, [2], values=[1, 2]),
        head(pb.ENCODING_INT8, [1], packed_values=b"a", scale=float("nan")),
        head(pb.ENCODING_BINARY, [3], packed_values=b"\xff"),
        head(9, [1], values=[1]),
        head(pb.ENCODING_FLOAT32, [-1, 2], values=[1, 2]),
    ],
)
def test_results_that_contradict_themselves(result):
    with pytest.raises(PixpoolError, match="malformed result for head h") as caught:
        decode_values(result)
    assert caught.value.code is grpc.StatusCode.INTERNAL


def test_channel_settings_make_grpc_itself_retry(serve):
    server = serve(
        lambda name, attempt: (
            Failure(grpc.StatusCode.UNAVAILABLE, pushback="10") if attempt <= 2 else None
        )
    )
    request = pb.ExtractFeaturesRequest(images=[pb.Image(encoded=b"abc", image_id="n")])
    with grpc.insecure_channel(
        server.target, channel_options(retry=RetryPolicy(), round_robin=True)
    ) as channel:
        reply = rpc.FeatureServiceStub(channel).ExtractFeatures(request, timeout=20)
    assert reply.results[0].image_id == "n" and server.script.attempts["n"] == 3
    server.script.attempts.clear()
    with (
        grpc.insecure_channel(server.target, channel_options()) as channel,
        pytest.raises(grpc.RpcError),
    ):
        rpc.FeatureServiceStub(channel).ExtractFeatures(request, timeout=20)
    assert server.script.attempts["n"] == 1
    assert json.loads(service_config(round_robin=True)) == {
        "loadBalancingConfig": [{"round_robin": {}}]
    }


def test_without_the_generated_code_only_the_client_is_missing(tmp_path):
    """As in a source checkout: the package imports, and the client says what to do."""
    (tmp_path / "pixpool").mkdir()
    for path in (PACKAGE / "pixpool").glob("*.py"):
        (tmp_path / "pixpool" / path.name).write_text(path.read_text())
    program = (
        "import pixpool, pixpool.samples; print(pixpool.__version__); from pixpool import Client"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env={}
    )
    assert run.stdout.strip() == "0.1.0"
    assert "python client/python/generate_api.py" in run.stderr and "ImportError" in run.stderr


def test_damage_of_a_picture_is_in_its_result():
    features = pb.Features(warnings=["the PNG file is damaged"])
    got = features_from_proto(features, pb.ModelReference(), "a", 0)
    assert got.warnings == ("the PNG file is damaged",)
    assert features_from_proto(pb.Features(), pb.ModelReference(), "a", 0).warnings == ()
