"""Models that change while the server serves them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading

import grpc
import numpy as np
import pytest

from api import reason
from server_memory import MIB, status_bytes
from tiny_models import PICTURE, TinyModels, put_bundle, wait_for

HEADS = ("global_avg", "gem:p=4")


def look(server) -> dict:
    """Has the server look at its models again, and waits until it has. Its line in the log."""
    before = len(server.lines("models_looked_at"))
    server.signal(signal.SIGHUP)
    return wait_for(lambda: server.lines("models_looked_at")[before:], server.log())[0]


def version_of(client, **fields) -> str:
    return client.extract([PICTURE], HEADS, **fields).model.version


def states(client) -> dict[str, str]:
    models = client.stub.ListModels(client.pb.ListModelsRequest()).models
    name = client.pb.ModelState.Name
    return {m.version: name(m.state).removeprefix("MODEL_STATE_") for m in models}


def test_a_new_version_is_served_after_a_signal(start_server, api, models):
    server = start_server("--model-versions", "latest", models=models.root)
    client = api.client(server.target)
    assert version_of(client) == "1"
    first = client.features(PICTURE, *HEADS)
    models.put(2)
    done = look(server)
    assert (done["ready"], done["refused"]) == (1, 0)
    assert version_of(client) == "2"
    assert not np.allclose(first[0], client.features(PICTURE, *HEADS)[0])
    with pytest.raises(grpc.RpcError) as refused:
        version_of(client, model_version="1")
    assert reason(refused.value) == "MODEL_NOT_FOUND"
    wait_for(lambda: server.lines("model_unloaded"), "the old version is freed")
    assert 'pixpool_model_ready{model="tiny",version="1"}' not in server.get("/metrics")[1]


def test_a_bad_version_leaves_the_old_one_serving_and_says_why(start_server, api, models):
    server = start_server("--model-versions", "latest", models=models.root)
    client = api.client(server.target)
    models.put_bad(2)
    assert look(server)["refused"] == 1
    assert version_of(client) == "1"
    assert server.get("/readyz")[0] == 200
    assert states(client) == {"1": "READY", "2": "FAILED"}
    request = client.pb.GetModelRequest(model_version="2")
    message = client.stub.GetModel(request).model.state_message
    assert "tiny/2: 'backbone.ts' has SHA-256" in message and str(models.root) not in message
    assert "backbone.ts" in server.lines("model_failed")[0]["message"]
    metrics = server.get("/metrics")[1]
    assert 'pixpool_model_ready{model="tiny",version="2"} 0' in metrics
    assert 'pixpool_model_loads_total{outcome="failed"} 1' in metrics
    models.put(2)
    look(server)
    assert version_of(client) == "2"
    assert states(client) == {"2": "READY"}


def test_one_bad_model_and_a_strange_folder_keep_only_themselves(start_server, api, models):
    models.put_bad(2)
    (models.root / "lost+found").mkdir()
    (models.root / "lost+found").chmod(0)
    (models.root / "notes").mkdir()
    server = start_server("--model-versions", "all", models=models.root)
    assert version_of(api.client(server.target)) == "1"
    if os.geteuid() != 0:  # root reads all
        assert server.lines("model_folder_unreadable")[0]["model"] == "lost+found"


def test_strict_models_end_the_start(start_server, models):
    models.put_bad(2)
    server = start_server("--strict-models", models=models.root, wait=False)
    assert server.wait(60) == 1
    assert "model tiny version 2: bundle" in server.log().splitlines()[-1]


def test_aliases_and_the_default_change_without_a_load(start_server, api, models):
    models.put(2)
    models.set(default="stable", aliases={"stable": "1", "next": "2"})
    server = start_server(models=models.root)
    client = api.client(server.target)
    assert version_of(client) == "1"
    assert version_of(client, model_version="next") == "2"
    assert version_of(client, model_version="2") == "2"
    models.set(default="stable", aliases={"stable": "2"})
    look(server)
    assert version_of(client) == version_of(client, model_version="stable") == "2"
    models.set(default="1")
    look(server)
    assert version_of(client) == "1"
    with pytest.raises(grpc.RpcError) as refused:
        version_of(client, model_version="stable")
    assert 'no version "stable"; it has: 1, 2' in refused.value.details()
    assert len(server.lines("model_ready")) == 2
    assert [row["version"] for row in server.lines("model_default")] == ["1", "2", "1"]


def test_without_a_default_model_calls_must_name_one_of_several(start_server, api, models):
    server = start_server(models=models.root)
    client = api.client(server.target)
    assert version_of(client) == "1"
    other = models.root / "other"
    other.mkdir()
    (other / "1").mkdir()
    (other / "1" / "manifest.json").write_text("{}")
    look(server)
    with pytest.raises(grpc.RpcError) as refused:
        version_of(client)
    assert reason(refused.value) == "MODEL_NOT_FOUND"
    assert "several: other, tiny; name one" in refused.value.details()
    assert version_of(client, model="tiny") == "1"


def test_health_of_a_model_follows_it(start_server, api, models):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    server = start_server("--default-model", "tiny", models=models.root)
    stub = health_pb2_grpc.HealthStub(api.client(server.target).channel)

    def serving(name: str) -> bool:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    assert serving("tiny")
    models.model.rename(models.root / ".tiny")
    look(server)
    assert serving("tiny"), "a folder without models changes nothing"
    (models.root / ".tiny").rename(models.model)
    other = models.root / "other" / "1"
    other.mkdir(parents=True)
    (other / "manifest.json").write_text("{}")
    look(server)
    assert not serving("other") and serving("tiny") and serving("")
    models.model.rename(models.root / ".tiny")
    look(server)
    assert not serving("tiny")


def test_a_version_serves_any_size_from_the_files_that_it_was_loaded_from(
    start_server, api, models_dir, server, tmp_path
):
    """OpenVINO compiles networks for new sizes of input from files that may be others, or gone, by
    then, and would map them: one that is cut off under a map ends the process.
    """
    model = tmp_path / "models" / "efficientnet-lite0"
    model.mkdir(parents=True)
    bundle = put_bundle(models_dir / "efficientnet-lite0" / "1", model, 1)
    changing = start_server(models=model.parent)
    client, other = api.client(changing.target), api.client(server.target)

    def same(side: int) -> None:
        options = {"input_height_px": side, "input_width_px": side}
        got, want = (
            c.features(PICTURE, *HEADS, input_options=c.pb.InputOptions(**options))
            for c in (client, other)
        )
        np.testing.assert_array_equal(got[0], want[0])

    same(224)
    files = list(bundle.glob("backbone.*"))
    for path in files:
        path.write_bytes(bytes(path.stat().st_size))
    same(224)
    same(192)
    for path in files:
        os.truncate(path, 10)
    same(224)
    same(208)
    for path in files:
        (bundle / "new").write_bytes(bytes(10))
        os.replace(bundle / "new", path)
    same(160)
    shutil.rmtree(bundle)
    same(256)


def test_a_default_that_is_not_there_is_named_and_is_not_ready(start_server, api, models):
    models.set(default="7")
    server = start_server(models=models.root, wait=False)
    server.wait_live()
    wait_for(lambda: server.lines("no_model"), "it has loaded")
    assert server.get("/readyz")[0] == 503
    client = api.client(server.target)
    assert version_of(client, model_version="1") == "1"
    with pytest.raises(grpc.RpcError) as refused:
        version_of(client)
    assert 'no version "7", which is its default; it has: 1' in refused.value.details()
    models.set(default="1")
    look(server)
    server.wait_ready()


@dataclasses.dataclass
class Tally:
    ok: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    mixed: int = 0
    versions: set[str] = dataclasses.field(default_factory=set)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def add(self, version: str, results, expected: dict[str, list[np.ndarray]]) -> None:
        whole = all(
            np.array_equal(np.asarray(head.values, np.float32), want)
            for result in results
            for head, want in zip(result.features.head_results, expected[version], strict=True)
        )
        with self.lock:
            self.ok += 1
            self.mixed += not whole
            self.versions.add(version)


def unary(client, tally: Tally, expected, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            reply = client.extract([PICTURE] * 2, HEADS, timeout=60)
            tally.add(reply.model.version, reply.results, expected)
        except grpc.RpcError as error:
            with tally.lock:
                tally.failed.append(f"{error.code().name}: {error.details()}")


def stream(client, tally: Tally, expected, stop: threading.Event) -> None:
    pb = client.pb
    free = threading.Semaphore(8)

    def messages():
        config = pb.StreamConfig(heads=[client.head(h) for h in HEADS])
        yield pb.StreamFeaturesRequest(config=config)
        while not stop.is_set():
            if free.acquire(timeout=1):
                yield pb.StreamFeaturesRequest(image=client.image(PICTURE))

    try:
        for reply in client.stub.StreamFeatures(messages()):
            free.release()
            tally.add(reply.model.version, [reply.result], expected)
    except grpc.RpcError as error:
        with tally.lock:
            tally.failed.append(f"{error.code().name}: {error.details()}")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def reload_under_load(server, api, models: TinyModels, reloads: int, calls: int) -> Tally:
    """Two versions that take turns as the latest, under an odd and an even number each, while
    callers call. None may fail, nor be answered by two versions, and nothing may stay behind.
    """
    client = api.client(server.target)
    expected: dict[str, list[np.ndarray]] = {}

    def learn() -> None:
        reply = client.extract([PICTURE], HEADS)
        heads = reply.results[0].features.head_results
        expected[reply.model.version] = [np.asarray(h.values, np.float32) for h in heads]

    tally, stop = Tally(), threading.Event()
    learn()
    # What the next versions answer: two weights, in turn.
    models.put(2)
    server.signal(signal.SIGHUP)
    wait_for(lambda: states(client) == {"2": "READY"}, "it serves")
    learn()
    for version in range(3, reloads + 3):
        expected[str(version)] = expected[str(2 - version % 2)]
    arguments = (tally, expected, stop)
    workers = [
        threading.Thread(target=target, args=(api.client(server.target), *arguments))
        for target in (unary, unary, unary, stream)
    ]
    for worker in workers:
        worker.start()
    pid = server.process.pid
    before = None
    try:
        for turn, version in enumerate(range(3, reloads + 3)):
            due = (turn + 1) * calls // (reloads + 1)
            wait_for(lambda due=due: tally.ok >= due or tally.failed, "calls go on", 600)
            models.put(version, seed=101 + (version + 1) % 2)
            server.signal(signal.SIGHUP)
            switched = {str(version): "READY"}
            wait_for(lambda want=switched: states(client) == want, "it serves")
            models.remove(version - 1)
            wait_for(lambda: "pixpool_models_leaving 0" in server.get("/metrics")[1], "it is freed")
            if turn == reloads // 4:  # what comes once has come
                before = (status_bytes(pid, "VmRSS"), descriptors(pid), threads_of(pid))
        wait_for(lambda: tally.ok >= calls or tally.failed, "calls go on", 600)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not tally.failed, tally.failed[:3]
    assert tally.mixed == 0
    assert len(tally.versions) >= reloads, "each has served"
    resident, files, threads = before
    assert status_bytes(pid, "VmRSS") <= resident + 24 * MIB
    assert descriptors(pid) <= files + 2
    assert threads_of(pid) <= threads + 4
    return tally


def test_reloads_under_load_fail_and_mix_nothing(start_server, api, models):
    server = start_server("--model-versions", "latest", models=models.root)
    reload_under_load(server, api, models, reloads=8, calls=2_000)


@pytest.mark.endurance
def test_fifty_reloads_under_a_hundred_thousand_calls(start_server, api, models):
    server = start_server("--model-versions", "latest", "--log-level", "error", models=models.root)
    tally = reload_under_load(server, api, models, reloads=50, calls=100_000)
    print(f"{tally.ok} calls, {len(tally.versions)} versions")


@pytest.mark.endurance
def test_the_default_model_gives_its_memory_back(start_server, api, models_dir, photos, tmp_path):
    """The engine of the default model keeps more than its weights: networks, caches, threads."""
    root = tmp_path / "models"
    model = root / "efficientnet-lite0"

    bundle = models_dir / "efficientnet-lite0" / "1"
    model.mkdir(parents=True)
    put_bundle(bundle, model, 1)
    server = start_server("--model-versions", "latest", models=root)
    client = api.client(server.target)
    pid = server.process.pid
    expected = client.features(photos["cat.png"], *HEADS)
    resident = []
    for version in range(2, 12):
        put_bundle(bundle, model, version)
        look(server)
        shutil.rmtree(model / str(version - 1))
        for photo in photos.values():
            client.extract([photo], HEADS)
        np.testing.assert_array_equal(client.features(photos["cat.png"], *HEADS)[0], expected[0])
        wait_for(lambda: "pixpool_models_leaving 0" in server.get("/metrics")[1], "it is freed")
        resident.append(status_bytes(pid, "VmRSS"))
    assert resident[-1] <= resident[2] + 24 * MIB, [r // MIB for r in resident]
