"""The engine aotinductor: compiled packages serve the vectors of the TorchScript graph, only where
they are asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from torch import nn

from test_engines import cosine

SIZES = (160, 131)  # with the default size: of the package for multiples, and of the one for any


class Net(nn.Module):
    """Small, with what packages are about: strided SAME padding, batch norms, a residual."""

    def __init__(self) -> None:
        super().__init__()
        from pixpool.export.padding import SameConv2d

        torch.manual_seed(11)
        self.stem = nn.Sequential(SameConv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(
            SameConv2d(16, 16, 5, stride=2, groups=16), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.residual = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.top = nn.Sequential(SameConv2d(16, 64, 3, stride=2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depthwise(self.stem(x))
        return self.top(x + self.residual(x))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pixpool.export.bundle import BundleOptions, write_bundle
    from pixpool.export.models import SourceModel

    out = tmp_path_factory.mktemp("compiled")
    write_bundle(
        SourceModel(Net().eval(), "net", "test"), BundleOptions(out=out, aotinductor="cpu")
    )
    return out


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory):
    """A folder of their own for the temporary files of servers."""
    folder = tmp_path_factory.mktemp("temporary")
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before


@pytest.fixture(scope="module")
def servers(start_server, models, temporary):
    flags = "--max-batch-size=4", "--instances=2"
    return [
        start_server(f"--engine={e}", *flags, models=models) for e in ("aotinductor", "torchscript")
    ]


@pytest.fixture(scope="module")
def clients(servers, api):
    return [api.client(s.target) for s in servers]


def engine_of(client) -> str:
    return client.stub.GetModel(client.pb.GetModelRequest(model="net"), timeout=10).model.engine


def test_batches_and_sizes_agree_with_torchscript(clients, photos):
    assert [engine_of(c) for c in clients] == ["aotinductor", "torchscript"]
    pictures = list(photos.values())[:4]
    for side in (0, *SIZES):
        for count in range(1, 5):
            results = []
            for client in clients:
                options = (
                    {
                        "input_options": client.pb.InputOptions(
                            input_height_px=side, input_width_px=side
                        )
                    }
                    if side
                    else {}
                )
                answer = client.extract(
                    pictures[:count], ["global_avg", "gem:layer=features"], **options
                )
                results.append(
                    [np.asarray(h.values) for r in answer.results for h in r.features.head_results]
                )
            assert len(results[0]) == 2 * count
            assert min(map(cosine, *results)) > 0.99999


def test_many_at_once_agree_with_one_alone(clients, photos):
    client = clients[0]
    wanted = {path: client.features(path, "global_avg")[0] for path in photos.values()}
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            jobs = {path: pool.submit(client.features, path, "global_avg") for path in wanted}
            for path, job in jobs.items():
                assert cosine(job.result()[0], wanted[path]) > 0.999999


def test_the_unpacked_package_goes_with_its_server(start_server, models, temporary):
    before = set(temporary.iterdir())
    server = start_server("--engine=aotinductor", models=models)
    unpacked = set(temporary.iterdir()) - before
    assert len(unpacked) == 2 and all(f.name.startswith("pixpool_aotinductor_") for f in unpacked)
    assert server.stop() == 0
    assert not any(folder.exists() for folder in unpacked)


def test_machine_code_does_not_run_unasked(start_server, models, api):
    server = start_server("--device=cpu", models=models)
    assert engine_of(api.client(server.target)) in ("openvino", "torchscript")


def test_a_package_that_does_not_load_ends_the_start(start_server, models, temporary, tmp_path):
    """Its library is damaged although the digests match."""
    before = set(temporary.iterdir())
    folder = tmp_path / "net" / "1"
    shutil.copytree(models / "net" / "1", folder)
    with (
        zipfile.ZipFile(models / "net" / "1" / "backbone.cpu.pt2") as good,
        zipfile.ZipFile(folder / "backbone.cpu.pt2", "w") as bad,
    ):
        for entry in good.infolist():
            bad.writestr(
                entry.filename,
                b"no library" if entry.filename.endswith(".so") else good.read(entry),
            )
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        file["sha256"] = hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    server = start_server("--engine=aotinductor", models=tmp_path, wait=False)
    assert server.wait() != 0
    assert "backbone.cpu.pt2 cannot be loaded" in server.log()
    assert set(temporary.iterdir()) == before


def test_input_below_the_smallest_side_is_refused(start_server, models, api, photos, tmp_path):
    folder = tmp_path / "net" / "1"
    shutil.copytree(models / "net" / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["engines"][-1]["min_side"] = 100
    (folder / "manifest.json").write_text(json.dumps(manifest))
    server = start_server("--engine=aotinductor", models=tmp_path)
    client = api.client(server.target)
    options = client.pb.InputOptions(input_height_px=99, input_width_px=128)
    with pytest.raises(grpc.RpcError) as caught:
        client.extract([photos["coffee.png"]], ["global_avg"], input_options=options)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "input_height_px is 99 pixels; it must be at least 100" in caught.value.details()
    assert client.features(photos["coffee.png"], "global_avg")[0].shape == (64,)
