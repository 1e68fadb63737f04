"""Heads on tokens and vectors of a small transformer, through gRPC and in every engine, against
timm's own calls in float64.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
import tritonclient.grpc as triton

from api import as_array, reason
from kinds import HEADS
from make_token_bundle import BLOCKS, CHANNELS, CLASSES, HEIGHT, PROJECTIONS, WIDTH, Tokens
from oracles import gem
from server_fixtures import run_script

TOLERANCE = 1e-5
ENGINES = ("torchscript", "openvino", "aotinductor")
PICTURES = 4
# Head on a block -> its vector, of the block's map [C, h, w] and prefix tokens [3, C].
OF_A_BLOCK = {
    "class_token": lambda _, tokens: tokens[0],
    "class_token:register=1": lambda _, tokens: tokens[1],
    "class_token:register=2": lambda _, tokens: tokens[2],
    "mean_map": lambda x, _: x.mean(0),
    "mean_token": lambda x, tokens: np.concatenate([tokens, x.reshape(len(x), -1).T]).mean(0),
    "global_avg": lambda x, _: x.mean((1, 2)),
    "gem": lambda x, _: gem(x),
    "feature_map": lambda x, _: x,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tokens")
    run_script("make_token_bundle.py", out)
    return out


@pytest.fixture(scope="module")
def servers(start_server, models):
    return {name: start_server(f"--engine={name}", models=models) for name in ENGINES}


@pytest.fixture(scope="module", params=ENGINES)
def served(request, api, servers):
    return api.client(servers[request.param].target)


@pytest.fixture(scope="module")
def tokens(api, servers):
    """A client of the engine that is chosen unasked."""
    return api.client(servers["openvino"].target)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(PICTURES)]


class Wanted:
    """What timm says of a picture."""

    def __init__(self) -> None:
        self._net = Tokens().double()

    @torch.inference_mode()
    def __call__(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        vit = self._net.vit
        x = self._net.normalised(torch.from_numpy(picture)[None]).double()
        last, blocks = vit.forward_intermediates(x, return_prefix_tokens=True)
        out = {"embedding": vit.forward_head(vit.forward_features(x), pre_logits=True)}
        out["logits"] = vit(x)
        out["bundle_head:name=attention"] = self._net.attention(last)
        out = {name: value[0].numpy() for name, value in out.items()}
        for name, (patches, prefix) in zip(BLOCKS, blocks, strict=True):
            for head, formula in OF_A_BLOCK.items():
                value = formula(patches[0].numpy(), prefix[0].numpy())
                out[f"{head}{',' if ':' in head else ':'}layer={name}"] = value
        return out


@pytest.fixture(scope="module")
def wanted(pictures) -> list[dict[str, np.ndarray]]:
    of = Wanted()
    return [of(picture) for picture in pictures]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def test_every_head_gives_what_timm_gives(served, ledger, pictures, wanted):
    engine = served.stub.GetModel(served.pb.GetModelRequest(), timeout=10).model.engine
    heads = [head for head in wanted[0] if head != "logits"]
    with ledger(f"transformer on {engine}: heads against timm") as row:
        # Together, and each alone, which may take another network.
        results = served.extract(pictures, heads).results
        for result, want in zip(results, wanted, strict=True):
            for head, got in zip(heads, result.features.head_results, strict=True):
                row.close(head, as_array(got), want[head], TOLERANCE)
        for head in heads:
            (got,) = served.features(pictures[0], head)
            row.close(f"{head} alone", got, wanted[0][head], TOLERANCE)


def test_the_embedding_alone_ten_times_over(served, ledger, pictures, wanted):
    """Sets of outputs that come often get networks of their own."""
    with ledger("transformer: often asked for") as row:
        for head in ("embedding", "bundle_head:name=attention", f"class_token:layer={BLOCKS[0]}"):
            for _ in range(10):
                (got,) = served.features(pictures[1], head)
                row.close(head, got, wanted[1][head], TOLERANCE)


def test_class_scores_stand_on_the_embedding(served, ledger, pictures, wanted):
    heads = ["class_scores:top_k=0,score_type=SCORE_TYPE_LOGITS", "class_scores:top_k=3"]
    with ledger("transformer: class scores") as row:
        for picture, want in zip(pictures, wanted, strict=True):
            result = served.extract([picture], heads).results[0]
            logits, best = result.features.head_results
            row.close("logits", [s.score for s in logits.class_scores], want["logits"], TOLERANCE)
            row.equal("classes", [s.class_index for s in logits.class_scores], range(CLASSES))
            likely = np.exp(want["logits"] - want["logits"].max())
            likely /= likely.sum()
            order = np.argsort(-likely)[:3]
            row.equal("the best", [s.class_index for s in best.class_scores], order)
            row.close("softmax", [s.score for s in best.class_scores], likely[order], TOLERANCE)
            row.equal("no layer", [logits.layer, best.layer], ["", ""])


def test_what_follows_a_head_follows_these(served, models, ledger, pictures, wanted):
    """L2, projections, encodings, and passes that are summed."""
    token = f"class_token:layer={BLOCKS[1]}"
    of_head = {"of_embedding": "embedding", "of_token": token}
    folder = models / "tokens" / "1"
    flip = served.pb.InputOptions(flip=True)
    mirrored = Wanted()(pictures[0][:, ::-1].copy())
    with ledger("transformer: L2, projection, encoding, flip") as row:
        for name, head in of_head.items():
            more = f"{head}{',' if ':' in head else ':'}"
            want = wanted[0][head]
            (got,) = served.features(pictures[0], f"{more}l2")
            row.close(f"{head}, L2", got, unit(want), TOLERANCE)
            (got,) = served.features(pictures[0], f"{more}l2", input_options=flip)
            summed = unit(unit(want) + unit(mirrored[head]))
            row.close(f"{head}, both ways round", got, summed, TOLERANCE)
            result = served.extract(pictures[:1], [f"{more}encoding=ENCODING_BINARY"]).results[0]
            bits = np.frombuffer(result.features.head_results[0].packed_values, np.uint8)
            row.equal(f"{head}, bits", np.unpackbits(bits), want > 0)
            mean = np.fromfile(folder / f"projection.{name}.mean.f32", "<f4").astype(np.float64)
            matrix = np.fromfile(folder / f"projection.{name}.matrix.f32", "<f4").astype(np.float64)
            made = served.head(head)
            made.projection, made.dimensions = name, 5
            request = served.pb.ExtractFeaturesRequest(
                images=[served.image(pictures[0])], heads=[made]
            )
            result = served.stub.ExtractFeatures(request, timeout=60).results[0]
            projected = matrix.reshape(8, CHANNELS)[:5] @ (unit(want) - mean)
            got = as_array(result.features.head_results[0])
            row.close(f"{head}, projected", got, unit(projected), 3 * TOLERANCE)


def test_every_meaning_has_a_space_of_its_own(tokens, ledger, pictures, wanted):
    heads = [head for head in wanted[0] if head != "logits"]
    heads += ["embedding:l2", "class_scores", f"class_token:l2,layer={BLOCKS[0]}"]
    results = tokens.extract(pictures[:1], heads).results[0].features.head_results
    with ledger("transformer: space ids") as row:
        for (a, x), (b, y) in itertools.combinations(zip(heads, results, strict=True), 2):
            row.case(f"{a} | {b}", x.space_id != y.space_id, "the same")
        default = tokens.extract(pictures[:1], ["class_token", "mean_token"]).results[0]
        for got, kind in zip(
            default.features.head_results, ("class_token", "mean_token"), strict=True
        ):
            same = results[heads.index(f"{kind}:layer={BLOCKS[1]}")]
            row.equal(f"{kind} of the default layer", got.space_id, same.space_id)


def refused(call) -> tuple[str, str, str]:
    """Code, reason and message of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, reason(caught.value), caught.value.details()


