"""The Python client against the real server and model, compared with the answers of plain protobuf
calls.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

# As far apart as one picture's vectors may be in batches of different sizes.
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


@pytest.fixture(scope="session")
def pixpool(api):
    """The package, once the generated code is there."""
    import pixpool

    return pixpool


@pytest.fixture
def own(pixpool, server):
    with pixpool.Client(server.target, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def paths(photos) -> list[Path]:
    return sorted(photos.values())


def test_regions_of_pictures(own, pixpool, paths):
    boxes = np.array([[10, 20, 150, 160], [0, 0, 100.5, 90.25]])
    pictures = [pixpool.Image(path, regions=boxes[: i + 1]) for i, path in enumerate(paths[:2])]
    whole = pixpool.InputOptions(crop="none")
    got = own.extract(pictures, ["gem", "global_max"], input_options=whole)
    assert got.names == [str(path) for path in paths[:2]]
    assert [len(result.regions) for result in got] == [1, 2]
    np.testing.assert_allclose(
        got[0].region_values("gem")[0],
        own.extract(paths[0], "gem", input_options=whole, regions=boxes)[0].region_values()[0],
        **CLOSE,
    )
    assert got[1].regions[1].box == (0, 0, 100.5, 90.25)
    options = pixpool.RegionOptions(pooling="roi_pool", output_size=3, include_image=True)
    one = own.extract(paths[0], "gem", regions=[(0, 0, 99, 99)], region_options=options)
    assert one.array.shape == one[0].region_values().shape
    assert one.space_ids["gem"] != one[0].regions[0]["gem"].space_id
    assert own.model().limits.max_regions_per_image == 64
    with pytest.raises(pixpool.ImageError, match="regions") as caught:
        own.extract(paths[0], regions=[(5, 5, 4, 9)])
    assert caught.value.fields[0].field == "images[0].regions[0].right"


def test_arrays_are_those_of_plain_calls(own, client, paths):
    heads = ["gem:p=4,l2", "global_max:layer=stage4", "adaptive_avg:output_size=2x3"]
    got = own.extract(paths, heads)
    plain = client.extract(paths, heads)
    assert got.names == [str(p) for p in paths] and got.ok.all()
    for i, head in enumerate(("gem", "global_max", "adaptive_avg")):
        results = [r.features.head_results[i] for r in plain.results]
        expected = np.stack([np.reshape(r.values, list(r.shape)) for r in results])
        assert got[head].dtype == np.float32 and got[head].shape == expected.shape
        np.testing.assert_allclose(got[head], expected, **CLOSE)
        assert got.space_ids[head] == results[0].space_id and len(results[0].space_id) == 32
        assert got[0][head].layer == results[0].layer
    assert (got.model.name, got.model.version) == (plain.model.name, plain.model.version)
    assert got.stage_times.backbone > 0
    features = plain.results[0].features
    assert got[0].size == (features.height_px, features.width_px) and got[0].input_size == (
        224,
        224,
    )


def test_every_form_of_an_image_gives_the_same(own, pixpool, paths):
    from PIL import Image

    for path in (p for p in paths if p.suffix == ".png"):
        forms = [
            path,
            str(path),
            path.read_bytes(),
            Image.open(path),
            np.asarray(Image.open(path).convert("RGB")),
        ]
        rows = own.extract([*forms, pixpool.Image(path, "named")], concurrency=1).array
        for row in rows[1:]:
            np.testing.assert_allclose(row, rows[0], **CLOSE)


def test_pil_images_and_files_mean_the_same(own, pixpool, paths, tmp_path):
    """Orientation, alpha and palettes: as the server resolves them in files."""
    from PIL import Image

    picture = Image.open(next(p for p in paths if p.name == "coffee.png")).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    veiled = picture.copy()
    veiled.putalpha(Image.linear_gradient("L").resize(picture.size))
    veiled.save(tmp_path / "alpha.png")
    picture.quantize(64).save(tmp_path / "palette.png")
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    rows = {}
    as_stored, red = (
        pixpool.InputOptions(apply_exif=False),
        pixpool.InputOptions(background=(255, 0, 0)),
    )
    for options in (None, as_stored, red):
        for name in ("turned", "alpha", "palette", "deep"):
            path = tmp_path / f"{name}.png"
            a, b = (
                own.extract(form, input_options=options).array for form in (path, Image.open(path))
            )
            np.testing.assert_allclose(a, b, **CLOSE)
            rows[name, options] = a
    # The options matter, else this compared nothing.
    assert not np.allclose(rows["turned", None], rows["turned", as_stored], **CLOSE)
    assert not np.allclose(rows["alpha", None], rows["alpha", red], **CLOSE)


def test_classify_and_heatmap(own, pixpool, client, photos):
    from PIL import Image

    pictures = [photos["coffee.png"], photos["rocket.jpg"]]
    scores = own.classify(pictures, top_k=3)
    assert [s[0].label for s in scores] == ["espresso", "missile"] and [len(s) for s in scores] == [
        3,
        3,
    ]
    plain = client.extract(pictures, ["class_scores:top_k=3"])
    for got, result in zip(scores, plain.results, strict=True):
        for a, b in zip(got, result.features.head_results[0].class_scores, strict=True):
            assert (a.class_index, a.label) == (
                b.class_index,
                b.label,
            ) and a.score == pytest.approx(b.score, rel=1e-3)
    assert sum(s.score for s in own.classify(pictures[0], 0)[0]) == pytest.approx(1, abs=1e-4)

    for form in ("png_overlay", "png"):
        for picture, found in zip(pictures, own.heatmap(pictures, format=form), strict=True):
            size = Image.open(picture).size
            assert found.image().size == size and found.class_score.label in ("espresso", "missile")
            assert 0 <= found.box.left < found.box.right <= size[0] and found.values.shape == (0,)
    floats = own.heatmap(pictures[0], 504, format="floats")[0]
    assert floats.class_score.class_index == 504 and not floats.png
    expected = client.features(pictures[0], "class_activation_map:class_index=504")[0]
    np.testing.assert_allclose(floats.values, expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="came in floats"):
        floats.image()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_of_many(own, paths, ordered):
    count = 60
    alone = own.extract(paths).array
    seen = []
    for result in own.stream(
        (paths[i % len(paths)] for i in range(count)), ordered=ordered, concurrency=8
    ):
        np.testing.assert_allclose(result.values, alone[result.index % len(paths)], **CLOSE)
        seen.append(result.index)
    assert sorted(seen) == list(range(count))
    assert not ordered or seen == sorted(seen)


def test_bad_images_fail_alone(own, pixpool, paths):
    jpeg = next(p for p in paths if p.suffix == ".jpg").read_bytes()
    images = [
        paths[0],
        jpeg[: len(jpeg) // 2],
        b"8BPS" + bytes(40),
        "nowhere.png",
        b"\0" * (61 << 20),
        paths[1],
    ]
    got = own.extract(images, on_error="return")
    assert got.ok.tolist() == [True, False, False, False, False, True]
    reasons = [(e.image, e.code.name, e.reason) for e in got.errors]
    assert reasons == [
        ("image 1", "INVALID_ARGUMENT", "IMAGE_UNDECODABLE"),
        ("image 2", "INVALID_ARGUMENT", "IMAGE_UNSUPPORTED_FORMAT"),
        ("nowhere.png", "NOT_FOUND", ""),
        ("image 4", "INVALID_ARGUMENT", "LIMIT_EXCEEDED"),
    ]
    assert "--max-image-bytes" in str(got.errors[3])
    np.testing.assert_allclose(got.array[[0, 5]], own.extract(paths[:2]).array, **CLOSE)
    assert np.isnan(got.array[1:5]).all()
    with pytest.raises(
        pixpool.ImageError, match=r"image 1: INVALID_ARGUMENT \(IMAGE_UNDECODABLE\)"
    ) as caught:
        own.extract(images)
    assert caught.value.fields


@pytest.mark.parametrize(
    ("arguments", "code", "reason", "field"),
    [
        ({"heads": "gem:p=-1"}, "INVALID_ARGUMENT", "HEAD_INVALID", "heads[0].gem.p"),
        ({"heads": "gem:layer=nope"}, "NOT_FOUND", "LAYER_NOT_FOUND", "heads[0].layer"),
        ({"model": "nope"}, "NOT_FOUND", "MODEL_NOT_FOUND", "model"),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_request_that_is_refused_is_not_an_images_fault(
    own, pixpool, paths, arguments, code, reason, field, count
):
    with pytest.raises(pixpool.PixpoolError) as caught:
        own.extract(paths[:count], on_error="return", **arguments)
    assert not isinstance(caught.value, pixpool.ImageError)
    assert (caught.value.code.name, caught.value.reason) == (code, reason)
    assert field in [f.field for f in caught.value.fields]


def test_overload_loses_no_image(start_server, pixpool, paths):
    server = start_server("--max-in-flight-requests", "3", "--max-stream-in-flight", "3")
    retry = pixpool.RetryPolicy(max_attempts=1000)
    with pixpool.Client(server.target, timeout=120, retry=retry) as client:
        got = client.extract(paths * 12, concurrency=64)
        alone = client.extract(paths, concurrency=1).array
    np.testing.assert_allclose(got.array, np.tile(alone, (12, 1)), **CLOSE)
    shed = [
        line
        for line in server.get("/metrics")[1].splitlines()
        if line.startswith("pixpool_requests_shed_total{")
    ]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in shed) > 0  # else this showed nothing


def test_encodings(own, paths):
    names = ("float32", "float16", "int8", "binary")
    got = own.extract(paths[:2], [f"gem:id={name},encoding={name}" for name in names])
    full = got["float32"]
    np.testing.assert_array_equal(got["float16"], full.astype(np.float16))
    step = np.abs(full).max(1, keepdims=True) / 127
    np.testing.assert_allclose(got["int8"], np.rint(full / step) * step, rtol=1e-6)
    assert got["binary"].dtype == bool
    np.testing.assert_array_equal(got["binary"], full > 0)


def test_pool_applies_heads_to_a_tensor(own):
    tensor = np.random.default_rng(5).normal(size=(3, 4, 6, 8)).astype(np.float32)
    got = own.pool(tensor, ["global_avg", "max_pool:kernel_size=2,return_indices"])
    np.testing.assert_allclose(got["global_avg"], tensor.mean((2, 3)), rtol=1e-5, atol=1e-6)
    blocks = tensor.reshape(3, 4, 3, 2, 4, 2)
    np.testing.assert_array_equal(got["max_pool"], blocks.max((3, 5)))
    indices = np.stack([r["max_pool"].indices for r in got])
    flat = tensor.reshape(3, 4, 48)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, indices.reshape(3, 4, 12), 2).reshape(3, 4, 3, 4), got["max_pool"]
    )
    rebuilt = own.pool(got["max_pool"], "max_unpool:kernel_size=2", indices=indices)["max_unpool"]
    assert rebuilt.shape == tensor.shape
    np.testing.assert_array_equal(
        rebuilt, np.where(np.repeat(np.repeat(got["max_pool"], 2, 2), 2, 3) == tensor, tensor, 0)
    )


def test_models_and_health(own, pixpool, client, paths):
    assert [m.name for m in own.models()] == ["efficientnet-lite0"]
    model = own.model("efficientnet-lite0")
    assert model.message == client.stub.GetModel(client.pb.GetModelRequest()).model
    assert model.state == "ready" and len(model.labels) == model.class_count == 1000
    assert model.default_layer in [layer.name for layer in model.layers]
    gem = next(kind for kind in model.head_types if kind.name == "gem")
    assert [(p.name, p.default_value, p.range) for p in gem.parameters][0] == ("p", "3", "(0, 100]")
    assert own.extract(paths[0], "gem").space_ids["gem"] == gem.default_space_id
    assert own.extract(paths[0]).space_ids["global_avg"] == model.space_id
    assert own.health() and own.health("efficientnet-lite0")
    own.wait_until_ready(5)
    with pytest.raises(pixpool.PixpoolError) as caught:
        own.health("nope")
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    with (
        pixpool.Client("127.0.0.1:1") as nobody,
        pytest.raises(pixpool.PixpoolError, match="not ready after 0.5 s"),
    ):
        nobody.wait_until_ready(0.5)


def test_wait_until_ready_waits_for_a_server_that_starts(start_server, pixpool, paths):
    server = start_server(wait=False)
    with pixpool.Client(server.target, timeout=60) as client:
        client.wait_until_ready(60)
        assert client.extract(paths[0]).ok.all()


def test_several_servers_share_the_calls(start_server, pixpool, paths):
    servers = [start_server() for _ in range(2)]
    target = "ipv4:" + ",".join(server.target for server in servers)
    with pixpool.Client(target, timeout=60, round_robin=True) as client:
        assert client.extract(paths * 3).ok.all()
    for server in servers:
        lines = server.get("/metrics")[1].splitlines()
        count = [
            line
            for line in lines
            if line.startswith("pixpool_images_total{") and 'outcome="ok"' in line
        ]
        assert sum(float(line.rsplit(" ", 1)[1]) for line in count) > 0, server.target


def test_the_client_for_asyncio_gives_the_same(own, pixpool, server, paths, photos):
    async def work():
        async with pixpool.AsyncClient(server.target, timeout=60) as client:
            await client.wait_until_ready(10)
            got = await client.extract(paths, ["gem", "class_scores"])
            labels = await client.classify(photos["rocket.jpg"])
            maps = await client.heatmap(photos["rocket.jpg"])
            bad = await client.extract([paths[0], b"junk"], on_error="return")
            seen = [r.index async for r in client.stream(paths * 4, ordered=False)]
            pooled = await client.pool(np.ones((1, 2, 3, 3), np.float32), "global_avg")
            model = await client.model()
        return got, labels, maps, bad, seen, pooled, model

    got, labels, maps, bad, seen, pooled, model = asyncio.run(work())
    np.testing.assert_allclose(got["gem"], own.extract(paths, "gem").array, **CLOSE)
    assert labels[0][0].label == "missile" and maps[0].png[1:4] == b"PNG"
    assert bad.ok.tolist() == [True, False] and bad.errors[0].reason == "IMAGE_UNSUPPORTED_FORMAT"
    assert sorted(seen) == list(range(4 * len(paths)))
    np.testing.assert_array_equal(pooled.array, [[1, 1]])
    assert model == own.model()


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_bulk_keeps_encodings_and_maps(own, pixpool, server, photos, tmp_path, suffix):
    from pixpool.bulk import run

    listed = [photos["cat.png"], tmp_path / "nowhere.png", photos["rocket.jpg"]]
    (tmp_path / "list.txt").write_text("\n".join(map(str, listed)))
    names = ("float32", "float16", "int8", "binary")
    heads = [*(f"gem:id={n},encoding={n}" for n in names), "max_pool:kernel_size=3,id=map"]
    output = tmp_path / f"f.{suffix}"
    summary = run(tmp_path / "list.txt", output, heads, target=server.target, progress=False)
    assert (summary.images, summary.failed) == (3, 1)
    expected = own.extract([listed[0], listed[2]], heads)
    assert summary.space_ids == expected.space_ids
    for name in (*names, "map"):
        wanted = expected[name]
        if name == "binary":
            wanted = np.packbits(wanted, axis=1)
        if suffix == "npy":
            got = np.load(tmp_path / f"f.{name}.npy")
            assert got.shape == wanted.shape and got.dtype == (
                np.float32 if name in ("int8", "map") else wanted.dtype
            )
        else:
            table = pytest.importorskip("pyarrow.parquet").read_table(output)
            rows = table[name].to_pylist()
            assert rows[1] is None
            got = np.array([rows[0], rows[2]], wanted.dtype).reshape(wanted.shape)
            assert str(table.schema.field(name).type.value_type) == {
                "float16": "halffloat",
                "binary": "uint8",
            }.get(name, "float")
        if name == "binary":  # bits of values near 0 may differ with the batch
            assert np.unpackbits(got ^ wanted).mean() < 0.01
        else:
            np.testing.assert_allclose(
                got.astype(np.float32), wanted.astype(np.float32), rtol=2e-2, atol=2e-2
            )


def test_bulk_refuses_heads_that_give_no_rows(pixpool, server, photos, tmp_path):
    from pixpool.bulk import BulkError, run

    (tmp_path / "list.txt").write_text(str(photos["cat.png"]))
    for head in ("class_scores", "class_activation_map:format=png"):
        with pytest.raises(BulkError, match="gives no array here"):
            run(
                tmp_path / "list.txt",
                tmp_path / "f.npy",
                head,
                target=server.target,
                progress=False,
            )
    (tmp_path / "two.txt").write_text("\n".join(str(photos[n]) for n in ("cat.png", "rocket.jpg")))
    with pytest.raises(BulkError, match="head feature_map gives .* take a head of fixed size"):
        options = pixpool.InputOptions(resize="none", crop="none")
        run(
            tmp_path / "two.txt",
            tmp_path / "g.npy",
            "feature_map",
            target=server.target,
            input_options=options,
            progress=False,
        )


def test_bulk_killed_and_gone_on_with(client, server, pixpool, paths, tmp_path):
    """SIGKILL in the middle, twice; the file equals what plain calls give."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(90):
        path = paths[i % len(paths)]
        (folder / f"{i:03d}{path.suffix}").symlink_to(path)
    (folder / "050x.jpg").write_bytes(b"not a picture")
    output = tmp_path / "features.npy"
    stubs = Path(sys.modules["pixpool.v1.feature_service_pb2"].__file__).parents[1]
    program = (
        f"import pixpool, sys; pixpool.__path__.insert(0, {str(stubs)!r});"
        "from pixpool.bulk.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(folder),
        "--output",
        str(output),
        "--head",
        "gem:l2",
        "--part-size",
        "7",
        "--target",
        server.target,
        "--concurrency",
        "4",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    work = tmp_path / "features.npy.work"
    for parts in (2, 6):
        process = subprocess.Popen(command, env=environment)
        end = time.monotonic() + 120
        while len(list(work.glob("part-*.npz"))) < parts:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL and not output.exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "91 images, 1 failed" in done.stdout and "images are done; going on" in done.stderr
    index = json.loads((tmp_path / "features.index.json").read_text())
    names = [f"{i:03d}{paths[i % len(paths)].suffix}" for i in range(90)]
    assert index["images"] == names and index["failed"][0]["reason"] == "IMAGE_UNSUPPORTED_FORMAT"
    plain = client.extract(paths, ["gem:l2"])
    alone = np.stack(
        [np.asarray(r.features.head_results[0].values, np.float32) for r in plain.results]
    )
    matrix = np.load(io.BytesIO(output.read_bytes()))
    assert matrix.shape == (90, 1280)
    np.testing.assert_allclose(matrix, alone[np.arange(90) % len(paths)], **CLOSE)
    assert index["heads"][0]["space_id"] == plain.results[0].features.head_results[0].space_id
    # Another head would be another space; and there is nothing left to do for this one.
    other = [part.replace("gem:l2", "gem:p=4,l2") for part in command]
    refused = subprocess.run(other, env=environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "is of another job (heads was" in refused.stderr
    assert subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode == 1
