"""ONNX's backend node tests of pooling (files of the onnx package), as calls of this API.

Where ONNX pads as torch does, the head pads. Elsewhere (more than half the kernel, uneven, SAME)
the map is padded here: with -inf for a maximum; for a mean with zeros, and the result is divided by
the mean of a map of ones padded alike, so that padding does not count. ONNX's step is 1 unless
given, and its indices count over N*C*H*W, by columns under storage_order 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

# Cases that mean what torch's 2-D operators mean.
LIKE_TORCH = [
    "maxpool_2d_default",
    "maxpool_2d_pads",
    "maxpool_2d_strides",
    "maxpool_2d_ceil",
    "maxpool_2d_ceil_output_size_reduce_by_one",
    "maxpool_2d_dilations",
    "maxpool_2d_precomputed_pads",
    "maxpool_2d_precomputed_strides",
    "maxpool_2d_uint8",
    "maxpool_with_argmax_2d_precomputed_pads",
    "maxpool_with_argmax_2d_precomputed_strides",
    "averagepool_2d_default",
    "averagepool_2d_pads",
    "averagepool_2d_pads_count_include_pad",
    "averagepool_2d_strides",
    "averagepool_2d_ceil",
    "averagepool_2d_ceil_last_window_starts_on_pad",
    "averagepool_2d_precomputed_pads",
    "averagepool_2d_precomputed_pads_count_include_pad",
    "averagepool_2d_precomputed_strides",
    "globalaveragepool",
    "globalaveragepool_precomputed",
    "globalmaxpool",
    "globalmaxpool_precomputed",
]
# Cases with padding that torch does not have, and max unpooling.
BEYOND_TORCH = [
    "maxpool_2d_same_lower",
    "maxpool_2d_same_upper",
    "maxpool_2d_precomputed_same_upper",
    "averagepool_2d_same_lower",
    "averagepool_2d_same_upper",
    "averagepool_2d_precomputed_same_upper",
    "maxunpool_export_without_output_shape",
]


@dataclass(frozen=True)
class Node:
    """One case: a graph of one node, its inputs and the outputs that it must give."""

    name: str
    op: str
    attributes: dict[str, object]
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]


def nodes_folder() -> Path:
    import onnx

    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"


def pooling_cases() -> list[str]:
    return sorted(
        p.name.removeprefix("test_") for p in nodes_folder().iterdir() if "pool" in p.name
    )


@cache
def node(name: str) -> Node:
    import onnx
    from onnx import numpy_helper

    folder = nodes_folder() / f"test_{name}"
    (only,) = onnx.load(folder / "model.onnx").graph.node
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in only.attribute}
    (data,) = folder.glob("test_data_set_*")

    def arrays(kind: str) -> list[np.ndarray]:
        files = sorted(data.glob(f"{kind}_*.pb"))
        return [numpy_helper.to_array(onnx.TensorProto.FromString(f.read_bytes())) for f in files]

    return Node(name, only.op_type, attributes, arrays("input"), arrays("output"))


def left_out_reason(name: str) -> str:
    """Why a case cannot be expressed."""
    if "_1d" in name or "_3d" in name:
        return "not 2-D: a feature map here is [C, H, W]"
    if name == "averagepool_2d_dilations":
        return "dilated average pooling, which torch.nn.AvgPool2d does not have"
    if name.startswith("lppool"):
        return "windowed Lp pooling: the head lp pools the whole map"
    if name == "maxunpool_export_with_output_shape":
        return (
            "unpools at the size that the window gives and then pads; "
            "torch's output size moves no index"
        )
    return ""


@dataclass(frozen=True)
class Answer:
    values: np.ndarray
    indices: np.ndarray | None = None


def replay(pool, case: Node) -> Answer:
    """What the server makes of a case, in ONNX's terms."""
    maps = case.inputs[0].astype(np.float32)
    if case.op.startswith("Global"):
        head = "global_avg" if "Average" in case.op else "global_max"
        return Answer(pool.one(maps, head).values[..., None, None])
    if case.op == "MaxUnpool":
        return Answer(
            pool.one(
                maps, _head("max_unpool", case), _within_planes(case.inputs[1], maps, case)
            ).values
        )
    before, after = _padding(case, maps)
    kernel = case.attributes["kernel_shape"]
    ours = before == after and all(p <= k // 2 for p, k in zip(before, kernel, strict=True))
    if case.op == "AveragePool":
        return Answer(_average(pool, case, maps, before, after, ours))
    options = {"return_indices": "true", "dilation": case.attributes.get("dilations", [1, 1])}
    if ours:
        got = pool.one(maps, _head("max_pool", case, padding=before, **options))
        return Answer(got.values, _over_everything(got.indices, maps, case))
    assert len(case.outputs) == 1  # indices would count in the padded map
    return Answer(
        pool.one(_padded(maps, before, after, -np.inf), _head("max_pool", case, **options)).values
    )


def _average(pool, case: Node, maps: np.ndarray, before, after, ours: bool) -> np.ndarray:
    count_padding = bool(case.attributes.get("count_include_pad", 0))
    if ours:
        head = _head("avg_pool", case, padding=before, count_include_pad=str(count_padding).lower())
        return pool.one(maps, head).values
    head = _head("avg_pool", case)
    got = pool.one(_padded(maps, before, after, 0), head).values
    if count_padding:
        return got
    return got / pool.one(_padded(np.ones_like(maps), before, after, 0), head).values


def _head(kind: str, case: Node, **options) -> str:
    parts = {
        "kernel_size": case.attributes["kernel_shape"],
        "stride": case.attributes.get("strides", [1, 1]),
        "ceil_mode": "true" if case.attributes.get("ceil_mode") else "false",
        **options,
    }
    text = {k: v if isinstance(v, str) else "x".join(map(str, v)) for k, v in parts.items()}
    return f"{kind}:" + ",".join(f"{k}={v}" for k, v in text.items())


def _padding(case: Node, maps: np.ndarray) -> tuple[list[int], list[int]]:
    """Cells before and after, for height and width."""
    auto = case.attributes.get("auto_pad", b"NOTSET").decode()
    if not auto.startswith("SAME"):
        pads = list(case.attributes.get("pads", [0, 0, 0, 0]))
        return pads[:2], pads[2:]
    before, after = [], []
    strides = case.attributes.get("strides", [1, 1])
    for side, k, s in zip(maps.shape[2:], case.attributes["kernel_shape"], strides, strict=True):
        total = max((-(-side // s) - 1) * s + k - side, 0)
        smaller, larger = total // 2, total - total // 2
        before.append(smaller if auto == "SAME_UPPER" else larger)
        after.append(larger if auto == "SAME_UPPER" else smaller)
    return before, after


def _padded(maps: np.ndarray, before, after, value: float) -> np.ndarray:
    pads = [(0, 0), (0, 0), *zip(before, after, strict=True)]
    return np.pad(maps, pads, constant_values=np.float32(value))


def _over_everything(indices: np.ndarray, maps: np.ndarray, case: Node) -> np.ndarray:
    """Indices within planes as ONNX counts them."""
    n, c, h, w = maps.shape
    if case.attributes.get("storage_order", 0) == 1:
        indices = indices % w * h + indices // w
    return indices + (np.arange(n * c) * h * w).reshape(n, c, 1, 1)


def _within_planes(indices: np.ndarray, maps: np.ndarray, case: Node) -> np.ndarray:
    """ONNX's indices of MaxUnpool as torch counts them."""
    n, c, h, w = maps.shape
    strides = case.attributes.get("strides", [1, 1])
    sides = [
        (side - 1) * s + k
        for side, s, k in zip((h, w), strides, case.attributes["kernel_shape"], strict=True)
    ]
    return indices - (np.arange(n * c) * sides[0] * sides[1]).reshape(n, c, 1, 1)
