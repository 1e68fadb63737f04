"""Triton's perf_analyzer as published, against the Open Inference Protocol. docs/kserve.md says how
to get it.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import subprocess

import pytest

PROGRAM = os.environ.get("PERF_ANALYZER") or shutil.which("perf_analyzer")


@pytest.mark.skipif(
    PROGRAM is None, reason="perf_analyzer is not here; PERF_ANALYZER names it (docs/kserve.md)"
)
@pytest.mark.parametrize(
    ("flags", "more"),
    [
        ([], {}),
        (["--streaming"], {}),
        (["--async"], {}),
        # It asks for every head of the metadata, and one of them is not for maps of regions.
        (
            ["--request-parameter", "mode:crop:string"],
            {"regions": {"content": [10.0, 10.0, 99.5, 99.0], "shape": [1, 4]}},
        ),
    ],
    ids=["unary", "streaming", "async", "regions"],
)
def test_a_run_at_several_concurrencies_completes(server, photos, tmp_path, flags, more):
    """Without the optional inputs, and with one of them."""
    file = photos["rocket.jpg"].read_bytes()
    # It sends these bytes as they are, so the element's length has to be among them.
    picture = base64.b64encode(len(file).to_bytes(4, "little") + file).decode()
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [{"image": {"b64": picture}, **more}]}))
    report = tmp_path / "report.csv"
    run = subprocess.run(
        [
            PROGRAM,
            "-i",
            "grpc",
            "-u",
            server.target,
            "-m",
            "efficientnet-lite0",
            "--input-data",
            data,
            "-f",
            report,
            "--concurrency-range",
            "1:4:3",
            "--measurement-interval",
            "1500",
            "--stability-percentage",
            "999",  # whatever else this machine does
            "--max-trials",
            "4",
            *flags,
        ],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    rows = list(csv.DictReader(report.open()))
    assert sorted(int(row["Concurrency"]) for row in rows) == [1, 4]
    for row in rows:
        assert float(row["Inferences/Second"]) > 1
