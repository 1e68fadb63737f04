"""Reads a head from text, as the `pixpool` command and the C++ client do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from pixpool._api import pb

_SHORT = {"l2": "l2_normalized", "id": "head_id"}
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
_KINDS = pb.Head.DESCRIPTOR.oneofs_by_name["kind"]
# (text, bounds) of whole numbers.
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
}
_NUMBERS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


def head_kinds() -> list[str]:
    """All kinds of heads, in the order of the API."""
    return [field.name for field in _KINDS.fields]


def parse_head(text: str) -> pb.Head:
    """The head that a text asks for.

        kind[:parameter=value,...]     "gem:p=3,layer=stage5,l2"
        "max_pool:kernel_size=3x3,stride=2,ceil_mode"

    Kinds and parameters are those of the API (feature_service.proto): the fields of the kind's
    message and those of Head itself (head_id, layer, l2_normalized, projection, dimensions,
    encoding), with "id" and "l2" as short forms. A list joins its values by "x". A bool alone means
    true. An enum's value may leave out the enum's name and is not case-sensitive
    ("score_type=logits").

    ValueError with the valid names for anything else. Ranges are the server's to check.
    """
    name, colon, rest = text.partition(":")
    name = name.strip()
    if name not in head_kinds():
        kinds = ", ".join(head_kinds())
        raise ValueError(f'head "{text}": no kind "{name}"; kinds are {kinds}')
    head = pb.Head()
    kind: Message = getattr(head, name)
    kind.SetInParent()
    if colon and not rest.strip():
        raise ValueError(f'head "{text}": nothing follows the colon; leave it out')
    for parameter in rest.split(",") if colon else ():
        try:
            _apply(parameter, head, kind, name)
        except ValueError as error:
            raise ValueError(f'head "{text}": {error}') from None
    return head


def set_field(message: Message, name: str, values: Iterable[object]) -> None:
    """Sets a scalar field to one value, or a list to several; ValueError says what would do."""
    field = message.DESCRIPTOR.fields_by_name[name]
    converted = [_convert(field, value) for value in values]
    if field.is_repeated:
        getattr(message, name).extend(converted)
    else:
        setattr(message, name, converted[0])


def _apply(parameter: str, head: pb.Head, kind: Message, kind_name: str) -> None:
    """Applies "name=value" or "name" to the kind's message or, failing that, to the head."""
    name, equals, value = parameter.partition("=")
    name, value = name.strip(), value.strip()
    name = _SHORT.get(name, name)
    owner = next((m for m in (kind, head) if name in _scalars(m)), None)
    if owner is None:
        own = ", ".join(_scalars(kind)) or "no parameters of its own"
        raise ValueError(
            f'no parameter "{name}"; {kind_name} takes {own}; every head takes'
            f" {', '.join(_scalars(head))} (short: id for head_id, l2 for l2_normalized)"
        )
    field = owner.DESCRIPTOR.fields_by_name[name]
    if (other := _clash(owner, field)) is not None:
        if other == name:
            raise ValueError(f'"{name}" is given twice')
        raise ValueError(f'"{name}" and "{other}" exclude each other')
    if not equals and field.cpp_type != FieldDescriptor.CPPTYPE_BOOL:
        raise ValueError(f'"{name}" needs a value: {name}=...')
    values = value.lower().split("x") if field.is_repeated else [value if equals else "true"]
    try:
        set_field(owner, name, values)
    except ValueError as error:
        several = ", or several joined by x" if field.is_repeated else ""
        raise ValueError(f'"{name}" must be {error}{several}, not "{value}"') from None


def _scalars(message: Message) -> list[str]:
    fields = message.DESCRIPTOR.fields
    return [f.name for f in fields if f.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE]


def _clash(message: Message, field: Any) -> str | None:
    """What in `message` is set already and excludes `field`."""
    present = [f.name for f, _ in message.ListFields()]
    if field.containing_oneof is not None:
        rivals = [f.name for f in field.containing_oneof.fields]
        return next((name for name in rivals if name in present), None)
    return field.name if field.name in present else None


def _convert(field: Any, value: object) -> object:
    """The value as the field takes it, from text or from Python; ValueError says what would do."""
    if field.cpp_type in _INTEGERS:
        low, high = _INTEGERS[field.cpp_type]
        number = _integer(value)
        if number is None or not low <= number <= high:
            raise ValueError("a whole number")
        return number
    if field.cpp_type in _NUMBERS:
        try:
            real = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            real = math.nan
        # What float32 cannot hold would travel as infinity.
        if not math.isfinite(real) or abs(real) > 3.4028235e38:
            raise ValueError("a number")
        return real
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        text = str(value).lower()
        if text not in (*_TRUE, *_FALSE):
            raise ValueError("true or false")
        return text in _TRUE
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _enum_number(field.enum_type, value)
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not hasattr(value, "__index__") and not isinstance(value, str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def enum_prefix(enum: EnumDescriptor) -> str:
    """What all values of an enum begin with: "SCORE_TYPE_" of ScoreType."""
    return str(enum.values[0].name).removesuffix("UNSPECIFIED")


def enum_name(enum: EnumDescriptor, number: int) -> str:
    """ "softmax" of SCORE_TYPE_SOFTMAX; of a number that this client does not know, the number."""
    value = enum.values_by_number.get(number)
    return str(value.name).removeprefix(enum_prefix(enum)).lower() if value else str(number)


def _enum_number(enum: EnumDescriptor, value: object) -> int:
    prefix = enum_prefix(enum)
    if isinstance(value, str):
        for name in (value.upper(), prefix + value.upper()):
            if name in enum.values_by_name:
                return int(enum.values_by_name[name].number)
    elif isinstance(value, int) and value in enum.values_by_number:
        return value
    names = ", ".join(v.name.removeprefix(prefix).lower() for v in enum.values[1:])
    raise ValueError(f"one of {names}")
