"""The Python tests' fixtures; the suite has a name of its own since it takes many minutes."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python"))
sys.path.insert(0, str(ROOT / "tests" / "support"))

import torch  # noqa: E402

from torchvision_operators import declare_torchvision_operators  # noqa: E402

declare_torchvision_operators()
torch.set_num_threads(1)
