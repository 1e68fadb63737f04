"""Projections and filters of a bundle: the exporter makes them, the real server serves them, NumPy
and PyTorch judge.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2, status_pb2

from api import as_array, reason
from reference import cosine

# What the projections below are fitted on: (head, layer of the model, dimensions).
FITTED = {
    "avg16": ("global_avg", "features", 16),
    "gem": ("gem:p=2", "features", 8),
    "both": ("cat_avg_max", "stage5", 12),
}
VECTOR_HEADS = [
    "global_avg",
    "global_max",
    "avg_max",
    "cat_avg_max",
    "gem",
    "gem:p=6.5,eps=0.01",
    "lse",
    "lse:r=0.5",
    "lp",
    "lp:p=4",
    "rmac",
    "rmac:levels=5,overlap=0.1",
    "crow",
    "crow:a=1,b=3",
    "spoc",
    "spoc:sigma=2.5",
    "scda",
    "spatial_pyramid",
    "spatial_pyramid:levels=3x1,pooling=avg",
]


def export(api, *arguments: object) -> str:
    # `python -m pixpool.export`, which takes the generated code of the API from where it is here.
    program = (
        "import sys, pixpool;"
        f"pixpool.__path__.insert(0, {str(Path(api.pb.__file__).parents[1])!r});"
        "from pixpool.export.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def crops(photos: dict[str, Path], folder: Path, seed: int, each: int) -> Path:
    """Pictures to fit on: parts of the photographs, some mirrored, as PNG."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name in ("cat.png", "coffee.png", "astronaut.png", "rocket.jpg"):
        whole = Image.open(photos[name]).convert("RGB")
        for at in range(each):
            share = rng.uniform(0.5, 0.9)
            width, height = (int(side * share) for side in whole.size)
            left, top = rng.integers(whole.width - width), rng.integers(whole.height - height)
            part = whole.crop((left, top, left + width, top + height)).resize((320, 240))
            if at % 2:
                part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            part.save(folder / f"{Path(name).stem}_{at}.png")
    return folder


@pytest.fixture(scope="module")
def convolutions() -> dict[str, torch.nn.Conv2d]:
    torch.manual_seed(11)
    deep = torch.nn.Conv2d(1280, 1280, (3, 2), groups=1280, bias=False)
    return {"full": torch.nn.Conv2d(112, 24, 3), "deep": deep}


@pytest.fixture(scope="module")
def bundles(api, tmp_path_factory, photos, convolutions) -> Path:
    """A repository with version 1 of the default model, and version 2 with avg16 fitted on other
    pictures.
    """
    folder = tmp_path_factory.mktemp("fitted")
    torch.save(convolutions["full"].state_dict(), folder / "full.pt")
    np.savez(folder / "deep.npz", weight=convolutions["deep"].weight.detach().numpy())
    pictures = crops(photos, folder / "pictures", 1, 10)
    fits = [
        f"--pca={name}={pictures},head={head},layer={layer},dimensions={kept}"
        for name, (head, layer, kept) in FITTED.items()
    ]
    filters = [
        f"--filter=full={folder / 'full.pt'},layer=stage5,stride=2",
        f"--filter=deep={folder / 'deep.npz'}",
    ]
    export(api, "efficientnet-lite0", "--out", folder / "models", *fits, *filters)
    others = crops(photos, folder / "others", 2, 5)
    base = folder / "models" / "efficientnet-lite0" / "1"
    assert "version 2" in export(api, f"bundle:{base}", f"--pca=avg16={others},dimensions=16")
    return folder / "models"


@pytest.fixture(scope="module")
def client(api, start_server, bundles):
    return api.client(start_server(models=bundles).target)


def bundle(bundles: Path, version: str) -> tuple[Path, dict]:
    folder = bundles / "efficientnet-lite0" / version
    return folder, json.loads((folder / "manifest.json").read_text())


def whitening(bundles: Path, name: str, version: str = "1") -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and matrix [K, D] as the bundle's files hold them, in float64."""
    folder, manifest = bundle(bundles, version)
    entry = next(p for p in manifest["projections"] if p["name"] == name)
    mean = np.fromfile(folder / entry["mean"], "<f4").astype(np.float64)
    return mean, np.fromfile(folder / entry["matrix"], "<f4").astype(np.float64).reshape(
        -1, len(mean)
    )


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-12)


def head(client, text: str, layer: str = "", projection: str = "", dimensions: int | None = None):
    made = client.head(text)
    made.layer = layer
    made.projection = projection
    if dimensions is not None:
        made.dimensions = dimensions
    return made


