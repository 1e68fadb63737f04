"""The ledger fails what it should: a proof that cannot fail proves nothing."""

from __future__ import annotations

import numpy as np
import pytest

from ledger import Ledger, relative_error

X = np.array([1.0, -2.0, 4.0])
WRONG = {
    "another value": X * (1 + 3e-5),
    "another sign": -X,
    "a NaN": np.array([1.0, np.nan, 4.0]),
    "an infinity": np.array([1.0, -2.0, np.inf]),
    "a value too few": X[:2],
    "another shape": X[None],
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_values_fail(what):
    ledger = Ledger()
    for compare in (
        lambda row: row.close(what, WRONG[what], X, 1e-5),
        lambda row: row.equal(what, WRONG[what], X),
    ):
        with pytest.raises(AssertionError, match=what):
            with ledger("suite") as row:
                compare(row)
    assert (row.cases, row.passed) == (2, 0)
    assert " 0 !" in ledger.table()


def test_right_values_pass():
    with Ledger()("suite") as row:
        row.close("close", X * (1 + 3e-6), X, 1e-5)
        row.equal("equal", [np.nan, 1.0], np.array([np.nan, 1.0]))
        row.close(
            "the same NaN and infinities", [np.nan, np.inf, -np.inf], [np.nan, np.inf, -np.inf], 0
        )
    assert (row.cases, row.passed) == (3, 3)
    assert 1e-6 < row.largest_error < 1e-5


def test_errors_are_relative_to_the_largest_wanted_value():
    assert relative_error(np.array([0.0, 10.1]), np.array([0.0, 10.0])) == pytest.approx(0.01)
    assert relative_error(np.array([0.1, 10.0]), np.array([0.0, 10.0])) == pytest.approx(0.01)
    assert relative_error(np.array([0.1]), np.array([0.0])) == float("inf")
    assert relative_error(np.array([0.1]), np.array([0.0]), scale=10.0) == pytest.approx(0.01)


def test_a_suite_that_breaks_off_has_not_passed():
    ledger = Ledger()
    with pytest.raises(RuntimeError):
        with ledger("suite") as row:
            row.case("one", True)
            raise RuntimeError("no more")
    assert " 1 !" in ledger.table()


def test_what_is_left_out_is_listed(tmp_path):
    ledger = Ledger()
    ledger.not_applicable("theirs", "pool1d", "not 2-D", 7)
    ledger.write(tmp_path)
    assert "7 of theirs" in (tmp_path / "table.txt").read_text()
    assert "not 2-D\n      7  pool1d" in (tmp_path / "not_applicable.txt").read_text()
