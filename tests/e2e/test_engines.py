"""The engines of a bundle serve the same vectors, whatever else is asked for and goes on at the
time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

LAYERS = ("stem", "stage2", "stage4", "stage6", "features")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.fixture(scope="module")
def torchscript(start_server):
    return start_server("--engine=torchscript")


def test_engines_agree_on_every_layer_and_size(server, torchscript, api, photos):
    ours, theirs = api.client(server.target), api.client(torchscript.target)
    engines = [
        c.stub.GetModel(c.pb.GetModelRequest(model="efficientnet-lite0"), timeout=10).model.engine
        for c in (ours, theirs)
    ]
    assert engines == ["openvino", "torchscript"]
    heads = [f"gem:layer={layer}" for layer in LAYERS]
    for side in (0, 97, 320):
        options = (
            {"input_options": ours.pb.InputOptions(input_height_px=side, input_width_px=side)}
            if side
            else {}
        )
        for path in photos.values():
            a, b = ours.features(path, *heads, **options), theirs.features(path, *heads, **options)
            assert min(map(cosine, a, b)) > 0.99999


def test_sets_of_layers_get_networks_of_their_own_without_a_change(client, photos):
    """More sets, and more often, than the server keeps a network for."""
    path = photos["coffee.png"]
    wanted = {layer: client.features(path, f"global_avg:layer={layer}")[0] for layer in LAYERS}
    for first in LAYERS:
        for second in LAYERS:
            for _ in range(9 if first == "stem" else 1):
                got = client.features(
                    path, f"global_avg:layer={first}", f"global_max:layer={second}"
                )
            np.testing.assert_allclose(got[0], wanted[first], rtol=1e-4, atol=1e-5)


def test_sizes_get_networks_of_their_own_without_a_change(client, photos):
    """More sizes, and more often, than the server keeps a network for; and the recipe's own size
    after them.
    """
    path = photos["coffee.png"]
    wanted = client.features(path, "global_avg", "gem:layer=stage4")
    for side in (64, 96, 128, 160, 192, 256):
        options = {
            "input_options": client.pb.InputOptions(input_height_px=side, input_width_px=side)
        }
        first = client.features(path, "global_avg", "gem:layer=stage4", **options)
        for _ in range(9):
            for a, b in zip(
                client.features(path, "global_avg", "gem:layer=stage4", **options),
                first,
                strict=True,
            ):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(client.features(path, "global_avg", "gem:layer=stage4"), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_alone_and_in_company_the_vectors_agree(client, photos):
    """Alone a picture has all cores, in company one: other blocks, the same sums."""
    alone = {name: client.features(path, "global_avg")[0] for name, path in photos.items()}
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            jobs = {
                name: pool.submit(client.features, path, "global_avg")
                for name, path in photos.items()
            }
            for name, job in jobs.items():
                assert cosine(job.result()[0], alone[name]) > 0.999999


def test_precision_that_the_bundle_lacks_ends_the_start(start_server):
    server = start_server("--precision=int8", wait=False)
    assert server.process.wait(30) != 0
    assert "no backbone for engine 'auto' and precision 'int8'" in server.log()
    assert "the bundle holds torchscript float32, openvino float32" in server.log()