REFUSED = {
    "class_token:register=3": "heads[0].class_token.register: is 3; the registers of layer 'block1'"
    " are 1 to 2",
    "embedding:layer=block1": "embedding reads a vector that the model gives, and no layer",
    "class_scores:layer=block1": "class_scores reads a vector that the model gives, and no layer",
    "bundle_head:name=netvlad": "the bundle has no vector 'netvlad'; it has embedding, attention",
    "bundle_head": "bundle_head.name is required",
    "class_activation_map": "that of this model stands on the vector 'embedding'",
    "embedding:l2,encoding=ENCODING_INT8,layer=block0": "leave layer empty",
}


@pytest.mark.parametrize("head", REFUSED)
def test_what_a_model_has_not_is_refused_by_its_cause(tokens, pictures, head):
    code, why, message = refused(lambda: tokens.features(pictures[0], head))
    assert (code, why) == ("INVALID_ARGUMENT", "HEAD_INVALID")
    assert REFUSED[head].removeprefix("heads[0].") in message


@pytest.mark.parametrize(
    ("head", "cause"),
    [
        ("class_token", "no layer of the model has one"),
        ("bundle_head:name=attention", "the bundle has no vector 'attention'; it has embedding"),
    ],
)
def test_a_cnn_says_what_it_has_not(client, photos, head, cause):
    code, why, message = refused(lambda: client.features(photos["cat.png"], head))
    assert (code, why) == ("INVALID_ARGUMENT", "HEAD_INVALID")
    assert cause in message


