"""What bench/overload holds its figures against.

At ten times the peak the goal is what the cores have left. Receiving and refusing that traffic
takes `r` cores, both sides together: measured on a server that refuses all of it (the cheaper of
two ways, see overload_runs.refusing). An answer takes `a` processor seconds of server and client
together: measured at the peak. So on `c` cores (c - r) / a answers a second are possible, though
never more than the peak, and the goal is 95 % of them. Where r >= c, the traffic alone takes the
machine and there is no goal: then `r` is what has to become smaller.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

GOODPUT, SLOWER, REFUSAL_MS = 0.95, 1.5, 10.0
ANSWERED, BULK_KEEPS, QUIET_ANSWERED = 0.994, 0.05, 0.99

Round = dict[str, Any]
Cases = dict[str, list[float]]  # case -> a value a round; "" where there is one case only


@dataclass(frozen=True)
class Goal:
    """A figure of one or more cases, each with its value of every round."""

    what: str
    limit: float
    at_most: bool
    values: Cases
    unit: str  # "%", "x", "ms" or ""

    def met(self) -> bool | None:
        """Whether every case that there was is met; None: there was none."""
        known = [met for met in map(self.case_met, self.values) if met is not None]
        return all(known) if known else None

    def case_met(self, case: str) -> bool | None:
        """Whether the median of a case is on the right side; None: it was not measured."""
        middle = self.middle(self.values[case])
        if math.isnan(middle):
            return None
        return middle <= self.limit if self.at_most else middle >= self.limit

    @staticmethod
    def middle(values: list[float]) -> float:
        known = [v for v in values if not math.isnan(v)]
        return statistics.median(known) if known else math.nan

    def text(self, value: float) -> str:
        if math.isnan(value):
            return "none"
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        return (
            f"{value:.2f} {self.unit}" if self.unit == "x" else f"{value:.4g} {self.unit}".strip()
        )

    def goal(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.text(self.limit)}"

    def figure(self, case: str) -> str:
        """The median of a case, and in brackets its range over the rounds."""
        values = self.values[case]
        text = self.text(self.middle(values))
        if len(values) > 1:
            text += f" ({self.text(min(values))} to {self.text(max(values))})"
        return text


def goals(results: dict[str, Any]) -> list[Goal]:
    rounds = results["rounds"]
    return [*_offered(rounds), *_others(rounds)]


def _offered(rounds: list[Round]) -> Iterator[Goal]:
    def each(loads: tuple[float, ...], value: Callable[[Round, dict[str, Any]], float]) -> Cases:
        cases: Cases = {}
        for one in rounds:
            for point in one["offered"]:
                if point["load"] in loads:
                    case = f"{point['load']:g} x, {point['deadline']:g} s"
                    cases.setdefault(case, []).append(value(one, point))
        return cases

    def slower(one: Round, point: dict[str, Any]) -> float:
        base = (
            p["p99"]
            for p in one["offered"]
            if p["load"] == 0.8 and p["deadline"] == point["deadline"]
        )
        # Nothing answered: as slow as can be.
        return point["p99"] / next(base, math.nan) if point["p99"] else math.inf

    above, all_above = (1.5, 2.0), (1.5, 2.0, 10.0)
    yield Goal(
        "answers in time, of the peak", GOODPUT, False, each(above, lambda _, p: p["share"]), "%"
    )
    yield Goal(
        "answers in time at 10 x, of what the cores have left",
        GOODPUT,
        False,
        each((10.0,), lambda one, p: p["rate"] / p["peak"] * one["peak"]["rate"] / one["left"]),
        "%",
    )
    yield Goal("p99 of answers, of that at 0.8 x", SLOWER, True, each(all_above, slower), "x")
    yield Goal(
        "p99 of refusals", REFUSAL_MS, True, each(all_above, lambda _, p: p["refused_p99"]), "ms"
    )


def left(one: Round, cores: int) -> float:
    """Answers a second that fit beside ten times the peak; NaN where none do."""
    spare = cores - min(p["cores"] for p in one["refusing"] if p["answered"] < 0.001)
    return min(one["peak"]["rate"], spare / one["peak"]["cpu"]) if spare > 0 else math.nan


def _others(rounds: list[Round]) -> Iterator[Goal]:
    def over(part: str, **values: Callable[[dict[str, Any]], float]) -> Cases:
        return {
            name.replace("_", " ").strip(): [value(one[part]) for one in rounds]
            for name, value in values.items()
        }

    yield Goal(
        "answers from 10 s after a change of cores on, of the new peak",
        GOODPUT,
        False,
        over("cores", to_one=lambda p: p["share_down"], to_all=lambda p: p["share_up"]),
        "%",
    )
    yield Goal(
        "interactive calls answered beside bulk at 12 x",
        ANSWERED,
        False,
        over("classes", _=lambda p: p["answered"]),
        "%",
    )
    yield Goal(
        "their p99, of that without bulk",
        SLOWER,
        True,
        over("classes", _=lambda p: p["p99"] / p["alone_p99"] if p["p99"] else math.inf),
        "x",
    )
    yield Goal(
        "bulk answered beside interactive calls at 2 x, of the peak",
        BULK_KEEPS,
        False,
        over("classes", _=lambda p: p["kept"]),
        "%",
    )
    yield Goal(
        "a caller with one call beside one with 1,000: answered",
        QUIET_ANSWERED,
        False,
        over("fairness", _=lambda p: p["answered"]),
        "%",
    )

    def beside(one: Round) -> float:
        base = next(p["p99"] for p in one["offered"] if p["load"] == 0.8 and p["deadline"] == 5)
        return one["fairness"]["p99"] / base if one["fairness"]["p99"] else math.inf

    yield Goal(
        "its p99, of that of all at 0.8 x", SLOWER, True, {"": [beside(one) for one in rounds]}, "x"
    )
    yield Goal(
        "work of calls that had ended, at decode or backbone",
        0,
        True,
        over("waste", _=lambda p: p["wasted"] if p["counted"] else math.nan),
        "",
    )


def table(results: dict[str, Any]) -> str:
    """Markdown, a row a case."""
    verdicts = {True: "met", False: "MISSED", None: "not measured"}
    lines = ["| figure | case | goal | measured |  |", "| -- | -- | -- | -- | -- |"]
    for goal in goals(results):
        for case in goal.values:
            cells = (goal.what, case, goal.goal(), goal.figure(case), verdicts[goal.case_met(case)])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
