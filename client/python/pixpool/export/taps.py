"""Takes out of a model's forward what its modules give or take."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

# The path of a module, and whether it is what the module takes, and not what it gives.
Tap = tuple[str, bool]


class _Stop(Exception):
    """Leaves the model's forward once everything is there."""


class Taps:
    """Of the named modules what each call gave or took. Learns first how often each is called."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        self._taps = list(dict.fromkeys(taps))
        self._calls = dict.fromkeys(self._taps, 0)
        self._shapes: dict[Tap, list[tuple[int, ...] | None]] = {}
        self._copy: set[tuple[Tap, int]] = set()  # those that the model overwrites later on

    def learn(self, model: nn.Module, forward: Callable[[], object]) -> object:
        """Runs the forward as a whole; gives what it returned."""
        seen: dict[Tap, list[Any]] = {tap: [] for tap in self._taps}
        versions: dict[Tap, list[int]] = {tap: [] for tap in self._taps}

        def keep(tap: Tap, value: object) -> None:
            seen[tap].append(value)
            versions[tap].append(getattr(value, "_version", 0))

        with self._hooked(model, keep):
            returned = forward()
        self._calls = {tap: len(values) for tap, values in seen.items()}
        self._shapes = {
            tap: [tuple(v.shape) if isinstance(v, Tensor) else None for v in values]
            for tap, values in seen.items()
        }
        self._copy = {
            (tap, call)
            for tap, values in seen.items()
            for call, value in enumerate(values)
            if isinstance(value, Tensor) and value._version != versions[tap][call]
        }
        return returned

    def run(
        self, model: nn.Module, forward: Callable[[], object], stops: bool
    ) -> tuple[dict[Tap, list[Any]], object]:
        """The values of each tap, and what the forward returned; `stops` leaves it once all values
        are there, and it then returns nothing."""
        seen: dict[Tap, list[Any]] = {tap: [] for tap in self._taps}
        missing = sum(self._calls.values())

        def keep(tap: Tap, value: Any) -> None:
            nonlocal missing
            call = len(seen[tap])
            seen[tap].append(value.clone() if (tap, call) in self._copy else value)
            missing -= 1
            if stops and missing == 0:
                raise _Stop

        with self._hooked(model, keep), contextlib.suppress(_Stop):
            return seen, forward()
        return seen, None

    def calls(self, tap: Tap) -> int:
        return self._calls[tap]

    def shape(self, tap: Tap, call: int) -> tuple[int, ...] | None:
        """Of the value of a call (-1: the last); None where it is no tensor."""
        return self._shapes[tap][call]

    @contextlib.contextmanager
    def _hooked(self, model: nn.Module, keep: Callable[[Tap, Any], None]) -> Iterator[None]:
        def take(tap: Tap, given: tuple[Any, ...]) -> None:
            keep(tap, given[0] if given else None)

        with contextlib.ExitStack() as hooks:
            for tap in self._taps:
                module = model.get_submodule(tap[0])
                if tap[1]:
                    hook = module.register_forward_pre_hook(
                        lambda _m, given, tap=tap: take(tap, given)
                    )
                else:
                    hook = module.register_forward_hook(lambda _m, _i, out, tap=tap: keep(tap, out))
                hooks.callback(hook.remove)
            yield


def unknown_module(what: str, name: str, path: str, modules: Mapping[str, nn.Module]) -> str:
    close = difflib.get_close_matches(path, [m for m in modules if m], n=5, cutoff=0.4)
    known = ", ".join(close or [m for m in modules if m and "." not in m])
    return f"{what} '{name}': the model has no module '{path}'; it has {known}"
