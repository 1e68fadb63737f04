"""Lets the end-to-end tests import tests/support, and adds their reference to its fixtures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from reference import Reference  # noqa: E402
from server_fixtures import (  # noqa: E402, F401
    api,
    bin_dir,
    build_dir,
    client,
    models_dir,
    photos,
    server,
    start_server,
)
from tiny_models import hanging_models, models, no_models, tiny_bundles  # noqa: E402, F401


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "endurance: takes long; ./test endurance runs it")


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference()
