"""Fixtures of the tests that run the real server: the built binaries, the default bundle, a running
server, a client.

A conftest.py puts this folder on the path and imports what it wants from here. Environment:
PIXPOOL_TEST_BUILD_DIR, folder that holds bin/ (default build/release); PIXPOOL_TEST_MODELS_DIR,
model repository (default models).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api import Api
from server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: Path | str) -> None:
    """Runs a script of tests/support with this interpreter."""
    script = ROOT / "tests" / "support" / name
    subprocess.run([sys.executable, "-B", script, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def build_dir() -> Path:
    return Path(os.environ.get("PIXPOOL_TEST_BUILD_DIR", ROOT / "build" / "release"))


@pytest.fixture(scope="session")
def bin_dir(build_dir: Path) -> Path:
    folder = build_dir / "bin"
    assert (folder / "pixpool-server").is_file(), f"no pixpool-server in {folder}: build first"
    return folder


@pytest.fixture(scope="session")
def models_dir() -> Path:
    folder = Path(os.environ.get("PIXPOOL_TEST_MODELS_DIR", ROOT / "models"))
    assert folder.is_dir(), f"no model repository at {folder}: run ./run --once first"
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The four sample photographs, and each of them as a JPEG of quality 92."""
    from PIL import Image

    from pixpool.samples import copy_samples

    folder = tmp_path_factory.mktemp("photos")
    out = {}
    for path in copy_samples(folder):
        out[path.name] = path
        jpeg = folder / f"{path.stem}_92.jpg"
        Image.open(path).convert("RGB").save(jpeg, quality=92)
        out[jpeg.name] = jpeg
    return out


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return Api(ROOT / "proto", tmp_path_factory.mktemp("stubs"))


@pytest.fixture(scope="session")
def start_server(bin_dir: Path, models_dir: Path, tmp_path_factory: pytest.TempPathFactory):
    """start_server(*flags) gives a ServerProcess on free ports (or on `target`), ready; all are
    stopped at the end.
    """
    running: list[ServerProcess] = []

    def start(
        *flags: str,
        wait: bool = True,
        models: Path = models_dir,
        target: str | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> ServerProcess:
        log = tmp_path_factory.mktemp("server") / "log"
        server = ServerProcess(bin_dir / "pixpool-server", models, log, flags, target, wrapper)
        running.append(server)
        if wait:
            server.wait_ready()
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def server(start_server) -> ServerProcess:
    return start_server()


@pytest.fixture(scope="session")
def client(api: Api, server: ServerProcess):
    return api.client(server.target)
