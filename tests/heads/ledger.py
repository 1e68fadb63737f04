"""The ledger of the proof: one row per suite, with its cases, those that passed, and the largest
error seen.

A test opens its row, `with ledger("torch OpInfo: max_pool2d") as row:`, and puts its cases there;
on leaving, the cases that failed fail the test. Rows are written as a table to table.txt; what a
suite holds that does not apply to this API goes to not_applicable.txt, with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SHOWN = 8  # failures spelt out by a failing test


def relative_error(
    got: np.ndarray, want: np.ndarray, scale: np.ndarray | float | None = None
) -> float:
    """Largest difference over the largest wanted magnitude, or over `scale`, element by element; 0
    where both are the same infinity or both NaN, infinite where only one is.
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return float("inf")
    if got.size == 0:
        return 0.0
    finite = np.isfinite(want)
    if (
        not np.array_equal(got[~finite], want[~finite], equal_nan=True)
        or not np.isfinite(got[finite]).all()
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    if scale is None:
        scale = np.abs(want[finite]).max()
    elif isinstance(scale, np.ndarray):
        scale = scale[finite]
    difference = np.abs(got[finite] - want[finite])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(difference == 0, 0.0, difference / scale)
    return float(ratio.max())


@dataclass
class Row:
    """Cases of one suite. Not for several threads."""

    name: str
    cases: int = 0
    passed: int = 0
    largest_error: float = 0.0
    note: str = ""
    failures: list[str] = field(default_factory=list)

    def case(self, what: str, ok: bool, detail: object = "", error: float = 0.0) -> bool:
        """One case; `error` counts towards the largest, whether the case passed or not."""
        self.cases += 1
        self.largest_error = max(self.largest_error, error)
        if ok:
            self.passed += 1
        else:
            self.failures.append(f"{what}: {detail}")
        return ok

    def equal(self, what: str, got, want) -> bool:
        """The same values (NaN equals NaN) in the same shape."""
        got, want = np.asarray(got), np.asarray(want)
        same = got.shape == want.shape and np.array_equal(
            got, want, equal_nan=got.dtype.kind == "f"
        )
        return self.case(
            what,
            same,
            Lazy(lambda: difference(got, want)),
            0.0 if same else relative_error(got, want),
        )

    def close(self, what: str, got, want, tolerance: float, scale=None) -> bool:
        """Values within `tolerance`, relative as in relative_error."""
        got, want = np.asarray(got), np.asarray(want)
        error = relative_error(got, want, scale)
        detail = Lazy(
            lambda: f"relative error {error:.3g} > {tolerance:g}; {difference(got, want)}"
        )
        return self.case(what, error <= tolerance, detail, error)

    def __enter__(self) -> Row:
        self._before = len(self.failures)
        return self

    def __exit__(self, kind, error, trace) -> None:
        failures = self.failures[self._before :]
        if kind is None and failures:
            more = f"\n... and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
            raise AssertionError(
                f"{self.name}: {len(failures)} failed:\n" + "\n".join(failures[:SHOWN]) + more
            )
        if kind is not None:
            self.failures.append(f"broke off: {error}")


class Lazy:
    """Text that is made only if it is shown."""

    def __init__(self, make: Callable[[], str]) -> None:
        self.make = make

    def __str__(self) -> str:
        return self.make()


def difference(got: np.ndarray, want: np.ndarray) -> str:
    """Where two arrays differ first."""
    if got.shape != want.shape:
        return f"shape {got.shape}, wanted {want.shape}"
    same = (got == want) | ((got != got) & (want != want))
    wrong = np.argwhere(~same)
    if not len(wrong):
        return "equal"
    at = tuple(wrong[0])
    return (
        f"{len(wrong)} of {got.size} values differ, first at {list(map(int, at))}: "
        f"{got[at]!r}, wanted {want[at]!r}"
    )


class Ledger:
    """All rows, in the order in which they were opened."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.left_out: dict[tuple[str, str], Counter[str]] = {}

    def __call__(self, name: str) -> Row:
        return self.rows.setdefault(name, Row(name))

    def not_applicable(self, suite: str, what: str, reason: str, count: int = 1) -> None:
        """Cases of somebody else's suite that this API cannot express."""
        self.left_out.setdefault((suite, reason), Counter())[what] += count

    def table(self) -> str:
        width = max([len(name) for name in self.rows] + [5])
        lines = [f"{'suite':<{width}} {'cases':>7} {'passed':>7} {'largest error':>14}"]
        for row in self.rows.values():
            error = f"{row.largest_error:.1e}" if row.largest_error else "0"
            passed = str(row.passed) + (
                "" if row.passed == row.cases and not row.failures else " !"
            )
            lines.append(
                f"{row.name:<{width}} {row.cases:>7} {passed:>7} {error:>14}  {row.note}".rstrip()
            )
        cases, passed = (
            sum(getattr(r, k) for r in self.rows.values()) for k in ("cases", "passed")
        )
        lines.append(f"{'total':<{width}} {cases:>7} {passed:>7}")
        for suite in dict.fromkeys(suite for suite, _ in self.left_out):
            count = sum(sum(c.values()) for (s, _), c in self.left_out.items() if s == suite)
            lines.append(f"not applicable: {count} of {suite}, see not_applicable.txt")
        return "\n".join(lines) + "\n"

    def not_applicable_text(self) -> str:
        lines = ["Cases of other projects' suites that this API cannot express, with the reason."]
        for (suite, reason), what in self.left_out.items():
            lines += ["", f"{suite}: {sum(what.values())} cases: {reason}"]
            lines += [f"  {count:>5}  {name}" for name, count in what.items()]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.txt").write_text(self.table(), encoding="utf-8")
        (folder / "not_applicable.txt").write_text(self.not_applicable_text(), encoding="utf-8")
