"""The model as it came, before any change: what the bundle's graph is held to at the end."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from pixpool.export import verify
from pixpool.export.dependence import Dependence, find_dependence
from pixpool.export.probes import Run, pictures
from pixpool.export.sizes import Size
from pixpool.export.trunk import Trunk

_OWN_OUTPUT = verify.Wording(
    thing="value",
    graph="the rest of the model on the graph's maps",
    reference="the model itself",
    fails="The model does not take the graph's maps in place of its own",
    other_shape="The graph's maps are not those that the model goes on with",
    other_values="The graph's maps are not those that the model goes on with",
)


class Unchanged:
    """`trunk` is over the model as it came, which nothing else may change; `own` is the size that
    the model was made for."""

    def __init__(self, trunk: Trunk, own: Size) -> None:
        self._trunk = trunk
        self._size = own
        trunk.prepare(pictures(1, *self._size))

    def dependence(self) -> Dependence:
        return find_dependence(self._trunk, pictures(2, *self._size))

    def checks(self, graph: Run) -> list[verify.Check]:
        """The graph's outputs against the model's, and the model's own output against what the rest
        of the model makes of the graph's maps and tokens."""
        images = pictures(1, *self._size)
        maps = verify.compare(graph, self._trunk, images, self._trunk.output_names())
        maps = dataclasses.replace(maps, images=f"{maps.images} against the unchanged model")
        count = len(self._trunk.own_output(images))
        if count == 0:
            return [maps]

        def go_on(taken: Tensor) -> tuple[Tensor, ...]:
            made = graph(taken)
            return self._trunk.own_output(
                taken, lambda at, _own: self._trunk.module_output(at, made).clone()
            )

        names = [f"output {at}" for at in range(count)]
        own = verify.compare(go_on, self._trunk.own_output, images, names, _OWN_OUTPUT)
        own = dataclasses.replace(own, images=f"{own.images} of the model's own output")
        return [maps, own]
