"""Lets the tests import the package from the checkout, and torchvision beside a CPU torch."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "client" / "python"))


def _declare_torchvision_operators() -> None:
    """The torchvision on PyPI is built against PyPI's torch; beside another build its operators
    do not load, and its import fails on their names alone. Declared, they let the import through;
    the models under test never call them."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declare_torchvision_operators.library = library  # declarations go with their library
    except ImportError:
        pass


_declare_torchvision_operators()
# Small work: on a busy machine threads that wait for each other take ten times as long.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def torchvision():
    return pytest.importorskip("torchvision")
