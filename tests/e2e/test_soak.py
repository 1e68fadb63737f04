"""The short form of tests/soak: a few thousand mixed calls, and the server counts what the clients
count. Then the check itself: it finds a call that the server has counted once too often.
"""

from __future__ import annotations

import pytest

from soak import REAL, Round, Soak, growth, make_models

pytestmark = pytest.mark.endurance

CALLS, ROUNDS, CLIENTS = 6_000, 3, 2


@pytest.fixture(scope="module")
def soak(bin_dir, models_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak")
    models = make_models(folder, models_dir / REAL)
    soak = Soak(bin_dir / "pixpool-server", folder, models, real=REAL, real_share=0.02)
    soak.server.wait_ready()
    yield soak
    soak.server.stop()


def test_the_server_counts_what_the_clients_count_and_nothing_grows(soak):
    rounds = [soak.round(CALLS // ROUNDS, CLIENTS, seed) for seed in range(ROUNDS)]
    assert [p for r in rounds for p in r.problems] == []
    assert growth(rounds)[1] == []
    # Not a calm day: each kind of end was met, by both protocols, calls and streams.
    assert sum(soak.total.values()) + sum(r.unseen for r in rounds) == CALLS
    for method in ("ExtractFeatures", "ModelInfer", "StreamFeatures", "ModelStreamInfer"):
        assert soak.total[f"{method} OK"] > 50
        assert soak.total[f"{method} CANCELLED"] + soak.total[f"{method} DEADLINE_EXCEEDED"] > 0
    assert soak.total["ExtractFeatures INVALID_ARGUMENT"] > 20


def test_a_call_of_a_stranger_is_found(soak, api):
    """A call that is in no client's tally."""
    soak.options["given_up"] = 0.0
    counted, first = soak.counted, soak.counted()

    def once_less():
        soak.counted = counted
        return first

    api.client(soak.server.target).stub.ListModels(api.pb.ListModelsRequest(), timeout=10)
    soak.counted = once_less  # the round begins with what was counted before the stranger's call
    (problem,) = soak.round(200, 1, 99).problems
    assert problem.startswith("ListModels OK: the server counts ")


def levels(name: str, values: list[float]) -> list[str]:
    """What is found of rounds in which only this changes."""
    level = {"descriptors": 13, "threads": 32, "resident_mb": 200.0}
    return growth([Round(1000, **level | {name: value}) for value in values])[1]


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("resident_mb", [150.0, 200.0, 205.0, 204.0, 206.0, 205.0], 0),  # caches fill at first
        ("resident_mb", [150.0, 200.0, 220.0, 240.0, 260.0, 280.0], 1),
        ("descriptors", [13, 14, 13, 13, 14, 13], 0),
        ("descriptors", [13, 14, 15, 16, 17, 18], 1),
        ("threads", [32, 33, 40, 50, 60, 70], 1),
    ],
)
def test_what_grows_is_found(name, values, found):
    assert len(levels(name, values)) == found
