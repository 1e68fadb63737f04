"""The generated messages of the API as `pb`, or a clear complaint that they are missing."""

from __future__ import annotations

try:
    from pixpool.v1 import feature_service_pb2 as pb
except ModuleNotFoundError as error:
    if error.name not in ("pixpool.v1", "pixpool.v1.feature_service_pb2"):
        raise ImportError(
            f"the pixpool client needs the package {error.name}, which is not installed;"
            " `pip install grpcio protobuf googleapis-common-protos` will do"
        ) from error
    raise ImportError(
        "the generated code of the pixpool API is missing, as in a source checkout: run"
        " `python client/python/generate_api.py` there (it needs grpcio-tools and"
        " googleapis-common-protos), or install the package with `pip install ./client/python`"
    ) from error

SERVICE = "pixpool.v1.FeatureService"

__all__ = ["SERVICE", "pb"]
