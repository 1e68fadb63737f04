"""A bundle made from an ONNX file, on the real server: its features, class scores and activation
maps are PyTorch's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reference import Pipeline

MEAN, STD = 120.0, 60.0
PIPELINE = Pipeline(mean=MEAN, std=STD)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x):
        return torch.relu(x + self.body(x))


class Small(nn.Module):
    """Strides 4 and 8, and a linear layer over the mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(11)
        self.mid = nn.Sequential(
            nn.Conv2d(3, 16, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(16)
        )
        self.top = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), Residual(32))
        self.fc = nn.Linear(32, 7)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.7, 1.4)

    def forward(self, x):
        return self.fc(self.top(self.mid(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def model() -> Small:
    return Small().eval()


@pytest.fixture(scope="module")
def client(model, api, start_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that needs no other package
        torch.onnx.export(model, torch.zeros(1, 3, 224, 224), folder / "small.onnx", dynamo=False)
    command = [
        sys.executable,
        "-m",
        "pixpool.export",
        f"onnx:{folder / 'small.onnx'}",
        "--out",
        folder / "models",
        "--mean",
        str(MEAN),
        "--std",
        str(STD),
        "--interpolation",
        "bicubic",
        "--license",
        "MIT",
    ]
    client_folder = Path(__file__).resolve().parents[2] / "client" / "python"
    environment = {**os.environ, "PYTHONPATH": str(client_folder)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return api.client(start_server(models=folder / "models").target)


@torch.no_grad()
def maps(model: Small, path: Path) -> dict[str, torch.Tensor]:
    mid = model.mid(PIPELINE(path))
    return {"stride4": mid[0], "features": model.top(mid)[0]}


def cosine(a, b) -> float:
    a, b = (np.asarray(v, np.float64).ravel() for v in (a, b))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_server_serves_it_with_openvino(client):
    info = client.stub.GetModel(client.pb.GetModelRequest(model="small"), timeout=10).model
    assert (info.engine, info.precision) == ("openvino", "float32")
    assert [(layer.name, layer.channel_count, layer.stride_px) for layer in info.layers][-2:] == [
        ("stride4", 16, 4),
        ("features", 32, 8),
    ]


def test_features_are_pytorchs(client, model, photos):
    for path in photos.values():
        wanted = maps(model, path)
        got = client.features(path, "feature_map", "feature_map:layer=stride4", "global_avg", "gem")
        assert (
            cosine(got[0], wanted["features"]) > 0.9999
            and cosine(got[1], wanted["stride4"]) > 0.9999
        )
        assert cosine(got[2], wanted["features"].mean((1, 2))) > 0.9999
        assert (
            cosine(got[3], wanted["features"].clamp(min=1e-6).pow(3).mean((1, 2)).pow(1 / 3))
            > 0.9999
        )


@torch.no_grad()
def test_class_scores_and_activation_map_are_pytorchs(client, model, photos):
    for path in photos.values():
        wanted = model(PIPELINE(path))[0]
        result = client.extract([path], ["class_scores:top_k=0", "class_activation_map"]).results[0]
        scores, shown = result.features.head_results
        by_class = {s.class_index: s.score for s in scores.class_scores}
        assert [by_class[i] for i in range(7)] == pytest.approx(
            wanted.softmax(0).tolist(), abs=1e-3
        )
        best = model.fc.weight[int(wanted.argmax())]
        drawn = np.asarray(shown.values, np.float32).reshape(list(shown.shape))
        assert cosine(drawn, torch.einsum("c,chw->hw", best, maps(model, path)["features"])) > 0.999
