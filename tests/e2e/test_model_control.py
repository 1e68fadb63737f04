"""Loading and unloading by calls, with NVIDIA's client as published, and by looks at the folder."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.utils import InferenceServerException

from tiny_models import PICTURE, put_bundle, wait_for
from triton_tensors import pixels


@pytest.fixture
def explicit(start_server, models):
    server = start_server("--model-control", "explicit", models=models.root)
    with triton.InferenceServerClient(server.target) as client:
        yield client


def index(client) -> dict[str, tuple[str, str]]:
    rows = client.get_model_repository_index().models
    return {f"{row.name}/{row.version}": (row.state, row.reason) for row in rows}


def served(client, version: str = "") -> str:
    image = pixels(PICTURE[None])
    return client.infer("tiny", [image], model_version=version).get_response().model_version


def test_a_model_is_loaded_unloaded_and_rolled_back(explicit, models):
    assert index(explicit) == {"tiny/1": ("READY", "")}
    models.put(2)
    assert served(explicit) == "1", "nobody has asked"
    explicit.load_model("tiny")
    assert served(explicit) == "2" and served(explicit, "1") == "1"
    explicit.load_model("tiny", config='{"version_policy": {"specific": {"versions": [1]}}}')
    assert served(explicit) == "1"
    assert index(explicit) == {"tiny/1": ("READY", "")}
    explicit.unload_model("tiny")
    assert index(explicit) == {"tiny/1": ("UNAVAILABLE", "unloaded")}
    assert not explicit.is_model_ready("tiny") and not explicit.is_server_ready()
    with pytest.raises(InferenceServerException) as refused:
        served(explicit)
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    explicit.load_model("tiny")
    assert served(explicit) == "2"
    assert index(explicit) == {"tiny/1": ("READY", ""), "tiny/2": ("READY", "")}


def test_a_bad_version_is_refused_with_its_cause(explicit, models):
    models.put_bad(2)
    with pytest.raises(InferenceServerException) as refused:
        explicit.load_model("tiny")
    assert refused.value.status() == "StatusCode.FAILED_PRECONDITION"
    assert "tiny/2: 'backbone.ts' has SHA-256" in refused.value.message()
    assert str(models.root) not in refused.value.message()
    assert served(explicit) == "1"
    rows = index(explicit)
    assert rows["tiny/1"] == ("READY", "")
    assert rows["tiny/2"][0] == "UNAVAILABLE" and "backbone.ts" in rows["tiny/2"][1]


NONSENSE = [
    ({"model_name": "other"}, "NOT_FOUND", 'no model "other"'),
    ({"model_name": ""}, "INVALID_ARGUMENT", "model_name is empty"),
    ({"model_name": "n" * 300}, "INVALID_ARGUMENT", "has 300 bytes; no model has more"),
    ({"model_name": "tiny", "config": "{}"}, "INVALID_ARGUMENT", "needs a version_policy"),
    ({"model_name": "tiny", "config": '{"backend": "x"}'}, "INVALID_ARGUMENT", "with the bundle"),
    (
        {"model_name": "tiny", "config": '{"name": "other", "version_policy": {"all": {}}}'},
        "INVALID_ARGUMENT",
        "has a name that is not model_name",
    ),
    ({"model_name": "tiny", "files": {"file:1/a": b"x"}}, "INVALID_ARGUMENT", "are not taken"),
]


def test_orders_that_make_no_sense_are_refused(explicit):
    for arguments, status, says in NONSENSE:
        with pytest.raises(InferenceServerException) as refused:
            explicit.load_model(**arguments)
        assert refused.value.status() == f"StatusCode.{status}"
        assert says in refused.value.message()
    assert served(explicit) == "1"


def test_without_a_model_it_lives_on_and_takes_orders(start_server, api, models):
    """What Kubernetes asks: a pod that is restarted would not have what was loaded by orders."""
    server = start_server("--model-control", "explicit", models=models.root)
    health = health_pb2_grpc.HealthStub(api.client(server.target).channel)

    def serving(name: str) -> bool:
        return health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1

    with triton.InferenceServerClient(server.target) as client:
        client.unload_model("tiny")
        wait_for(lambda: server.get("/readyz")[0] == 503, "it is not ready")
        assert server.get("/livez")[0] == 200
        assert serving("/livez") and not serving("") and not serving("tiny")
        client.load_model("tiny")
        wait_for(lambda: server.get("/readyz")[0] == 200, "it is ready")
        assert serving("/livez") and serving("")


def test_a_load_under_way_is_answered_by_the_drain(start_server, models, hanging_models):
    flags = ("--model-control", "explicit", "--drain-timeout-ms", "1000")
    server = start_server(*flags, models=models.root)
    put_bundle(hanging_models / "tiny" / "1", models.model, 2)
    with (
        triton.InferenceServerClient(server.target) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        load = pool.submit(client.load_model, "tiny")
        wait_for(lambda: index(client).get("tiny/2") == ("LOADING", ""), "it is begun")
        assert served(client, "1") == "1"
        server.signal()
        with pytest.raises(InferenceServerException) as refused:
            load.result()
    assert "loads no more models" in refused.value.message()
    assert server.wait(60) == 1
    assert server.lines("stopped")[0]["message"] == "still loads: tiny 2"


def test_pipes_in_place_of_files_hang_nothing(start_server, models):
    pipes = [
        models.model / "2",
        models.model / "3" / "manifest.json",
        models.root / "other",
        models.root / "third" / "versions.json",
        models.root / "third" / "1" / "manifest.json",
    ]
    for pipe in pipes:
        pipe.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(pipe)
    bundle = models.put(4)
    (bundle / "backbone.ts").unlink()
    os.mkfifo(bundle / "backbone.ts")
    server = start_server("--model-control", "explicit", models=models.root)
    with triton.InferenceServerClient(server.target) as client:
        rows = index(client)
        assert rows["tiny/1"] == ("READY", "")
        assert "'manifest.json' is not a regular file" in rows["tiny/3"][1]
        assert "'backbone.ts' is not a regular file" in rows["tiny/4"][1]
        assert "versions.json: is a pipe" in rows["third/1"][1]
        assert served(client, "1") == "1"


def test_statistics_of_an_alias_are_those_of_its_version(explicit, models):
    models.set(aliases={"stable": "1"})
    explicit.load_model("tiny")
    served(explicit, "stable")
    (row,) = explicit.get_inference_statistics("tiny", "stable").model_stats
    assert (row.version, row.inference_count) == ("1", 1)


def test_without_explicit_control_the_calls_are_refused(start_server, models):
    server = start_server(models=models.root)
    with triton.InferenceServerClient(server.target) as client:
        for order in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException) as refused:
                order("tiny")
            assert refused.value.status() == "StatusCode.FAILED_PRECONDITION"
            assert "--model-control none; with --model-control explicit" in refused.value.message()
        assert served(client) == "1"


def test_orders_need_a_token_where_calls_do(start_server, models, tmp_path):
    import hashlib

    tokens = tmp_path / "tokens"
    tokens.write_text(f"ops {hashlib.sha256(b'secret').hexdigest()}\n")
    flags = ("--model-control", "explicit", "--tokens", str(tokens))
    server = start_server(*flags, models=models.root)
    with triton.InferenceServerClient(server.target) as client:
        with pytest.raises(InferenceServerException) as refused:
            client.unload_model("tiny")
        assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        client.unload_model("tiny", headers={"authorization": "Bearer secret"})


def test_polling_takes_new_versions_and_waits_for_the_first(start_server, no_models):
    folder = no_models
    flags = ("--model-control", "poll", "--model-poll-s", "1", "--model-versions", "latest")
    server = start_server(*flags, models=folder.root, wait=False)
    server.wait_live()
    assert server.get("/readyz")[0] == 503
    folder.put(1)
    server.wait_ready()
    with triton.InferenceServerClient(server.target) as client:
        first = client.infer("tiny", [pixels(PICTURE[None])]).as_numpy("global_avg")
        folder.put(2)
        wait_for(lambda: served(client) == "2", "it is seen")
        second = client.infer("tiny", [pixels(PICTURE[None])]).as_numpy("global_avg")
        assert not np.allclose(first, second)
        folder.put(3)
        folder.set(default="2")
        wait_for(lambda: index(client).keys() == {"tiny/2", "tiny/3"}, "both are seen")
        assert served(client) == "2"
