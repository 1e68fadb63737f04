"""Lets the tests import the package from the checkout, and torchvision beside a CPU torch."""

import contextlib
import sys
import tempfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python"))
sys.path.insert(0, str(ROOT / "tests" / "support"))

from api import Api  # noqa: E402
from torchvision_operators import declare_torchvision_operators  # noqa: E402

declare_torchvision_operators()
# The generated code of the API, before the tests that import the client are.
_STUBS = tempfile.TemporaryDirectory(prefix="pixpool-stubs-")
API = Api(ROOT / "proto", Path(_STUBS.name))
# Small work: on a busy machine threads that wait for each other take ten times as long.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def api():
    return API


@pytest.fixture(scope="session")
def torchvision():
    return pytest.importorskip("torchvision")


@pytest.fixture
def serve():
    """serve(act, ...) starts a server that follows a script, and gives it; all are stopped at the
    end.
    """
    from scripted_server import Script, ScriptedServer

    with contextlib.ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(
            ScriptedServer(Script(*arguments, **options))
        )


@pytest.fixture
def bulk(serve):
    """bulk(act) gives a function that runs a job on a server that follows the script, and the
    script.
    """

    from pixpool.bulk import run

    def make(act=lambda name, attempt: None):
        server = serve(act)

        def job(source, output, heads="gem", **options):
            options = {"part_size": 8, "concurrency": 4, "progress": False, "timeout": 20} | options
            return run(source, output, heads, target=server.target, **options)

        return job, server.script

    return make
