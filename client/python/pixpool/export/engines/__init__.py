"""The engines that a bundle can have graphs for: a module here for each, of the engine's name, with
the functions of pixpool.export.engine.EngineModule. Their names are known without PyTorch."""

from __future__ import annotations

import pkgutil

# The graph that an export begins with, and that the others are made beside.
FIRST = "torchscript"
# Made only where an option of the engine's own asks for it.
ON_REQUEST = {"aotinductor"}

# In the order in which a bundle lists them.
NAMES = sorted(
    (module.name for module in pkgutil.iter_modules(__path__)),
    key=lambda name: (name != FIRST, name in ON_REQUEST, name),
)
