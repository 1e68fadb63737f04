"""How far a job is, how fast, and how long it will take: one line on the error output."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

# The rate is that of the last minute, so that it follows the server's load.
_WINDOW_S = 60.0


class Report:
    """Writes at most every 0.2 s to a terminal, else every 30 s. Not thread-safe.

    total: images of the job; done, failed: those of earlier runs. out: None for silence. clock:
    seconds, such as time.monotonic.
    """

    def __init__(
        self,
        out: TextIO | None,
        total: int,
        done: int = 0,
        failed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._terminal = out is not None and out.isatty()
        self._total = total
        self.done = done
        self.failed = failed
        self._clock = clock
        self._written_at = clock()
        self._marks = deque([(self._written_at, done)])

    def add(self, failed: bool) -> None:
        """Counts one image."""
        self.done += 1
        self.failed += failed
        if self._out is None:
            return
        now = self._clock()
        if now - self._written_at >= (0.2 if self._terminal else 30.0):
            self._written_at = now
            self._marks.append((now, self.done))
            while now - self._marks[0][0] > _WINDOW_S and len(self._marks) > 2:
                self._marks.popleft()
            self._write(self.line())

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._out is not None:
            self._out.write(("\r\033[K" if self._terminal else "") + text + "\n")
            self._out.flush()

    def close(self) -> None:
        """Ends the line that is being overwritten."""
        if self._terminal and self._out is not None:
            self._out.write("\r\033[K")
            self._out.flush()

    def line(self) -> str:
        """ "1,200 of 10,000 images (12.0 %), 310/s, 28 s left, 3 failed"."""
        share = 100 * self.done / max(self._total, 1)
        text = f"{self.done:,} of {self._total:,} images ({share:.1f} %)"
        began, first = self._marks[0]
        seconds, count = self._clock() - began, self.done - first
        if seconds > 0 and count > 0:
            rate = count / seconds
            text += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.2g}/s"
            text += f", {duration((self._total - self.done) / rate)} left"
        return text + (f", {self.failed:,} failed" if self.failed else "")

    def _write(self, line: str) -> None:
        if self._out is not None:
            self._out.write(f"\r{line}\033[K" if self._terminal else f"{line}\n")
            self._out.flush()


def duration(seconds: float) -> str:
    """ "28 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