def ask(client, image, *heads, version: str = "1"):
    request = client.pb.ExtractFeaturesRequest(
        images=[client.image(image)], heads=heads, model_version=version
    )
    result = client.stub.ExtractFeatures(request, timeout=60).results[0]
    assert result.WhichOneof("outcome") == "features", result.status.message
    return result.features.head_results


def refused(client, image, made, version: str = "1") -> tuple[grpc.StatusCode, str, str]:
    """Code, reason and field of the error that a head gives."""
    with pytest.raises(grpc.RpcError) as caught:
        ask(client, image, made, version=version)
    blob = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    fields = []
    for detail in status_pb2.Status.FromString(blob).details:
        violations = error_details_pb2.BadRequest()
        if detail.Unpack(violations):
            fields += [v.field for v in violations.field_violations]
    assert len(fields) == 1, fields
    return caught.value.code(), reason(caught.value), fields[0]


def test_model_lists_projections_and_filters(client, bundles):
    request = client.pb.GetModelRequest(model_version="1")
    model = client.stub.GetModel(request, timeout=10).model
    _, manifest = bundle(bundles, "1")
    listed = {p.name: p for p in model.projections}
    assert list(listed) == list(FITTED) == [p["name"] for p in manifest["projections"]]
    inputs = {"avg16": 1280, "gem": 1280, "both": 224}
    for entry in manifest["projections"]:
        got, (kind, layer, kept) = listed[entry["name"]], FITTED[entry["name"]]
        assert (got.layer, got.head_kind) == (layer, kind.partition(":")[0])
        assert (got.input_dimension_count, got.output_dimension_count) == (inputs[got.name], kept)
        assert got.picture_count == 40
        assert got.explained_variance == pytest.approx(entry["explained_variance"], rel=1e-6)
        assert 0.5 < got.explained_variance < 1
    filters = [
        (
            f.name,
            f.layer,
            list(f.kernel_size),
            list(f.stride),
            f.output_channel_count,
            f.group_count,
        )
        for f in model.filters
    ]
    assert filters == [
        ("full", "stage5", [3, 3], [2, 2], 24, 1),
        ("deep", "features", [3, 2], [3, 2], 1280, 1280),
    ]


@pytest.mark.parametrize("photo", ["cat.png", "rocket.jpg"])
@pytest.mark.parametrize("name", FITTED)
def test_projection_is_l2_whiten_l2(client, bundles, photos, name, photo):
    text, layer, kept = FITTED[name]
    mean, matrix = whitening(bundles, name)
    parts = [kept, kept - 3, 1]
    plain, whole, *shorter = ask(
        client,
        photos[photo],
        head(client, text, layer),
        head(client, text, layer, name),
        *(head(client, text, layer, name, n) for n in parts),
    )
    whitened = matrix @ (unit(as_array(plain).astype(np.float64)) - mean)
    for got, count in zip((whole, *shorter), (kept, *parts), strict=True):
        vector, wanted = as_array(got), unit(whitened[:count])
        assert vector.shape == (count,) and list(got.shape) == [count]
        assert cosine(vector, wanted) >= 0.999999
        np.testing.assert_allclose(vector, wanted, atol=2e-5)
        assert abs(np.linalg.norm(vector) - 1) < 1e-5
        assert list(got.warnings) == []


def test_l2_before_a_projection_is_there_anyhow(client, photos):
    plain, asked = (
        head(client, "global_avg", projection="avg16"),
        head(client, "global_avg:l2", projection="avg16"),
    )
    first, second = ask(client, photos["cat.png"], plain, asked)
    np.testing.assert_array_equal(as_array(first), as_array(second))
    assert first.space_id == second.space_id


def test_server_whitens_the_pictures_of_the_fit(client, bundles):
    """Over the pictures that it was fitted on the server's vectors, un-normalised, have unit
    covariance: head, preprocessing and projection are the exporter's own. Lengths are lost in the
    last L2 step, so they come from the server's plain vectors; directions come from the projected
    ones.
    """
    mean, matrix = whitening(bundles, "avg16")
    rows, cosines = [], []
    for path in sorted((bundles.parent / "pictures").iterdir()):
        plain, projected = ask(
            client, path, head(client, "global_avg"), head(client, "global_avg", projection="avg16")
        )
        length = np.linalg.norm(matrix @ (unit(as_array(plain).astype(np.float64)) - mean))
        rows.append(length * as_array(projected))
        cosines.append(cosine(rows[-1], matrix @ (unit(as_array(plain).astype(np.float64)) - mean)))
    assert min(cosines) >= 0.999999
    np.testing.assert_allclose(np.cov(np.stack(rows).T), np.eye(16), atol=0.01)
    np.testing.assert_allclose(np.mean(rows, axis=0), 0, atol=0.01)


