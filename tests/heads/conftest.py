"""The proof of the heads: tests that others wrote, and oracles of our own, replayed on a real
server over gRPC.

    ./test heads

or, with a build and the default bundle at hand, `pytest tests/heads` with client/python on
PYTHONPATH and the packages of requirements/. PIXPOOL_TEST_BUILD_DIR and PIXPOOL_TEST_MODELS_DIR
name another build and model repository. The ledger is written to build/reports/heads: table.txt,
and not_applicable.txt for what the other suites hold beyond this API.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from ledger import Ledger  # noqa: E402
from pixels import Pixels  # noqa: E402
from pool_tensor import PoolTensor  # noqa: E402
from server_fixtures import (  # noqa: E402, F401
    ROOT,
    api,
    bin_dir,
    build_dir,
    client,
    models_dir,
    photos,
    run_script,
    server,
    start_server,
)
from torchvision_operators import declare_torchvision_operators  # noqa: E402

declare_torchvision_operators()  # timm imports torchvision
torch.set_num_threads(1)  # small work, and the server wants the processors


@pytest.fixture(scope="session")
def ledger():
    """The session's ledger; written at its end."""
    out = Ledger()
    yield out
    out.write(ROOT / "build" / "reports" / "heads")


@pytest.fixture(scope="session")
def pixels(start_server, api, tmp_path_factory) -> Pixels:  # noqa: F811
    """A server whose networks give back their input."""
    models = tmp_path_factory.mktemp("models")
    run_script("make_pixels_bundle.py", models)
    return Pixels(api.client(start_server("--default-model=pixels-bicubic", models=models).target))


@pytest.fixture(scope="session")
def pool(client) -> PoolTensor:  # noqa: F811
    return PoolTensor(client)
