"""`pixpool bench` against the real server: what it reports is what the server counted."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from exposition import samples


@pytest.fixture(scope="module")
def served(start_server):
    return start_server()


@pytest.fixture
def folder(photos, tmp_path):
    """Pictures of several sizes and formats."""
    out = tmp_path / "photos"
    out.mkdir()
    for path in photos.values():
        (out / path.name).write_bytes(path.read_bytes())
    return out


@pytest.fixture
def bench(bin_dir, tmp_path):
    def run(server, *arguments: object, code: int = 0) -> dict:
        """Runs the command and gives its JSON report."""
        report = tmp_path / "report.json"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
        done = subprocess.run(
            [
                str(bin_dir / "pixpool"),
                "bench",
                "--target",
                server.target,
                "--warm-up",
                "0",
                "--timeout",
                "60",
                "--json",
                str(report),
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            timeout=240,
            env=environment,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(report.read_text())

    return run


class Counted:
    """What a server counted since this was made."""

    def __init__(self, server) -> None:
        self.server, self.before = server, samples(server)

    def __call__(self, name: str, **labels: str) -> float:
        now, before = (
            sum(
                value
                for series, own, value in moment
                if series == name and labels.items() <= own.items()
            )
            for moment in (samples(self.server), self.before)
        )
        return now - before

    def becomes(self, want: float, name: str, **labels: str) -> bool:
        """Whether it is `want`, or soon: a call is counted just after its answer has left."""
        end = time.monotonic() + 5
        while self(name, **labels) != want and time.monotonic() < end:
            time.sleep(0.05)
        return self(name, **labels) == want


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("ExtractFeatures", []),
        (
            "ExtractFeatures",
            ["--batch", "3", "--connections", "2", "--head", "gem:p=3", "--head", "rmac"],
        ),
        (
            "ModelInfer",
            [
                "--api",
                "kserve",
                "--batch",
                "2",
                "--head",
                "gem:p=4,l2",
                "--decode",
                "scaled",
                "--background",
                "255,0,128",
            ],
        ),
    ],
    ids=["calls", "batches", "kserve"],
)
def test_report_equals_the_servers_counters(bench, served, folder, method, flags):
    counted = Counted(served)
    metrics = f"http://{served.http}/metrics"
    report = bench(
        served, folder, "--concurrency", "1,4", "--requests", 30, "--metrics", metrics, *flags
    )
    totals = report["totals"]
    assert totals["requests"] == totals["requests_ok"] == 61  # two runs and the probe
    assert totals["images"] == totals["images_ok"] == 61 * report["batch"]
    assert counted.becomes(
        totals["requests_ok"],
        "pixpool_requests_total",
        code="OK",
        method=method,
        model="efficientnet-lite0",
        version="1",
    )
    assert counted("pixpool_requests_total") == totals["requests"]
    assert (
        counted("pixpool_images_total", outcome="ok", model="efficientnet-lite0", version="1")
        == counted("pixpool_images_total")
        == totals["images"]
    )
    for run in report["runs"]:
        assert run["requests"] == 30 and not run["failures"]
        latency = run["latency_ms"]
        assert (
            0
            < latency["min"]
            <= latency["p50"]
            <= latency["p90"]
            <= latency["p99"]
            <= latency["max"]
        )
        # The server's part of the time is within the whole.
        assert 0 < run["stages_ms"]["backbone"]["p50"] < latency["max"]
        assert run["images_per_second"] * run["window_s"] == pytest.approx(run["images_ok"], abs=1)
        assert run["server"]["batches"] > 0 and run["server"]["images_per_batch"] >= 1


@pytest.mark.parametrize("api", ["pixpool", "kserve"])
def test_streams(bench, served, folder, api):
    counted = Counted(served)
    report = bench(served, folder, "--stream", "--connections", 2, "--requests", 40, "--api", api)
    assert report["totals"]["images_ok"] == 41 and not report["runs"][0]["failures"]
    method = "StreamFeatures" if api == "pixpool" else "ModelStreamInfer"
    # And the probe's.
    assert counted.becomes(3, "pixpool_requests_total", code="OK", method=method)
    assert counted("pixpool_images_total", outcome="ok") == 41


def test_bad_pictures_are_failures_by_reason(bench, served, folder):
    (folder / "bad.jpg").write_bytes((folder / "rocket.jpg").read_bytes()[:3000])
    counted = Counted(served)
    report = bench(served, folder, "--requests", 45, code=1)
    (failure,) = report["runs"][0]["failures"]
    assert (failure["of"], failure["code"], failure["reason"]) == (
        "image",
        "INVALID_ARGUMENT",
        "IMAGE_UNDECODABLE",
    )
    assert failure["count"] == 5  # nine pictures, in turn
    totals = report["totals"]
    assert (
        counted("pixpool_images_total", outcome="error", reason="IMAGE_UNDECODABLE")
        == totals["images"] - totals["images_ok"]
    )


def test_what_is_shed_is_counted_and_not_sent_again(bench, start_server, folder):
    server = start_server("--max-in-flight-requests", "2", "--max-stream-in-flight", "2")
    counted = Counted(server)
    report = bench(server, folder, "--rate", 400, "--duration", 1, code=1)
    run = report["runs"][0]
    assert 300 < run["requests"] < 500  # Poisson
    (failure,) = run["failures"]
    shed = failure["count"]
    assert failure["reason"] == "OVERLOADED" and shed > 0 and shed == run["requests_failed"]
    times = failure["latency_ms"]  # of refusals
    assert 0 < times["min"] <= times["p50"] <= times["p99"] <= times["max"]
    assert counted.becomes(shed, "pixpool_requests_shed_total", reason="OVERLOADED")
    assert counted("pixpool_requests_total") == run["requests"] + 1  # each once, and the probe
    assert (
        run["latency_ms"]["min"] > run["stages_ms"]["backbone"]["min"]
    )  # shed answers are no latencies


def test_without_a_probe_nothing_else_is_sent(bench, served, folder):
    counted = Counted(served)
    report = bench(served, folder, "--requests", 20, "--no-probe")
    assert report["totals"]["requests"] == report["runs"][0]["requests"] == 20
    assert counted.becomes(20, "pixpool_requests_total")


def test_objectives_and_search(bench, served, folder):
    assert (
        bench(served, folder, "--requests", 10, "--slo", "p99=1us", code=7)["runs"][0]["met"]
        is False
    )
    assert bench(served, folder, "--requests", 10, "--slo", "p99=60s")["runs"][0]["met"] is True
    report = bench(
        served, folder, "--search", "--slo", "p90=2s", "--duration", 1, "--min-rate", 0.5
    )
    assert report["highest_rate"] > 0.5
    assert (
        report["runs"][report["main_run"]]["load"]["requests_per_second"] == report["highest_rate"]
    )
    assert all(
        r["met"]
        for r in report["runs"]
        if r["load"].get("requests_per_second", 1e9) <= report["highest_rate"]
    )
