"""A caller's trace (W3C `traceparent`) is in the log line of each of its calls, whatever the
client.
"""

from __future__ import annotations

import os
import subprocess
import time

import pytest

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def requests_of(server, trace, count, seconds=10):
    """The log is written behind the calls."""
    end = time.monotonic() + seconds
    while True:
        lines = [line for line in server.lines("request") if line.get("trace_id") == trace]
        if len(lines) >= count or time.monotonic() > end:
            return lines
        time.sleep(0.02)


def numbered(i):
    trace = f"{i:032x}"
    return trace, f"00-{trace}-{SPAN}-01"


def test_the_python_client(server, api, photos):
    import pixpool

    trace, parent = numbered(0x100)
    with pixpool.Client(
        server.target, metadata=lambda: [("traceparent", parent)], timeout=60
    ) as client:
        client.extract(list(photos.values()))
        client.models()
    lines = requests_of(server, trace, len(photos) + 1)
    assert sorted(line["method"] for line in lines) == ["ExtractFeatures"] * len(photos) + [
        "ListModels"
    ]
    assert {(line["span_id"], line["trace_flags"]) for line in lines} == {(SPAN, "01")}
    extract = next(line for line in lines if line["method"] == "ExtractFeatures")
    assert extract["backbone_seconds"] > 0 and extract["code"] == "OK"


BENCH = ["bench", "--requests", "2", "--warm-up", "0"]


@pytest.mark.parametrize(
    "arguments, method",
    [
        (["extract"], "ExtractFeatures"),
        (["extract", "--stream"], "StreamFeatures"),
        (BENCH, "ExtractFeatures"),
        ([*BENCH, "--stream", "--api", "kserve"], "ModelStreamInfer"),
    ],
)
def test_the_command_hands_on_the_trace_of_its_environment(
    server, bin_dir, photos, arguments, method
):
    trace, parent = numbered(0x200 + sum(map(len, arguments)))
    command = [bin_dir / "pixpool", *arguments, "--target", server.target, photos["cat.png"]]
    subprocess.run(
        command, env={**os.environ, "TRACEPARENT": parent}, check=True, capture_output=True
    )
    lines = requests_of(server, trace, 1)
    assert method in {line["method"] for line in lines}
    # A header that is given wins over the environment.
    again = [*command, "--header", f"traceparent: {parent}"]
    subprocess.run(
        again, env={**os.environ, "TRACEPARENT": PARENT}, check=True, capture_output=True
    )
    assert len(requests_of(server, trace, len(lines) + 1)) > len(lines)


def test_an_unmodified_kserve_client(server, photos):
    import numpy as np

    triton = pytest.importorskip("tritonclient.grpc")
    trace, parent = numbered(0x300)
    client = triton.InferenceServerClient(server.target)
    picture = triton.InferInput("image", [1], "BYTES")
    picture.set_data_from_numpy(np.array([photos["cat.png"].read_bytes()], dtype=np.object_))
    client.infer("efficientnet-lite0", [picture], headers={"traceparent": parent})
    (line,) = requests_of(server, trace, 1)
    assert line["method"] == "ModelInfer" and line["backbone_seconds"] > 0


def test_what_is_no_trace_costs_nothing(server, api, bin_dir, photos):
    """A call is not refused for a header that the specification says to ignore."""
    import pixpool

    before = len(server.lines("request"))
    for bad in (PARENT.upper(), "00-1-2-3", "x" * 5000):
        with pixpool.Client(server.target, metadata=[("traceparent", bad)], timeout=60) as client:
            assert client.extract(photos["cat.png"]).ok.all()
    # Two parents are none. (Python's gRPC would send the last one only.)
    two = [
        "--header",
        f"traceparent: {PARENT}",
        "--header",
        f"traceparent: {PARENT.replace(SPAN, SPAN[::-1])}",
    ]
    subprocess.run(
        [bin_dir / "pixpool", "models", "--target", server.target, *two],
        check=True,
        capture_output=True,
    )
    end = time.monotonic() + 10
    while len(server.lines("request")) < before + 4 and time.monotonic() < end:
        time.sleep(0.02)
    assert [line for line in server.lines("request")[before:] if "trace_id" in line] == []
