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
    from pixpool._aio import AsyncClient as AsyncClient
    from pixpool._channel import channel_options as channel_options
    from pixpool._client import Client as Client
    from pixpool._errors import ImageError as ImageError
    from pixpool._errors import PixpoolError as PixpoolError
    from pixpool._head_text import parse_head as parse_head
    from pixpool._images import Image as Image
    from pixpool._options import InputOptions as InputOptions
    from pixpool._results import ClassScore as ClassScore
    from pixpool._results import Extraction as Extraction
    from pixpool._results import HeadResult as HeadResult
    from pixpool._results import Heatmap as Heatmap
    from pixpool._results import ImageResult as ImageResult
    from pixpool._retry import RetryPolicy as RetryPolicy

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "_aio",
    "Client": "_client",
    "ClassScore": "_results",
    "Extraction": "_results",
    "HeadResult": "_results",
    "Heatmap": "_results",
    "Image": "_images",
    "ImageError": "_errors",
    "ImageResult": "_results",
    "InputOptions": "_options",
    "PixpoolError": "_errors",
    "RetryPolicy": "_retry",
    "channel_options": "_channel",
    "parse_head": "_head_text",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pixpool' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pixpool.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
