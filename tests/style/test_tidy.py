"""scripts/tidy.py looks at every file of the build, those with LibTorch too, until it passes."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from project_tree import ROOT, project_files

# Takes the place of clang-tidy: notes what it is given, and does not pass what $BAD names.
TOOL = """#!/bin/sh
case $1 in --version) echo 1; exit ;; esac
for path; do :; done
echo "$path" >>"$SEEN"
case $path in *"$BAD") echo "$path:1:1: error: bad [check]"; exit 1 ;; esac
"""


def sources():
    """One file of each folder with C++, and all that include LibTorch."""
    found = {}
    for path in project_files():
        if path.suffix == ".cc" and path.parts[0] in ("bench", "client", "server", "tests"):
            with_torch = "#include <ATen/" in (ROOT / path).read_text()
            found[path if with_torch else path.parent] = str(path)
    return sorted(found.values())


@pytest.fixture(name="tidy")
def with_a_stand_in(tmp_path):
    """Runs the script on sources(); returns its status, what was looked at, and the report."""
    tool = tmp_path / "clang-tidy"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    commands = [
        {"directory": str(ROOT), "file": path, "command": f"c++ -c {path}"} for path in sources()
    ]
    (tmp_path / "compile_commands.json").write_text(json.dumps(commands))

    def run(bad):
        seen = tmp_path / "seen.txt"
        seen.write_text("")
        report = tmp_path / "tidy.xml"
        script = [sys.executable, ROOT / "scripts/tidy.py", "--tool", tool]
        done = subprocess.run(
            [*script, "--build", tmp_path, "--junit", report],
            env={**os.environ, "SEEN": str(seen), "BAD": bad},
            capture_output=True,
            text=True,
            check=False,
        )
        cases = {case.get("name"): len(case) for case in ET.parse(report).iter("testcase")}
        looked_at = sorted(os.path.relpath(line, ROOT) for line in seen.read_text().splitlines())
        return done.returncode, looked_at, cases

    return run


def test_every_file_is_seen_until_it_passes(tidy):
    files = sources()
    bad = next(path for path in files if "#include <ATen/" in (ROOT / path).read_text())

    status, looked_at, cases = tidy(bad)
    assert (status, looked_at) == (1, files)
    assert cases == {path: int(path == bad) for path in files}

    status, looked_at, cases = tidy("nothing")
    assert (status, looked_at) == (0, [bad])
    assert cases == dict.fromkeys(files, 0)

    assert tidy(bad) == (0, [], dict.fromkeys(files, 0))
