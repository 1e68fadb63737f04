"""The values of a head's result as an array, in whatever encoding they travelled."""

from __future__ import annotations

import math
from typing import TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._errors import PixpoolError
from pixpool._head_text import enum_name

# float32, float16 for that encoding, bool for "binary".
FeatureArray: TypeAlias = NDArray[np.float32 | np.float16 | np.bool_]


def encoding_name(encoding: int) -> str:
    """ "float16" of ENCODING_FLOAT16; "float32" where none is given."""
    return enum_name(pb.Encoding.DESCRIPTOR, encoding or pb.ENCODING_FLOAT32)


def decode_values(result: pb.HeadResult) -> FeatureArray:
    """The values in the shape of the result, a read-only array.

    float32 for FLOAT32, and for INT8 times its scale; float16 for FLOAT16; bool for BINARY. Shape
    [0] for a result without values: class_scores, and a class activation map as PNG. PixpoolError
    INTERNAL, naming the head, for a result that contradicts itself.
    """
    shape = list(result.shape)
    if len(result.class_scores) or result.activation_map.png or not shape:
        return _frozen(np.empty(0, np.float32))
    if min(shape) < 0:
        raise _malformed(result, f"shape {shape}")
    count = math.prod(shape)
    encoding = result.encoding or pb.ENCODING_FLOAT32
    floats, size = (count, 0) if encoding == pb.ENCODING_FLOAT32 else (0, 0)
    if encoding == pb.ENCODING_FLOAT16:
        size = 2 * count
    elif encoding == pb.ENCODING_INT8:
        size = count
    elif encoding == pb.ENCODING_BINARY:
        size = (count + 7) // 8
    elif encoding != pb.ENCODING_FLOAT32:
        raise _malformed(result, f"encoding {encoding}, which this client does not know")
    packed = result.packed_values
    if (len(result.values), len(packed)) != (floats, size):
        raise _malformed(
            result,
            f"{len(result.values)} floats and {len(packed)} packed bytes for {count} values in"
            f" {encoding_name(encoding)}",
        )
    return _frozen(_unpack(result, encoding, count).reshape(shape))


def _unpack(result: pb.HeadResult, encoding: int, count: int) -> FeatureArray:
    packed = result.packed_values
    if encoding == pb.ENCODING_FLOAT16:
        return np.frombuffer(packed, "<f2").astype(np.float16, copy=False)
    if encoding == pb.ENCODING_INT8:
        if not (math.isfinite(result.scale) and result.scale >= 0):
            raise _malformed(result, f"scale {result.scale} of int8 values")
        return np.frombuffer(packed, np.int8) * np.float32(result.scale)
    if encoding == pb.ENCODING_BINARY:
        bits = np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool)
        if bits[count:].any():
            raise _malformed(result, f"bits set after the last of {count} values")
        return bits[:count]
    return np.array(result.values, np.float32)


def _frozen(array: FeatureArray) -> FeatureArray:
    array.flags.writeable = False
    return array


def _malformed(result: pb.HeadResult, what: str) -> PixpoolError:
    return PixpoolError(
        grpc.StatusCode.INTERNAL,
        f"the server sent a malformed result for head {result.head_id}: {what}",
    )
