"""Lets the tests import the package from the checkout, and torchvision beside a CPU torch."""

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python"))
sys.path.insert(0, str(ROOT / "tests" / "support"))

from torchvision_operators import declare_torchvision_operators  # noqa: E402

declare_torchvision_operators()
# Small work: on a busy machine threads that wait for each other take ten times as long.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def torchvision():
    return pytest.importorskip("torchvision")
