"""The short form of tests/rolling: each of two replicas is restarted once, with the drain that
Kubernetes is told, under calls of both protocols. test_scale_out.py has one caller of the real
model; here there are thousands of calls.
"""

from __future__ import annotations

import pytest

from rolling import Rolling, shipped_delays
from soak import make_models

pytestmark = pytest.mark.endurance

CALLS = 5_000


@pytest.fixture
def rolling(bin_dir, tmp_path):
    rolling = Rolling(bin_dir / "pixpool-server", tmp_path, make_models(tmp_path, None))
    yield rolling
    rolling.stop()


def test_the_delays_are_those_of_the_deployment():
    assert shipped_delays(edge=False).keys() == shipped_delays(edge=True).keys()
    assert all(int(value) > 1000 for value in shipped_delays(edge=False).values())


def test_no_call_fails_while_each_replica_is_restarted(rolling):
    ends = rolling.run(rolling.target(), CALLS, restarts=1)
    assert rolling.restarts >= 2
    assert ends.keys() == {"OK"}, ends
    assert ends["OK"] >= CALLS
