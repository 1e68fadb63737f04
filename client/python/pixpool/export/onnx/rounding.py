"""What an ONNX file computes in, and how closely another program can meet its numbers."""

from __future__ import annotations

from typing import Any

from pixpool.export.onnx.flow import Flow
from pixpool.export.verify import Bounds

# A file in float16 rounds after each operation, some 1/2000 of a value each time.
HALF = Bounds(min_cosine=0.999, max_difference=0.05)
# A value that lies between two steps of a quantised tensor may go to either, 1/255 of its range.
INT8 = Bounds(min_cosine=0.995, max_difference=0.1)
LOGITS = 0.03  # of the largest logit, where values are rounded between average and classifier
_RANDOM = ("RandomUniform", "Multinomial")
_NARROW = {"f16": "float16", "bf16": "bfloat16"}


def narrow_node(model: Any) -> tuple[str, str] | None:
    """The first node that gives float16 or bfloat16 made from the picture, and which of the two;
    weights that are stored so and computed with in float32 do not count."""
    for node in Flow(model).nodes:
        for output in node.outputs():
            kind = output.get_element_type().get_type_name()
            if kind in _NARROW:
                return str(node.get_friendly_name()), _NARROW[kind]
    return None


def quantised_node(model: Any) -> str | None:
    """The first node that rounds the picture's values to steps, as the pair of QuantizeLinear and
    DequantizeLinear does; weights alone, which are only stored in int8, do not count."""
    for node in Flow(model).nodes:
        if node.get_type_name() == "FakeQuantize":
            # OpenVINO's own node has no name of the file's; the cast to integers after it has.
            after = [target.get_node() for target in node.output(0).get_target_inputs()]
            return str((after or [node])[0].get_friendly_name())
    return None


def random_node(model: Any) -> str | None:
    """The first node that draws random numbers."""
    for node in model.get_ordered_ops():
        if node.get_type_name() in _RANDOM:
            return str(node.get_friendly_name())
    return None
