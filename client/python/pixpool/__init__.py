"""pixpool: images in, pooled CNN features out.

    from pixpool import Client

    with Client("127.0.0.1:50051") as client:
        vectors = client.extract(["a.jpg", "b.jpg"], heads="gem:p=3,l2").array  # [2, C]

`Client` and `AsyncClient` need grpcio, protobuf and the generated code of the API, which wheels
hold. The package is light on purpose: names are imported when they are used, `pixpool.export` alone
needs PyTorch and Pillow (the extra `pixpool[export]`), and nothing here imports it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixpool.aio import AsyncClient as AsyncClient
    from pixpool.channel import channel_options as channel_options
    from pixpool.client import Client as Client
    from pixpool.errors import ImageError as ImageError
    from pixpool.errors import PixpoolError as PixpoolError
    from pixpool.images import Image as Image
    from pixpool.options import InputOptions as InputOptions
    from pixpool.results import ClassScore as ClassScore
    from pixpool.results import Extraction as Extraction
    from pixpool.results import HeadResult as HeadResult
    from pixpool.results import Heatmap as Heatmap
    from pixpool.results import ImageResult as ImageResult
    from pixpool.retry import RetryPolicy as RetryPolicy

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "aio",
    "Client": "client",
    "ClassScore": "results",
    "Extraction": "results",
    "HeadResult": "results",
    "Heatmap": "results",
    "Image": "images",
    "ImageError": "errors",
    "ImageResult": "results",
    "InputOptions": "options",
    "PixpoolError": "errors",
    "RetryPolicy": "retry",
    "channel_options": "channel",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pixpool' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pixpool.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
