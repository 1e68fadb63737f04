"""Models that no call uses: freed, and loaded for the next call (--model-idle-s)."""

from __future__ import annotations

import itertools
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc

from api import reason
from exposition import total
from server_memory import MIB, status_bytes
from tiny_models import PICTURE, TinyModels, put_bundle, wait_for

FLAGS = ("--model-idle-s", "1")
WAITING = "pixpool_calls_waiting_for_models"


def await_idle(server, times: int = 1) -> None:
    wait_for(lambda: len(server.lines("model_unloaded")) >= times, "it is idle")


def loads(server) -> int:
    return len(server.lines("model_ready"))


def test_an_idle_model_is_freed_and_says_so_and_the_next_call_loads_it(start_server, api, models):
    server = start_server(*FLAGS, models=models.root)
    client = api.client(server.target)
    pb = client.pb
    before = client.features(PICTURE, "gem")
    model = client.stub.GetModel(pb.GetModelRequest()).model
    assert not model.idle
    await_idle(server)

    idle = client.stub.GetModel(pb.GetModelRequest()).model
    assert idle.idle and idle.state == pb.MODEL_STATE_READY
    idle.idle = False
    assert idle == model, "all that it is can still be asked"
    assert client.stub.ListModels(pb.ListModelsRequest()).models[0].idle
    assert server.get("/readyz")[0] == 200
    health = health_pb2_grpc.HealthStub(client.channel)
    assert health.Check(health_pb2.HealthCheckRequest(service="tiny")).status == 1
    with triton.InferenceServerClient(server.target) as kserve:
        (row,) = kserve.get_model_repository_index().models
        assert (row.state, row.reason) == ("READY", "idle: the next call loads it")
        assert kserve.is_model_ready("tiny")
        assert kserve.get_model_metadata("tiny").versions == ["1"]
        assert kserve.get_model_config("tiny").config.name == "tiny"
        assert len(kserve.get_inference_statistics("tiny").model_stats) == 1
    assert loads(server) == 1, "to ask about it does not load it"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.features(PICTURE, "gem"), range(8)))
    for answer in answers:
        np.testing.assert_array_equal(answer[0], before[0])
    assert loads(server) == 2, "once for all"
    assert any(line.get("load_wait_seconds", 0) > 0 for line in server.lines("request"))
    labels = {"model": "tiny", "version": "1"}
    assert total(server, "pixpool_model_idle_unloads_total", **labels) == 1
    assert total(server, "pixpool_model_call_loads_total", outcome="ready", **labels) == 1
    assert total(server, "pixpool_model_cold_start_duration_seconds_count", **labels) == 1
    calls = total(server, "pixpool_requests_total", method="ExtractFeatures", **labels)
    assert calls == 9, "its counters go on"


def test_what_cannot_be_loaded_again_tells_its_callers_why(start_server, api, models):
    server = start_server(*FLAGS, models=models.root)
    client = api.client(server.target)
    await_idle(server)
    models.put_bad(1)
    with pytest.raises(grpc.RpcError) as refused:
        client.features(PICTURE, "gem")
    assert reason(refused.value) == "MODEL_LOADING"
    assert "could not be loaded" in refused.value.details()
    assert "'backbone.ts' has SHA-256" in refused.value.details()
    assert server.get("/readyz")[0] == 503 and server.get("/livez")[0] == 200
    models.put(1)
    server.signal(signal.SIGHUP)  # it would come by itself, some seconds later
    server.wait_ready()
    client.features(PICTURE, "gem")


def test_a_load_that_hangs_holds_up_only_those_who_need_it(
    start_server, api, models: TinyModels, hanging_models: Path
):
    few = ("--max-in-flight-requests", "8", "--max-stream-in-flight", "8")
    flags = (*few, "--drain-timeout-ms", "1000")
    models.model.rename(models.root / "other")
    manifest = models.root / "other" / "1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"other"', 1))
    models.model.mkdir()
    models.put(1)
    server = start_server(*FLAGS, *flags, models=models.root)
    client = api.client(server.target)
    await_idle(server, 2)
    put_bundle(hanging_models / "tiny" / "1", models.model, 1)

    def call(model: str, seconds: float = 60) -> str:
        try:
            client.extract([PICTURE], ["gem"], timeout=seconds, model=model)
        except grpc.RpcError as error:
            return reason(error) or error.code().name
        return "OK"

    # Nothing becomes idle while something is loaded, and "other" is there from here on.
    while call("other") != "OK" or server.lines("model_idle")[-1]["model"] == "other":
        pass
    waiting = [call_later(client, "tiny", 60) for _ in range(2)]
    wait_for(lambda: total(server, WAITING) == 2, "they wait")
    assert call("tiny") == "OVERLOADED"
    waiting.pop().cancel()
    wait_for(lambda: total(server, WAITING) == 1, "one has gone")
    assert call("tiny", 0.5) in ("DEADLINE_IN_QUEUE", "DEADLINE_EXCEEDED")
    assert call("other") == "OK"
    server.signal()
    with pytest.raises(grpc.RpcError) as refused:
        waiting.pop().result()
    assert reason(refused.value) == "DRAINING"
    assert server.wait(60) == 1
    assert server.lines("stopped")[0]["message"] == "still loads: tiny 1"


def call_later(client, model: str, seconds: float) -> grpc.Future:
    request = client.pb.ExtractFeaturesRequest(
        images=[client.image(PICTURE)], heads=[client.head("gem")], model=model
    )
    return client.stub.ExtractFeatures.future(request, timeout=seconds)


def test_memory_goes_back_and_the_default_model_comes_again(start_server, api, photos):
    server = start_server(*FLAGS)
    client = api.client(server.target)
    pid = server.process.pid
    expected = client.features(photos["cat.png"], "gem")[0]
    loaded, idle = status_bytes(pid, "VmRSS"), []
    for turn in range(2):
        await_idle(server, turn + 1)
        idle.append(status_bytes(pid, "VmRSS"))
        np.testing.assert_array_equal(client.features(photos["cat.png"], "gem")[0], expected)
    assert idle[0] < loaded - 30 * MIB, [loaded // MIB, *(b // MIB for b in idle)]
    assert idle[1] < idle[0] + 12 * MIB, [loaded // MIB, *(b // MIB for b in idle)]


@pytest.mark.endurance
def test_calls_that_come_as_it_becomes_idle_are_answered(start_server, api, models):
    server = start_server(*FLAGS, models=models.root)
    client = api.client(server.target)
    expected = client.features(PICTURE, "gem")[0]
    pauses = itertools.cycle(1 + step / 100 for step in range(0, 16, 3))
    while len(server.lines("model_idle")) < 20:
        time.sleep(next(pauses))
        np.testing.assert_array_equal(client.features(PICTURE, "gem")[0], expected)