@pytest.mark.parametrize("layer", ["features", "stage5"])
@pytest.mark.parametrize("text", VECTOR_HEADS)
def test_heads_of_the_exporter_are_those_of_the_server(client, photos, text, layer):
    """A fit on one head and a request for another would go unnoticed."""
    from pixpool.export.head_spec import HeadSpec

    request = text.replace("pooling=avg", "pooling=WINDOW_POOLING_AVG")
    for photo in ("cat.png", "coffee.png"):
        feature_map, got = ask(
            client, photos[photo], head(client, "feature_map", layer), head(client, request, layer)
        )
        wanted = HeadSpec.parse(text)(torch.from_numpy(as_array(feature_map))[None])[0].numpy()
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(as_array(got), wanted, rtol=1e-5, atol=1e-6 * scale)


def test_another_head_of_the_same_length_gets_a_warning(client, bundles, photos):
    other = head(client, "global_max", projection="avg16")
    plain, got = ask(client, photos["cat.png"], head(client, "global_max"), other)
    assert len(got.warnings) == 1 and "avg16" in got.warnings[0] and "global_avg" in got.warnings[0]
    mean, matrix = whitening(bundles, "avg16")
    assert (
        cosine(as_array(got), matrix @ (unit(as_array(plain).astype(np.float64)) - mean))
        >= 0.999999
    )


@pytest.mark.parametrize(
    "made",
    [
        ("global_avg", "", "nothing"),
        ("global_avg", "stage5", "avg16"),  # of another layer
        ("cat_avg_max", "", "avg16"),  # twice as long
        ("feature_map", "", "avg16"),
        ("max_pool:kernel_size=2", "", "avg16"),
        ("class_scores", "", "avg16"),
    ],
)
def test_projections_that_do_not_fit(client, photos, made):
    error = refused(client, photos["cat.png"], head(client, *made))
    assert error == (grpc.StatusCode.INVALID_ARGUMENT, "HEAD_INVALID", "heads[0].projection")


@pytest.mark.parametrize(
    ("projection", "dimensions"), [("avg16", 0), ("avg16", 17), ("avg16", -1), ("", 4)]
)
def test_dimensions_that_do_not_fit(client, photos, projection, dimensions):
    error = refused(
        client, photos["cat.png"], head(client, "global_avg", "", projection, dimensions)
    )
    assert error == (grpc.StatusCode.INVALID_ARGUMENT, "HEAD_INVALID", "heads[0].dimensions")


def conv_pool(client, name: str, layer: str = "", **fields):
    made = client.pb.Head(layer=layer)
    made.conv_pool.bundle_filter = name
    for key, value in fields.items():
        if isinstance(value, list):
            getattr(made.conv_pool, key).extend(value)
        else:
            setattr(made.conv_pool, key, value)
    return made


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("name", "layer", "asked"),
    [
        ("full", "stage5", {}),
        ("full", "stage5", {"stride": [3, 1], "kernel_size": [3]}),
        ("deep", "", {}),
        ("deep", "", {"stride": [1], "kernel_size": [3, 2]}),
    ],
)
def test_trained_filter_is_torchs_convolution(
    client, bundles, photos, convolutions, name, layer, asked, relu
):
    conv = convolutions[name]
    _, manifest = bundle(bundles, "1")
    own = next(f["stride"] for f in manifest["filters"] if f["name"] == name)
    stride = (asked.get("stride", own) * 2)[:2]
    made = conv_pool(client, name, layer, relu=relu, **asked)
    feature_map, got = ask(client, photos["coffee.png"], head(client, "feature_map", layer), made)
    x = torch.from_numpy(as_array(feature_map))[None].double()
    with torch.no_grad():
        bias = None if conv.bias is None else conv.bias.double()
        wanted = torch.nn.functional.conv2d(
            x, conv.weight.double(), bias, tuple(stride), groups=conv.groups
        )[0]
    assert (wanted < 0).any()
    wanted = wanted.relu() if relu else wanted
    assert list(got.shape) == list(wanted.shape)
    np.testing.assert_allclose(
        as_array(got), wanted.numpy(), rtol=1e-5, atol=2e-6 * wanted.abs().max().item()
    )


