"""Progress of many images: a bar by tqdm where it is installed, or a function of the caller's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

# True: a tqdm bar, if tqdm is installed; a function gets (images done, images in all or None).
ProgressLike: TypeAlias = bool | Callable[[int, int | None], None]


class Progress:
    """Counts images; not thread-safe."""

    def __init__(self, show: ProgressLike, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._call = show if callable(show) else None
        self._bar = _bar(total) if show is True else None

    def update(self) -> None:
        self._done += 1
        if self._call is not None:
            self._call(self._done, self._total)
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(total: int | None) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total, unit="image")
