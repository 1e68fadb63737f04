"""Streams, overload, deadlines and metrics on the real server under real load."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import Counter

import grpc
import numpy as np
import pytest

from api import as_array, reason
from exposition import total


def test_stream_gives_every_image_its_own_features(client, photos):
    names = [n for n in photos] * 4
    alone = {n: client.features(p, "global_avg")[0] for n, p in photos.items()}

    def messages():
        for i, name in enumerate(names):
            yield client.pb.StreamFeaturesRequest(image=client.image(photos[name], f"{i}/{name}"))

    seen = set()
    for reply in client.stub.StreamFeatures(messages(), timeout=120):
        index, name = reply.result.image_id.split("/")
        assert reply.result.index == int(index)
        seen.add(int(index))
        got = as_array(reply.result.features.head_results[0])
        np.testing.assert_allclose(got, alone[name], rtol=2e-4, atol=2e-5)
    assert seen == set(range(len(names)))


def test_models_describe_themselves(client):
    models = client.stub.ListModels(client.pb.ListModelsRequest()).models
    assert [m.name for m in models] == ["efficientnet-lite0"]
    model = client.stub.GetModel(client.pb.GetModelRequest()).model
    assert (model.engine, model.device, model.precision) == ("openvino", "cpu", "float32")
    assert len(model.labels) == 1000 and model.class_count == 1000
    assert [layer.stride_px for layer in model.layers][-1] == 32
    assert model.default_layer == "features"
    got = client.extract([np.zeros((256, 256, 3), np.uint8)]).results[0]
    assert got.features.head_results[0].space_id == model.space_id


def test_space_ids_follow_what_decides_the_vector_space(client, api, photos):
    def space(head: str, **options) -> str:
        reply = client.extract(
            [photos["cat.png"]], [head], input_options=api.pb.InputOptions(**options)
        )
        return reply.results[0].features.head_results[0].space_id

    base = space("gem")
    assert space("gem:p=3") == base  # the default, spelt out
    different = [
        space("gem:p=4"),
        space("gem:eps=0.001"),
        space("gem:l2"),
        space("gem:layer=stage4"),
        space("global_avg"),
        space("gem", input_height_px=256),
        space("gem", resize_size_px=300),
        space("gem", apply_exif=False),
        space("gem", crop=api.pb.CROP_MODE_NONE),
        space("gem", resize=api.pb.RESIZE_MODE_EXACT),
        space("gem", background=api.pb.RgbColor(red=255)),
    ]
    assert len({base, *different}) == 1 + len(different)
    assert space("class_scores:top_k=3") == space("class_scores:top_k=9")


def test_overload_sheds_at_once_and_serves_the_rest(start_server, api, photos):
    server = start_server("--max-in-flight-requests", "4", "--max-stream-in-flight", "4")
    client = api.client(server.target)
    client.extract([photos["cat.png"]])
    futures = [
        client.stub.ExtractFeatures.future(
            client.pb.ExtractFeaturesRequest(images=[client.image(photos["cat.png"])]), timeout=60
        )
        for _ in range(64)
    ]
    outcomes = Counter()
    for future in futures:
        error = future.exception()
        outcomes[reason(error) if error else "ok"] += 1
        if error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            assert "grpc-retry-pushback-ms" in dict(error.trailing_metadata())
    assert set(outcomes) == {"ok", "OVERLOADED"}
    assert outcomes["ok"] >= 4
    end = time.monotonic() + 60
    while not server.lines("overload_over"):
        assert time.monotonic() < end, server.log()
        time.sleep(0.1)
    (begun,) = server.lines("overloaded")
    assert begun["level"] == "warning" and "more pictures come" in begun["message"]


def test_deadline_that_cannot_be_met(client, photos):
    with pytest.raises(grpc.RpcError) as error:
        client.extract([photos["cat.png"]] * 32, timeout=0.002)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_clients_tally_equals_the_servers(start_server, api, photos):
    server = start_server()
    client = api.client(server.target)
    counts, lock = Counter(), threading.Lock()

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(15):
            kind = rng.integers(4)
            try:
                if kind == 0:
                    client.extract([photos["cat.png"], b"junk"])
                elif kind == 1:
                    client.extract([photos["coffee.png"]], ["gem", "feature_map"])
                elif kind == 2:
                    client.extract([photos["coffee.png"]], model="nope")
                else:
                    client.extract([photos["coffee.png"]], ["gem:p=-1"])
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name
            with lock:
                counts[code] += 1
                counts["images ok"] += {0: 1, 1: 1}.get(int(kind), 0)
                counts["images bad"] += {0: 1}.get(int(kind), 0)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    of_model = {"model": "efficientnet-lite0", "version": "1"}
    # A model that is not there has no name in the metrics.
    models = {
        "OK": of_model,
        "NOT_FOUND": {"model": "", "version": ""},
        "INVALID_ARGUMENT": of_model,
    }
    for code, labels in models.items():
        for more in ({}, labels):
            name = "pixpool_requests_total"
            got = total(server, name, code=code, method="ExtractFeatures", **more)
            assert got == counts[code], (code, more)
    for name, want in {"ok": counts["images ok"], "error": counts["images bad"]}.items():
        assert total(server, "pixpool_images_total", outcome=name, **of_model) == want
        assert total(server, "pixpool_images_total", outcome=name) == want
    assert "nope" not in server.get("/metrics")[1]
    # A permit goes back just after its reply was sent, so the last one may still be out.
    end = time.monotonic() + 10
    while total(server, "pixpool_in_flight_requests") > 0 and time.monotonic() < end:
        time.sleep(0.01)
    assert total(server, "pixpool_in_flight_requests") == 0
    assert total(server, "pixpool_in_flight_bytes") == 0
    decoded = total(server, "pixpool_stage_duration_seconds_count", stage="decode", **of_model)
    assert decoded == counts["images ok"]


def test_metrics_pass_promtool(server):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    run = subprocess.run(
        [promtool, "check", "metrics"],
        input=server.get("/metrics")[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 and not run.stderr + run.stdout, run.stderr + run.stdout
