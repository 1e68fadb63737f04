"""pixpool: images in, pooled CNN features out.

    from pixpool import Client

    with Client("127.0.0.1:50051") as client:
        vectors = client.extract(["a.jpg", "b.jpg"], heads="gem:p=3,l2").array  # [2, C]

What is meant to be imported is here and in `pixpool.heads` (heads as objects), `pixpool.bulk`
(features of a folder or a Parquet file), `pixpool.samples` (sample photographs), `pixpool.export`
(model bundles) and `pixpool.v1` (the generated code of the API). Modules whose names begin with an
underscore may change in any version, and so may the modules of `pixpool.bulk` and `pixpool.export`:
of those two, import what the package itself names in `__all__`.

`Client` and `AsyncClient` need grpcio, protobuf and the generated code of the API, which wheels
hold. The package is light on purpose: names are imported when they are used, `pixpool.export` alone
needs PyTorch and Pillow (the extra `pixpool[export]`), and nothing here imports it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixpool import heads as heads
    from pixpool._access import Tls as Tls
    from pixpool._aio import AsyncClient as AsyncClient
    from pixpool._channel import channel_options as channel_options
    from pixpool._client import Client as Client
    from pixpool._errors import FieldViolation as FieldViolation
    from pixpool._errors import ImageError as ImageError
    from pixpool._errors import PixpoolError as PixpoolError
    from pixpool._head_base import HeadLike as HeadLike
    from pixpool._head_base import HeadsLike as HeadsLike
    from pixpool._head_text import parse_head as parse_head
    from pixpool._images import Image as Image
    from pixpool._images import ImageSource as ImageSource
    from pixpool._models import ConvFilter as ConvFilter
    from pixpool._models import HeadParameter as HeadParameter
    from pixpool._models import HeadType as HeadType
    from pixpool._models import InputRecipe as InputRecipe
    from pixpool._models import InputSize as InputSize
    from pixpool._models import Layer as Layer
    from pixpool._models import Limits as Limits
    from pixpool._models import ModelInfo as ModelInfo
    from pixpool._models import Projection as Projection
    from pixpool._models import Vector as Vector
    from pixpool._not_given import NOT_GIVEN as NOT_GIVEN
    from pixpool._not_given import NotGiven as NotGiven
    from pixpool._options import InputOptions as InputOptions
    from pixpool._regions import Region as Region
    from pixpool._regions import RegionOptions as RegionOptions
    from pixpool._results import Box as Box
    from pixpool._results import ClassScore as ClassScore
    from pixpool._results import Extraction as Extraction
    from pixpool._results import HeadResult as HeadResult
    from pixpool._results import Heatmap as Heatmap
    from pixpool._results import ImageResult as ImageResult
    from pixpool._results import ModelReference as ModelReference
    from pixpool._results import RegionResult as RegionResult
    from pixpool._results import StageTimes as StageTimes
    from pixpool._retry import RetryPolicy as RetryPolicy

__version__ = "0.1.0"

# The module that each public name comes from.
_HOMES = {
    "AsyncClient": "_aio",
    "Box": "_results",
    "ClassScore": "_results",
    "Client": "_client",
    "ConvFilter": "_models",
    "Extraction": "_results",
    "FieldViolation": "_errors",
    "HeadLike": "_head_base",
    "HeadParameter": "_models",
    "HeadResult": "_results",
    "HeadType": "_models",
    "HeadsLike": "_head_base",
    "Heatmap": "_results",
    "Image": "_images",
    "ImageError": "_errors",
    "ImageResult": "_results",
    "ImageSource": "_images",
    "InputOptions": "_options",
    "InputRecipe": "_models",
    "InputSize": "_models",
    "Layer": "_models",
    "Limits": "_models",
    "ModelInfo": "_models",
    "ModelReference": "_results",
    "NOT_GIVEN": "_not_given",
    "NotGiven": "_not_given",
    "PixpoolError": "_errors",
    "Projection": "_models",
    "Region": "_regions",
    "RegionOptions": "_regions",
    "RegionResult": "_results",
    "RetryPolicy": "_retry",
    "StageTimes": "_results",
    "Tls": "_access",
    "Vector": "_models",
    "channel_options": "_channel",
    "parse_head": "_head_text",
}

__all__ = sorted([*_HOMES, "heads"])


def __getattr__(name: str) -> object:
    if name == "heads":
        return importlib.import_module("pixpool.heads")
    if name not in _HOMES:
        raise AttributeError(f"module 'pixpool' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pixpool.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
