"""Lets the tests of deploy/ import tests/support, and finds the programs that some of them want."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from server_fixtures import api, bin_dir, build_dir, models_dir, start_server  # noqa: E402, F401


@pytest.fixture(scope="session")
def program():
    """program(name) gives a command's path, from PATH or beside this Python; without it the test is skipped."""

    def find(name: str, where: str) -> str:
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found is None:
            pytest.skip(f"{name} is not installed ({where})")
        return found

    return find
