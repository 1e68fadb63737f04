"""A vector head that `--pca` fits on: read as every head of the package, computed by heads.py."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from torch import Tensor

from pixpool._head_parameter import Parameter
from pixpool._head_table import HEADS
from pixpool._head_text import enum_prefix, parse_head
from pixpool.export.errors import ExportError
from pixpool.export.heads import VECTOR_HEADS

# Heads on what the graph gives beside its maps; head_source reads the vector itself.
_READ = ("class_token", "mean_token", "embedding", "bundle_head")


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """A vector head. `parameters` holds all that have a value, defaults included; `layer` and
    `dimensions` are None where the text does not name them.
    """

    kind: str
    parameters: dict[str, Any]
    layer: str | None = None
    dimensions: int | None = None

    @staticmethod
    def parse(text: str) -> HeadSpec:
        """`kind[:parameter=value,...]`, see pixpool.heads.parse_head; its commas may be colons.

        ExportError for what is no head, gives no vector, or is out of range, and for what only a
        request can ask for. `l2` changes nothing: a fit is on vectors of length 1.
        """
        kind, colon, rest = text.partition(":")
        kind = kind.strip()
        known_kinds = (*VECTOR_HEADS, *_READ)
        if kind not in known_kinds:
            raise ExportError(
                f"head '{kind}' is not known or gives no vector; take one of"
                f" {', '.join(known_kinds)}"
            )
        try:
            head = parse_head(kind + colon + rest.replace(":", ","))
        except ValueError as error:
            raise ExportError(str(error)) from error
        given = {field.name for field, _ in head.ListFields()}
        for name in sorted(given - {kind, "layer", "dimensions", "l2_normalized"}):
            raise ExportError(f'head "{text}": {name} is for requests; a fit has no use for it')
        known = HEADS[kind]
        parameters = _values(getattr(head, kind))
        for name, value in parameters.items():
            if problem := _problem(known[name], value):
                raise ExportError(f'head "{text}": {name} is {_shown(value)}; it must be {problem}')
        defaults = [f"{name}={p.default}" for name, p in known.items() if p.default is not None]
        if defaults:
            by_default = parse_head(f"{kind}:{','.join(defaults)}")
            parameters = _values(getattr(by_default, kind)) | parameters
        return HeadSpec(
            kind,
            {name: parameters[name] for name in known if name in parameters},
            head.layer if "layer" in given else None,
            head.dimensions if "dimensions" in given else None,
        )

    @torch.no_grad()
    def __call__(self, maps: Tensor) -> Tensor:
        """Vectors of feature maps [N, C, H, W]: float32 [N, D], computed in double precision. Heads
        on tokens and vectors take what is already theirs, [N, D]."""
        if self.kind in _READ:
            return maps.float()
        return VECTOR_HEADS[self.kind](maps.double(), **self.parameters).float()


def _values(kind: Message) -> dict[str, Any]:
    """The parameters that a message has, as the manifest holds them."""
    values: dict[str, Any] = {}
    for field, value in kind.ListFields():
        if field.enum_type is not None:
            name = field.enum_type.values_by_number[value].name
            values[field.name] = name.removeprefix(enum_prefix(field.enum_type)).lower()
        elif field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
            # As it travels in a request: float32, in its shortest decimal.
            values[field.name] = float(str(np.float32(value)))
        else:
            values[field.name] = list(value) if field.is_repeated else value
    return values


def _problem(known: Parameter, value: Any) -> str | None:
    """What a value must be where it is not; None where it is."""
    values = value if isinstance(value, list) else [value]
    if known.most is not None and len(values) > known.most:
        return f"at most {known.most} numbers"
    if known.range is not None and not all(known.range.holds(v) for v in values):
        return f"within {known.range}"
    return None


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