def test_the_embedding_of_a_plain_cnn_is_its_average(client, photos):
    embedding, average = client.features(photos["cat.png"], "embedding", "global_avg")
    np.testing.assert_allclose(embedding, average, rtol=1e-5, atol=1e-6)


def test_mean_token_of_a_map_alone_is_its_average(client, photos):
    token, average = client.features(photos["cat.png"], "mean_token", "global_avg")
    np.testing.assert_array_equal(token, average)


def test_a_tensor_has_no_tokens(pool):
    for kind in (head["name"] for head in HEADS if head["reads"] in ("tokens", "vector")):
        head = f"{kind}:name=attention" if kind == "bundle_head" else kind
        code, why, message = refused(
            lambda head=head: pool(np.ones((1, 3, 2, 2), np.float32), head)
        )
        assert (code, why) == ("INVALID_ARGUMENT", "HEAD_INVALID")
        assert f"{kind} needs a model; a tensor comes without one" in message


def test_the_model_says_what_it_has(tokens, client):
    model = tokens.stub.GetModel(tokens.pb.GetModelRequest(), timeout=10).model
    assert [(x.prefix_token_count, x.has_class_token) for x in model.layers] == [(3, True)] * 2
    assert [(v.name, v.dimension_count) for v in model.vectors] == [
        ("embedding", CHANNELS),
        ("attention", CHANNELS),
    ]
    assert (model.classifier_layer, model.classifier_vector) == ("", "embedding")
    assert {p.name: (p.layer, p.vector) for p in model.projections} == {
        name: (entry.get("layer", ""), entry.get("vector", ""))
        for name, entry in PROJECTIONS.items()
    }
    kinds = {h.name: h.default_value_count for h in model.head_types}
    assert set(kinds) == {h["name"] for h in HEADS} - {"class_activation_map"}
    assert (kinds["class_token"], kinds["embedding"], kinds["bundle_head"]) == (
        CHANNELS,
        CHANNELS,
        0,
    )
    cnn = client.stub.GetModel(client.pb.GetModelRequest(), timeout=10).model
    left = {h["name"] for h in HEADS} - {h.name for h in cnn.head_types}
    assert left == {"class_token", "bundle_head"}


def test_kserve_describes_and_gives_them(servers, pictures, wanted):
    with triton.InferenceServerClient(servers["openvino"].target) as kserve:
        described = {o.name: list(o.shape) for o in kserve.get_model_metadata("tokens").outputs}
        assert described["class_token"] == described["embedding"] == [-1, CHANNELS]
        assert "bundle_head" not in described  # it needs a name
        tensor = triton.InferInput("image", [1, HEIGHT, WIDTH, 3], "UINT8")
        tensor.set_data_from_numpy(pictures[0][None])
        names = ("class_token:register=2", "embedding", "bundle_head:name=attention")
        outputs = [triton.InferRequestedOutput(name) for name in names]
        result = kserve.infer("tokens", [tensor], outputs=outputs)
        for name in names:
            head = f"{name},layer=block1" if name.startswith("class_token") else name
            np.testing.assert_allclose(
                result.as_numpy(name)[0], wanted[0][head], rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("vector", ["embedding", "attention"])
def test_a_vector_that_is_not_the_golden_pictures_is_not_served(bin_dir, models, tmp_path, vector):
    shutil.copytree(models, tmp_path / "models")
    (manifest,) = tmp_path.rglob("manifest.json")
    body = json.loads(manifest.read_text())
    (values,) = [v["values"] for v in body["golden"]["vectors"] if v["name"] == vector]
    path = manifest.parent / values
    # As another network's would be; the maps of the layers are right.
    np.fromfile(path, "<f4")[::-1].tofile(path)
    for entry in body["files"]:
        if entry["path"] == values:
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(body))
    done = subprocess.run(
        [
            bin_dir / "pixpool-server",
            f"--models-dir={tmp_path / 'models'}",
            "--listen=127.0.0.1:0",
            "--http-listen=127.0.0.1:0",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert re.search(rf"the golden picture .* has a cosine of .*'{values}'", done.stderr)
