"""Inputs and outputs of the Open Inference Protocol with NVIDIA's client as published."""

from __future__ import annotations

import numpy as np
import tritonclient.grpc as triton


def files(*paths) -> triton.InferInput:
    tensor = triton.InferInput("image", [len(paths), 1], "BYTES")
    data = [p if isinstance(p, bytes) else p.read_bytes() for p in paths]
    tensor.set_data_from_numpy(np.array(data, dtype=np.object_).reshape(-1, 1))
    return tensor


def pixels(array: np.ndarray) -> triton.InferInput:
    return numbers("image", array, "UINT8")


def numbers(name: str, array: np.ndarray, datatype: str) -> triton.InferInput:
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def outputs(*names: str) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name) for name in names]


def output_of(result: triton.InferResult, name: str):
    return next(o for o in result.get_response().outputs if o.name == name)
