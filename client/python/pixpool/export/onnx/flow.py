"""The way of the picture's values through a graph, apart from constants and arithmetic on sizes."""

from __future__ import annotations

from typing import Any

# Operations with weights.
WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


def tensors_of(model: Any) -> dict[str, Any]:
    """The outputs of a model's operations by their ONNX names, in the graph's order."""
    return {
        name: output
        for node in model.get_ordered_ops()
        if node.get_type_name() not in ("Constant", "Parameter", "Result")
        for output in node.outputs()
        for name in sorted(output.get_names())
    }


class Flow:
    """The nodes that depend on the picture's values, in order, with input and results."""

    def __init__(self, model: Any) -> None:
        self.nodes: list[Any] = []
        self._place: dict[str, int] = {}
        for node in model.get_ordered_ops():
            if node.get_type_name() == "ShapeOf":
                continue
            if node.get_type_name() == "Parameter" or any(self.has(n) for n in sources(node)):
                self._place[node.get_name()] = len(self.nodes)
                self.nodes.append(node)

    def has(self, node: Any) -> bool:
        return node.get_name() in self._place

    def inputs(self, node: Any) -> list[Any]:
        """The nodes that a node has data from."""
        return [source for source in sources(node) if self.has(source)]

    def after(self, node: Any) -> list[Any]:
        return self.nodes[self._place[node.get_name()] + 1 :]

    def until(self, node: Any) -> list[Any]:
        return self.nodes[: self._place[node.get_name()] + 1]

    def bottlenecks(self) -> list[Any]:
        """The nodes that everything after them gets its data through."""
        reach, found = -1, []  # reach: how far on the data of the nodes so far is used
        for at, node in enumerate(self.nodes):
            if reach <= at and node.get_output_size() == 1:
                found.append(node)
            uses = [
                self._place.get(target.get_node().get_name(), -1)
                for output in node.outputs()
                for target in output.get_target_inputs()
            ]
            reach = max([reach, *uses])
        return found


def sources(node: Any) -> list[Any]:
    return [value.get_source_output().get_node() for value in node.inputs()]


def before_rounding(node: Any, flow: Flow) -> Any:
    """What a pair of QuantizeLinear and DequantizeLinear rounds, of which `node` is the end; else
    the node itself."""
    at = node
    while at.get_type_name() in ("Multiply", "Subtract", "Convert") and len(flow.inputs(at)) == 1:
        (at,) = flow.inputs(at)
    return flow.inputs(at)[0] if at.get_type_name() == "FakeQuantize" else node
