"""Whether a layer can be negative, read off OpenVINO's graph; sign.py does it for a traced one."""

from __future__ import annotations

from typing import Any

from pixpool.export.onnx.flow import sources

# Operations that give nothing below zero, whatever they get.
_NON_NEGATIVE = {"Relu", "Sigmoid", "HSigmoid", "HardSigmoid", "Softmax", "SoftPlus", "Exp", "Abs"}
# Operations that keep the sign of their first operand.
_KEEP = {"MaxPool", "AvgPool", "ReduceMean", "ReduceMax", "AdaptiveAvgPool", "AdaptiveMaxPool"} | {
    "Transpose",
    "Convert",
}
# Operations that are non-negative where all their operands are.
_ALL = {"Add", "Multiply", "Concat", "Minimum"}


def non_negative_outputs(model: Any) -> list[bool]:
    """For each output of the model whether its operations rule out negative values. False where
    that cannot be told."""
    known: dict[str, bool] = {}
    for node in model.get_ordered_ops():
        operands = [known[source.get_name()] for source in sources(node)]
        known[node.get_name()] = _non_negative(node, operands)
    return [known[result.get_name()] for result in model.get_results()]


def _non_negative(node: Any, operands: list[bool]) -> bool:
    kind = node.get_type_name()
    if kind == "Constant":
        values = node.data
        return bool(values.dtype.kind == "f" and values.size and (values >= 0).all())
    if kind in _NON_NEGATIVE:
        return True
    if kind == "Clamp":
        return bool(node.get_attributes()["min"] >= 0)
    if kind == "Maximum":
        return any(operands)
    if kind in _ALL:
        return all(operands)
    if kind in _KEEP or kind == "Result":
        return operands[0]
    return False
