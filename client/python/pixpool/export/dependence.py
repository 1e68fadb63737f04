"""Which parameters the model's own output depends on, and which of them a bundle's layers and
vectors are made with.

A bundle ends with its last output. What the model does after it is left out: a classifier, which
works on the pooled vector, or the better part of a network in which no later module gives a map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pixpool.export.classifier import Classifier
from pixpool.export.errors import ExportError, brief
from pixpool.export.manifest import ParametersEntry
from pixpool.export.options import Progress
from pixpool.export.trunk import LayerRef, Trunk

# The bit of what follows from the pictures. Parameter number i has bit i + 1.
_PICTURES = 1


@dataclasses.dataclass(frozen=True)
class Dependence:
    """Parameters by name with their number of values, in the model's order."""

    held: dict[str, int]  # that the layers and vectors depend on
    left_out: dict[str, int]  # that the model's own output depends on, but none of these
    # Of those left out, the ones that work on positions and not on one vector a picture.
    positional: list[str]
    ends_at: LayerRef

    def refuse_stump(self) -> None:
        """Refuses (ExportError) layers after which the model goes on to work on positions."""
        if not self.positional:
            return
        lost = sum(self.left_out.values())
        whole = lost + sum(self.held.values())
        raise ExportError(
            f"the layers found leave out {_millions(lost)} of the {_millions(whole)} million"
            f" parameters that the model's own output depends on: after the last of them,"
            f" '{self.ends_at}', the model works on with {_modules(self.positional)} before it"
            " pools, so the bundle's vectors would not be the model's. To have a part of the model"
            f" all the same, name its layers: --layers features={self.ends_at}"
        )

    def entry(self, classifier: Classifier | None, progress: Progress) -> ParametersEntry:
        """`parameters` of the manifest of a bundle with this classifier; says what is left out."""
        own = classifier.parameters if classifier else ()
        left = {name: count for name, count in self.left_out.items() if name not in own}
        lost = sum(left.values())
        if left:
            progress(
                f"left out: {_millions(lost)} million parameters after the last output, which the"
                f" model's own output depends on ({_modules(list(left))})"
            )
        return {
            "held": sum([*self.held.values(), *self.left_out.values()]) - lost,
            "left_out": lost,
        }


def find_dependence(trunk: Trunk, images: Tensor) -> Dependence:
    """Runs a prepared trunk and its whole model on two or more pictures and watches the operations.

    Watched are the operations themselves, not autograd: a forward under no_grad, a detached value
    or a quantised weight count as well."""
    parameters = dict(trunk.model.named_parameters())
    watch = _Watch(list(parameters.values()), images.shape[0])
    held = 0

    def start(pictures: Tensor) -> None:
        watch.mark(pictures, _PICTURES)

    try:
        with watch, torch.no_grad():
            for output in trunk(images):
                held |= watch.mask(output)
            outputs = trunk.own_output(images, at_input=start)
    except Exception as error:
        size = " x ".join(str(side) for side in images.shape[:3])
        raise ExportError(
            f"the model does not take a batch of {size} pixels: {brief(error)}"
        ) from error
    wanted = 0
    for output in outputs:
        wanted |= watch.mask(output)
    bits = {name: 2 << at for at, name in enumerate(parameters)}
    sizes = {name: parameter.numel() for name, parameter in parameters.items()}
    left_out = {n: sizes[n] for n, bit in bits.items() if bit & wanted & ~held}
    return Dependence(
        held={n: sizes[n] for n, bit in bits.items() if bit & held},
        left_out=left_out,
        positional=[n for n in left_out if bits[n] & watch.positional],
        ends_at=trunk.layers[-1],
    )


class _Watch(TorchDispatchMode):
    """Follows, operation by operation, what each tensor is made from.

    Kept by memory and not by tensor, so that views and operations in place are followed; weakly,
    so that a pass takes no more memory than usual. Memory that is known weakly is not used again.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], batch: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._masks: dict[int, tuple[StorageWeakRef, int]] = {}
        self._batch = batch
        self.positional = 0  # parameters that were applied to more than one vector a picture
        for at, parameter in enumerate(parameters):
            self.mark(parameter, 2 << at)

    def mark(self, tensor: Tensor, mask: int) -> None:
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._masks[reference.cdata] = reference, mask | self.mask(tensor)

    def mask(self, tensor: Tensor) -> int:
        return self._masks.get(tensor.untyped_storage()._cdata, (None, 0))[1]

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        taken = [(t, self.mask(t)) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        given = func(*args, **kwargs)
        mask = 0
        for _, one in taken:
            mask |= one
        if not mask:
            return given
        learnt = 0
        for _, one in taken:
            learnt |= 0 if one & _PICTURES else one
        if learnt and any(one & _PICTURES and self._has_positions(t) for t, one in taken):
            self.positional |= learnt
        for output in tree_leaves(given):
            if isinstance(output, Tensor):
                self.mark(output, mask)
        return given

    def _has_positions(self, tensor: Tensor) -> bool:
        """Whether it is more than one value or vector a picture. Whether its first dimension is the
        batch tells tokens, which linear layers take as rows [N * tokens, C], from vectors."""
        sides = [side for side in tensor.shape if side != 1]
        return len(sides) > 2 or (len(sides) == 2 and sides[0] != self._batch)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}"


def _modules(names: Sequence[str]) -> str:
    found = list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