@pytest.mark.parametrize(
    ("name", "layer", "asked", "field"),
    [
        ("nothing", "", {}, "bundle_filter"),
        ("avg16", "", {}, "bundle_filter"),  # a projection's name
        ("full", "", {}, "bundle_filter"),  # of another layer
        ("deep", "stage5", {}, "bundle_filter"),
        ("deep", "", {"kernel_size": [2, 2]}, "kernel_size"),
        ("deep", "", {"stride": [0]}, "stride"),
    ],
)
def test_filters_that_do_not_fit(client, photos, name, layer, asked, field):
    error = refused(client, photos["cat.png"], conv_pool(client, name, layer, **asked))
    assert error == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "HEAD_INVALID",
        f"heads[0].conv_pool.{field}",
    )


def test_space_ids(client, photos):
    asked = {
        "plain": head(client, "global_avg"),
        "avg16": head(client, "global_avg", projection="avg16"),
        "avg16 of max": head(client, "global_max", projection="avg16"),
        "avg16, 8 kept": head(client, "global_avg", projection="avg16", dimensions=8),
        "gem": head(client, "global_avg", projection="gem"),
        "full": conv_pool(client, "full", "stage5"),
        "full, relu": conv_pool(client, "full", "stage5", relu=True),
        "full, stride 1": conv_pool(client, "full", "stage5", stride=[1]),
        "deep": conv_pool(client, "deep"),
        "mean": client.head("conv_pool:kernel_size=3x2,mean_filter=true"),
    }
    same = {
        "avg16": head(client, "global_avg", projection="avg16", dimensions=16),
        "full": conv_pool(client, "full", "stage5", stride=[2], kernel_size=[3, 3]),
    }
    for at, made in enumerate([*asked.values(), *same.values()]):
        made.head_id = f"h{at}"
    results = ask(client, photos["cat.png"], *asked.values(), *same.values())
    ids = dict(zip(asked, (r.space_id for r in results), strict=False))
    assert all(len(i) == 32 for i in ids.values())
    assert len(set(ids.values())) == len(ids)
    for name, result in zip(same, results[len(asked) :], strict=True):
        assert result.space_id == ids[name], name


def test_another_fit_is_another_space_of_the_same_network(client, bundles, photos):
    """Version 2 has the network of version 1, byte for byte, and avg16 fitted on other pictures."""
    made = [head(client, "global_avg"), head(client, "global_avg", projection="avg16")]
    made += [head(client, "gem:p=2", projection="gem"), conv_pool(client, "deep")]
    first, second = (ask(client, photos["cat.png"], *made, version=v) for v in "12")
    for at in (0, 2, 3):
        assert first[at].space_id == second[at].space_id
        np.testing.assert_array_equal(as_array(first[at]), as_array(second[at]))
    assert first[1].space_id != second[1].space_id
    mean, matrix = whitening(bundles, "avg16", "2")
    assert (
        cosine(as_array(second[1]), matrix @ (unit(as_array(second[0]).astype(np.float64)) - mean))
        >= 0.999999
    )
    assert cosine(as_array(first[1]), as_array(second[1])) < 0.99


def test_newest_version_is_the_default(client):
    assert client.stub.GetModel(client.pb.GetModelRequest(), timeout=10).model.version == "2"


# What a bundle may say wrongly; the server must not start with it.
DAMAGE = {
    "projection.avg16.matrix.f32": lambda m: m["projections"][0].update(output_dimensions=15),
    "$.projections[0].layer": lambda m: m["projections"][0].update(layer="nowhere"),
    "$.projections[0].mean": lambda m: m["projections"][0].update(mean="nowhere.f32"),
    "$.projections[3].name": lambda m: m["projections"].append(m["projections"][0]),
    "$.filters[0].weight": lambda m: m["filters"][0].update(weight="nowhere.f32"),
    "$.filters[0].groups": lambda m: m["filters"][0].update(groups=5),
    "$.filters[0].stride": lambda m: m["filters"][0].update(stride=[2]),
    "filter.deep.weight.f32": lambda m: m["filters"][1].update(kernel_size=[3, 3]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_server_refuses_a_bundle_and_names_what_is_wrong(bin_dir, bundles, tmp_path, damage):
    source, manifest = bundle(bundles, "1")
    folder = tmp_path / "models" / "efficientnet-lite0" / "1"
    folder.mkdir(parents=True)
    for path in source.iterdir():
        os.link(path, folder / path.name)
    DAMAGE[damage](manifest)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
    flags = [
        "--models-dir",
        tmp_path / "models",
        "--listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
    ]
    done = subprocess.run(
        [str(bin_dir / "pixpool-server"), *map(str, flags)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.returncode > 0
    assert damage in done.stderr
