"""What all heads share: the common parameters, and the way from any form of a head to a message."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, TypeAlias

from pixpool._api import pb
from pixpool._head_text import head_kinds, parse_head, set_field

# One value for both axes, or height and width.
Size: TypeAlias = int | Sequence[int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """What every head takes.

    head_id: name of its results, unique within a request; default: the kind's name, for its
        repetitions "gem_2", "gem_3" and so on.
    layer: layer whose map is pooled; default: the model's default layer.
    l2_normalized: whether the result is divided by its L2 norm.
    projection: name of a PCA-whitening of the bundle; dimensions: how many of its leading
        dimensions are kept, default all.
    encoding: how values travel: "float32" (default), "float16", "int8" or "binary".
    """

    KIND: ClassVar[str] = ""

    head_id: str | None = None
    layer: str | None = None
    l2_normalized: bool = False
    projection: str | None = None
    dimensions: int | None = None
    encoding: Literal["float32", "float16", "int8", "binary"] | None = None

    def to_proto(self) -> pb.Head:
        """The head as a message. ValueError naming the field for a value of the wrong type."""
        if not self.KIND:
            raise ValueError(f"a head must be of one of the kinds {', '.join(head_kinds())}")
        head = pb.Head()
        kind = getattr(head, self.KIND)
        kind.SetInParent()
        common = {field.name for field in dataclasses.fields(Head)}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or value is False and field.name == "l2_normalized":
                continue
            several = isinstance(value, Iterable) and not isinstance(value, str)
            try:
                owner = head if field.name in common else kind
                set_field(owner, field.name, value if several else [value])
            except ValueError as error:
                raise ValueError(
                    f"head {self.KIND}: {field.name} must be {error}, not {value!r}"
                ) from None
        return head


HeadLike: TypeAlias = str | Head | pb.Head
HeadsLike: TypeAlias = HeadLike | Iterable[HeadLike] | None


def heads_to_proto(heads: HeadsLike) -> list[pb.Head]:
    """One head or several, in any form, as messages; None: none, which means global_avg.

    ValueError for a text that is no head, TypeError for anything that is neither text nor head.
    """
    if heads is None:
        return []
    if isinstance(heads, (str, Head, pb.Head)):
        heads = [heads]
    return [_to_proto(head) for head in heads]


def _to_proto(head: HeadLike) -> pb.Head:
    if isinstance(head, str):
        return parse_head(head)
    if isinstance(head, Head):
        return head.to_proto()
    if isinstance(head, pb.Head):
        return head
    raise TypeError(
        f'heads must be texts such as "gem:p=3", pixpool.heads objects or Head messages, not'
        f" {type(head).__name__}"
    )
