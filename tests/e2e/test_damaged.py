"""Damaged pictures: read with a warning, or refused; and the same answer whatever came before."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import random
import subprocess
from dataclasses import dataclass

import grpc
import numpy as np
import pytest

from agreement import Answer, Ours
from api import as_array, reason
from server_fixtures import run_script

ACCEPT, REFUSE = "DAMAGED_MODE_ACCEPT", "DAMAGED_MODE_REFUSE"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The pictures of the image tests, good and bad, of every format."""
    folder = tmp_path_factory.mktemp("pictures")
    run_script("make_images.py", folder)
    return folder


def outcome(client, api, data: bytes, mode: str | None = None):
    options = api.pb.InputOptions()
    if mode is not None:
        options.damaged = api.pb.DamagedMode.Value(mode)
    return client.extract([data], ["global_avg"], input_options=options).results[0]


def damaged_total(server) -> float:
    lines = server.get("/metrics")[1].splitlines()
    name = 'pixpool_images_damaged_total{format="jpeg",kind="extra_bytes"}'
    (value,) = [line.split()[-1] for line in lines if line.startswith(name)]
    return float(value)


def test_a_damaged_picture_says_so(client, api, server, pictures):
    data = (pictures / "jpeg_junk_between_segments.jpg").read_bytes()
    before = damaged_total(server)
    for mode in (None, ACCEPT):
        features = outcome(client, api, data, mode).features
        (warning,) = features.warnings
        assert "stray bytes" in warning and "24 extraneous bytes" in warning
    assert damaged_total(server) == before + 2
    whole = outcome(
        client, api, (pictures / "jpeg_67x45_420_q75_baseline.jpg").read_bytes(), REFUSE
    )
    assert not whole.features.warnings
    status = outcome(client, api, data, REFUSE).status
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert reason(status) == "IMAGE_UNDECODABLE"
    assert "stray bytes" in status.message and "--damaged" in status.message
    assert "complete" not in status.message
    assert damaged_total(server) == before + 2


def test_damage_does_not_change_the_space(client, api, pictures):
    data = (pictures / "jpeg_67x45_420_q75_baseline.jpg").read_bytes()
    results = [outcome(client, api, data, mode).features.head_results[0] for mode in (None, REFUSE)]
    assert results[0].space_id == results[1].space_id


def test_the_server_can_refuse_by_default(start_server, api, pictures):
    strict = start_server("--damaged", "refuse")
    client = api.client(strict.target)
    data = (pictures / "png_no_iend.png").read_bytes()
    assert reason(outcome(client, api, data).status) == "IMAGE_UNDECODABLE"
    assert outcome(client, api, data, ACCEPT).features.warnings


def test_hidden_colours_are_no_damage(client, api, server, pictures):
    data = (pictures / "png_cutout_hidden.png").read_bytes()
    metrics = [line for line in server.get("/metrics")[1].splitlines() if "images_damaged" in line]
    for mode in (None, ACCEPT, REFUSE):
        (warning,) = outcome(client, api, data, mode).features.warnings
        assert "input_options.background" in warning and "--background" in warning
    now = [line for line in server.get("/metrics")[1].splitlines() if "images_damaged" in line]
    assert now == metrics
    options = api.pb.InputOptions(background=api.pb.RgbColor(red=255, green=255, blue=255))
    on_white = client.extract([data], ["global_avg"], input_options=options).results[0].features
    assert not on_white.warnings
    seen = (pictures / "png_cutout_white_under.png").read_bytes()
    assert not outcome(client, api, seen).features.warnings


def test_passes_over_a_picture_say_it_once(client, api, pictures):
    data = (pictures / "webp_cutout_hidden_lossy.webp").read_bytes()
    options = api.pb.InputOptions(scales=[1, 0.75], flip=True)
    features = client.extract([data], ["global_avg"], input_options=options).results[0].features
    assert len(features.warnings) == 1


def test_the_command_shows_it(bin_dir, server, pictures):
    picture = pictures / "png_no_iend.png"
    command = [bin_dir / "pixpool", "extract", picture, "--target", server.target]
    json_command = [*command, "--format", "json"]
    run = subprocess.run(json_command, capture_output=True, text=True, check=True)
    (warning,) = json.loads(run.stdout)["warnings"]
    assert "end marker is missing" in warning
    run = subprocess.run([*json_command, "--damaged", "refuse"], capture_output=True, text=True)
    assert run.returncode != 0
    assert "end marker is missing" in json.loads(run.stdout)["error"]["message"]


# --- Order independence -----------------------------------------------------------------------


@dataclass
class Case:
    name: str
    data: bytes
    fresh: Answer  # of a process that did nothing else


@pytest.fixture(scope="module")
def cases(pictures, build_dir) -> list[Case]:
    """All pictures, good and bad, of sizes that a network takes as they are."""
    program = build_dir / "tests" / "unit" / "image" / "decode_stream"
    out = []
    for line in (pictures / "index.tsv").read_text().splitlines():
        name, file, why, _, width, height, background, *_ = line.split("\t")
        if background != "-" or why == "LIMIT_EXCEEDED":
            continue
        if why == "-" and not (16 <= int(width) <= 400 and 16 <= int(height) <= 400):
            continue
        ours = Ours(program)
        data = (pictures / file).read_bytes()
        out.append(Case(name, data, ours(data)))
        ours.close()
    assert len(out) > 250
    return out


@pytest.fixture(scope="module")
def pixels_server(start_server, tmp_path_factory):
    """A server whose network gives back the pixels; four threads decode."""
    models = tmp_path_factory.mktemp("pixels")
    run_script("make_pixels_bundle.py", models)
    return start_server("--decode-threads", "4", "--default-model", "pixels-bicubic", models=models)


def check_shuffled(api, server, cases: list[Case], count: int, seed: int) -> None:
    options = api.pb.InputOptions(resize=api.pb.RESIZE_MODE_NONE, crop=api.pb.CROP_MODE_NONE)
    client = api.client(server.target)

    def ask(case: Case):
        return client.extract([case.data], ["feature_map"], input_options=options).results[0]

    def reaches_a_decoder(case: Case) -> bool:
        """A bad picture may also be too small for the network, which is seen first."""
        return case.fresh.read or reason(ask(case).status) != "REQUEST_INVALID"

    def check(case: Case) -> None:
        result = ask(case)
        if not case.fresh.read:
            assert result.WhichOneof("outcome") == "status", case.name
            assert reason(result.status) == case.fresh.reason, case.name
            assert case.fresh.message in result.status.message, case.name
            return
        assert result.WhichOneof("outcome") == "features", (case.name, result.status)
        planes = as_array(result.features.head_results[0]).astype(np.uint8)
        pixels = np.ascontiguousarray(planes.transpose(1, 2, 0)).tobytes()
        assert hashlib.sha256(pixels).hexdigest() == case.fresh.digest, case.name
        damaged = any("damaged" in warning for warning in result.features.warnings)
        assert damaged == bool(case.fresh.damages), case.name

    deck = [case for case in cases if reaches_a_decoder(case)]
    assert len(deck) > 250 and any(not case.fresh.read for case in deck)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for _ in threads.map(check, random.Random(seed).choices(deck, k=count)):
            pass


def test_the_order_of_requests_does_not_matter(api, pixels_server, cases):
    check_shuffled(api, pixels_server, cases, 1500, seed=1)


@pytest.mark.endurance
def test_the_order_of_ten_thousand_requests_does_not_matter(api, pixels_server, cases):
    check_shuffled(api, pixels_server, cases, 10_000, seed=2)
