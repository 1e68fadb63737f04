"""deploy/compose/load/load.py with the stubs that the tests have made."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from deploy_files import DEPLOY


def load_script(api) -> ModuleType:
    """The script as a module. `api` has put the stubs on the path."""
    assert api.pb is not None
    spec = importlib.util.spec_from_file_location(
        "compose_load", DEPLOY / "compose" / "load" / "load.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
