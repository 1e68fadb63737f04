"""Lets torchvision, and timm with it, be imported beside a CPU torch."""

import sys

import torch


def declare_torchvision_operators() -> None:
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
        declare_torchvision_operators.library = library  # declarations go with their library
    except ImportError:
        pass
