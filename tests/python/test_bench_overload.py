"""What bench/overload makes of its figures: the goal at ten times the peak, and met or missed."""

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import overload_goals  # noqa: E402


def a_round(**changes):
    """A round in which every goal is met."""
    good = {"deadline": 5.0, "share": 0.97, "rate": 97.0, "peak": 100.0}
    good |= {"p99": 120.0, "refused_p99": 4.0}
    out = {
        "peak": {"rate": 100.0, "cpu": 0.02},
        "left": 75.0,
        "offered": [good | {"load": load} for load in (0.8, 1.5, 2.0, 10.0)],
        "cores": {"share_down": 0.96, "share_up": 0.99},
        "classes": {"answered": 1.0, "p99": 30.0, "alone_p99": 25.0, "kept": 0.06},
        "fairness": {"answered": 1.0, "p99": 90.0},
        "waste": {"wasted": 0.0, "counted": True},
    }
    for path, value in changes.items():
        part, _, name = path.partition("__")
        if part == "offered":
            out[part] = [p | {name: value} if p["load"] > 1 else p for p in out[part]]
        else:
            out[part] = out[part] | {name: value}
    return out


def verdicts(*rounds):
    return [goal.met() for goal in overload_goals.goals({"rounds": list(rounds)})]


def test_all_goals_are_met():
    assert set(verdicts(a_round(), a_round())) == {True}


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        ("offered__share", 0.94, 0),
        ("offered__rate", 70.0, 1),
        ("offered__p99", 190.0, 2),
        ("offered__p99", 0.0, 2),  # nothing was answered
        ("offered__refused_p99", 11.0, 3),
        ("cores__share_up", 0.94, 4),
        ("classes__answered", 0.99, 5),
        ("classes__p99", 38.0, 6),
        ("classes__kept", 0.04, 7),
        ("fairness__answered", 0.98, 8),
        ("fairness__p99", 181.0, 9),
        ("waste__wasted", 1.0, 10),
    ],
)
def test_each_goal_can_be_missed_and_no_other_is(path, value, number):
    assert [n for n, met in enumerate(verdicts(a_round(**{path: value}))) if not met] == [number]


def test_what_was_not_measured_is_neither():
    """A server without the counter; no refusal at any load. A load without one counts for the
    others.
    """
    got = verdicts(a_round(waste__counted=False, offered__refused_p99=math.nan))
    assert [n for n, met in enumerate(got) if met is None] == [3, 10]
    some = a_round(offered__refused_p99=11.0)
    some["offered"][1]["refused_p99"] = math.nan
    assert verdicts(some)[3] is False


def test_one_round_that_is_off_does_not_decide():
    bad = a_round(cores__share_up=0.1)
    assert verdicts(bad, a_round(), a_round())[4] is True
    assert verdicts(bad, bad, a_round())[4] is False


def test_what_the_cores_have_left():
    """Two cores of which refusing takes half of one: 75 answers of 20 ms; the cheaper refusal
    counts, and none that answers.
    """
    refusing = [
        {"cores": 0.5, "answered": 0.0},
        {"cores": 0.7, "answered": 0.0},
        {"cores": 0.1, "answered": 0.5},
    ]
    one = {"peak": {"cpu": 0.02, "rate": 95.0}, "refusing": refusing}
    assert overload_goals.left(one, 2) == pytest.approx(75)
    assert overload_goals.left(one, 3) == 95.0  # cores that the peak did not need, either
    assert math.isnan(overload_goals.left({**one, "refusing": [{"cores": 2, "answered": 0}]}, 2))


def test_the_table_shows_cases_and_their_range():
    text = overload_goals.table({"rounds": [a_round(), a_round(cores__share_up=0.97)]})
    assert "| to all | at least 95.0 % | 98.0 % (97.0 % to 99.0 %) | met |" in text
    assert "| 1.5 x, 5 s | at least 95.0 % | 97.0 %" in text
    rows = text.splitlines()[2:]
    assert all(row.endswith("| met |") for row in rows)
    assert len(rows) == sum(
        len(goal.values) for goal in overload_goals.goals({"rounds": [a_round()]})
    )


def test_the_table_says_which_case_is_missed():
    text = overload_goals.table({"rounds": [a_round(cores__share_up=0.5)]})
    missed = [row for row in text.splitlines() if "MISSED" in row]
    assert len(missed) == 1 and "| to all |" in missed[0]
