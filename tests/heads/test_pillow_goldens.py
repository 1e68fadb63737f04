"""Pillow's own resize expectations, whose pictures are too small for the API: the unit test that
holds them.
"""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET

TEST = "pillow_resize_test"  # tests/unit/image
CASES = 12


def test_pillows_own_resize_cases(build_dir, ledger, tmp_path):
    environment = {**os.environ, "GTEST_OUTPUT": f"xml:{tmp_path}/"}
    run = subprocess.run(
        [
            "ctest",
            "--test-dir",
            build_dir,
            "--no-tests=error",
            "--output-on-failure",
            "-R",
            f"^{TEST}$",
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    report = tmp_path / f"{TEST}.xml"
    assert report.is_file(), run.stdout + run.stderr
    cases = list(ET.parse(report).getroot().iter("testcase"))
    assert len(cases) >= CASES
    with ledger("Pillow: its own resize goldens (unit test)") as row:
        for case in cases:
            ok = case.get("status") == "run" and case.find("failure") is None
            row.case(case.get("name"), ok, "failed or did not run")
    assert run.returncode == 0, run.stdout
