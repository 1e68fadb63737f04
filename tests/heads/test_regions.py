"""Heads on regions of pictures, through gRPC: against RoIAlign and RoIPool in float64, against
torchvision's own RoIAlign, and against the same heads on the same maps.
"""

from __future__ import annotations

import importlib
import io
import json

import grpc
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from api import as_array, field_paths, reason
from kinds import OF_MAPS, simplest
from network_input import cropped_area
from region_oracles import roi_align, roi_pool

TOLERANCE = 1e-5
SIDE, CROP = 256, 224  # of the default bundle's recipe
# Boxes of a picture, in shares of its sides: within the centre crop, over its edges, small, all.
SHARES = [
    (0.3, 0.3, 0.7, 0.6),
    (0.25, 0.4, 0.9, 0.95),
    (0.0, 0.0, 1.0, 1.0),
    (0.5, 0.5, 0.505, 0.52),
    (0.0, 0.1, 0.2, 0.9),
]
ALIGN = [
    {},
    {"output_size": [3]},
    {"output_size": [1, 5], "sampling_ratio": 2},
    {"output_size": [14, 2], "aligned": False},
    {"sampling_ratio": 1, "aligned": False},
]
POOL = [{}, {"output_size": [3]}, {"output_size": [1, 6]}]


def size_of(options: dict) -> tuple[int, int]:
    sides = options.get("output_size", [7])
    return sides[0], sides[-1]


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Noise with large forms in it, so that layers of every stride have something to see."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.integers(0, 160, (8, 8, 3)), np.ones((height // 8 + 1, width // 8 + 1, 1)))
    noise = rng.integers(0, 96, (height, width, 3))
    return (coarse[:height, :width] + noise).astype(np.uint8)


def on_input(box, height: int, width: int):
    """A box of a picture on the input of the default bundle."""
    area = cropped_area(height, width, SIDE, CROP)
    across = CROP / (area.right - area.left)
    down = CROP / (area.bottom - area.top)
    return (
        (box[0] - area.left) * across,
        (box[1] - area.top) * down,
        (box[2] - area.left) * across,
        (box[3] - area.top) * down,
    )


def ask(client, source, boxes, heads, relative=False, input_options=None, **options):
    """The features of one picture with regions, which must succeed; options of RegionOptions."""
    pb = client.pb
    image = client.image(source)
    for i, (left, top, right, bottom) in enumerate(boxes):
        image.regions.add(
            region_id=f"box {i}",
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            relative=relative,
        )
    request = pb.ExtractFeaturesRequest(
        images=[image],
        heads=[client.head(head) for head in heads],
        input_options=input_options,
        region_options=pb.RegionOptions(**options),
    )
    result = client.stub.ExtractFeatures(request, timeout=60).results[0]
    assert result.WhichOneof("outcome") == "features", result.status.message
    return result.features


def torchvision_align(x: np.ndarray, boxes, stride, size, ratio: int, aligned: bool) -> np.ndarray:
    """torchvision's RoIAlign in Python, in float64 and not compiled. Unlike the operator it has
    values for samples off the map, so boxes are to be within it.
    """
    module = importlib.import_module("torchvision.ops.roi_align")
    align = module._roi_align.__wrapped__
    rois = torch.tensor([(0.0, *box) for box in boxes], dtype=torch.float64)
    maps = torch.from_numpy(x.astype(np.float64))[None]
    return align(maps, rois, 1.0 / stride, *size, ratio, aligned).numpy()


def test_maps_of_every_layer_against_the_definitions(client, ledger):
    """The default bundle's layers, of strides 2 to 32, with its own resize and crop."""
    pb = client.pb
    layers = client.stub.GetModel(pb.GetModelRequest(), timeout=10).model.layers
    heads = [f"feature_map:layer={layer.name}" for layer in layers]
    with ledger("regions: RoIAlign and RoIPool of every layer") as row:
        for seed, (height, width) in enumerate([(300, 400), (500, 220), (256, 256)]):
            pixels = picture(height, width, seed)
            boxes = [
                (left * width, top * height, right * width, bottom * height)
                for left, top, right, bottom in SHARES
            ]
            boxes = [b for b in boxes if on_input(b, height, width)[2] > 1]
            sent = [np.float32(box).astype(np.float64) for box in boxes]
            mapped = [np.float32(on_input(box, height, width)).astype(np.float64) for box in sent]
            cases = [(roi_align, pb.REGION_POOLING_ROI_ALIGN, options) for options in ALIGN]
            cases += [(roi_pool, pb.REGION_POOLING_ROI_POOL, options) for options in POOL]
            for oracle, pooling, options in cases:
                got = ask(
                    client, pixels, boxes, heads, include_image=True, pooling=pooling, **options
                )
                more = {}
                if oracle is roi_align:
                    more["ratio"] = options.get("sampling_ratio", 0)
                    more["aligned"] = options.get("aligned", True)
                for h, layer in enumerate(layers):
                    x = as_array(got.head_results[h]).astype(np.float64)
                    for box, region in zip(mapped, got.regions, strict=True):
                        want = oracle(x, box, layer.stride_px, size_of(options), **more)
                        what = f"{oracle.__name__} {options} of {layer.name} at {box}"
                        scale = max(np.abs(x).max(), 1e-30)
                        row.close(what, as_array(region.head_results[h]), want, TOLERANCE, scale)


def test_against_torchvisions_own_roi_align(pixels, ledger):
    """On a map that is the picture itself."""
    client, pb = pixels.client, pixels.pb
    whole = pb.InputOptions(resize=pb.RESIZE_MODE_NONE)
    rng = np.random.default_rng(2)
    with ledger("regions: torchvision.ops.roi_align") as row:
        for seed in range(6):
            height, width = rng.integers(20, 60, 2)
            source = picture(height, width, seed)
            corners = np.sort(rng.uniform(0, 1, (12, 2, 2)), 1) * (width, height)
            boxes = [tuple(map(float, np.float32(c.ravel()))) for c in corners]
            boxes += [(0, 0, int(width), int(height)), (3, 4, 17, 11), (0.5, 1.5, 2.5, 2.25)]
            for options in ALIGN:
                got = ask(client, source, boxes, ["feature_map"], input_options=whole, **options)
                want = torchvision_align(
                    source.transpose(2, 0, 1),
                    boxes,
                    1,
                    size_of(options),
                    options.get("sampling_ratio", 0),
                    options.get("aligned", True),
                )
                for box, region, values in zip(boxes, got.regions, want, strict=True):
                    what = f"{options} at {box} of {height} x {width}"
                    # Without `aligned` a box is a cell wide and high at least.
                    over = box[0] + 1 > width or box[1] + 1 > height
                    if over and not options.get("aligned", True):
                        continue
                    row.close(what, as_array(region.head_results[0]), values, TOLERANCE, 255)


def test_every_head_is_that_of_the_regions_map(client, pool, ledger):
    heads = [simplest(kind) for kind in OF_MAPS]
    heads += ["gem:p=2,l2", "max_pool:kernel_size=2,return_indices=true", "spatial_pyramid"]
    source = picture(300, 300, 5)
    boxes = [(20, 30, 200, 250), (100, 90, 180, 190), (60.5, 20.25, 290, 280.75)]
    with ledger("regions: every head against PoolTensor of the region's map") as row:
        for layer in ("stage3", "stage5"):
            named = [f"{head}{',' if ':' in head else ':'}layer={layer}" for head in heads]
            got = ask(client, source, boxes, [f"feature_map:layer={layer}", *named])
            maps = np.stack([as_array(region.head_results[0]) for region in got.regions])
            for h, (head, want) in enumerate(zip(heads, pool(maps, *heads), strict=True), 1):
                for r, region in enumerate(got.regions):
                    result = region.head_results[h]
                    row.close(f"{head} of {layer}", as_array(result), want.values[r], TOLERANCE)
                    if want.indices is not None:
                        row.equal(f"{head}: indices", list(result.indices), want.indices[r].ravel())


def test_class_scores_of_a_region_are_those_of_its_map(client, models_dir, ledger):
    """The classifier stands on the mean of a map, which a region's map has too."""
    (manifest,) = models_dir.glob("*/1/manifest.json")
    classifier = json.loads(manifest.read_text())["classifier"]
    bias = np.fromfile(manifest.parent / classifier["bias"], "<f4").astype(np.float64)
    weight = np.fromfile(manifest.parent / classifier["weight"], "<f4").astype(np.float64)
    head = "class_scores:top_k=0,score_type=SCORE_TYPE_LOGITS"
    source = picture(300, 300, 6)
    boxes = [(40, 40, 260, 200), (150, 30, 280, 290)]
    with ledger("regions: class scores") as row:
        mean = f"global_avg:layer={classifier['layer']}"
        for region in ask(client, source, boxes, [head, mean]).regions:
            scores = [score.score for score in region.head_results[0].class_scores]
            of_map = as_array(region.head_results[1]).astype(np.float64)
            row.close("scores", scores, weight.reshape(len(bias), -1) @ of_map + bias, TOLERANCE)


def test_relative_boxes_are_those_in_pixels(client, ledger):
    source = picture(256, 512, 7)
    pixels = [(share[0] * 512, share[1] * 256, share[2] * 512, share[3] * 256) for share in SHARES]
    shares = [share for share in SHARES if share[2] > 0.25]
    pixels = [box for box, share in zip(pixels, SHARES, strict=True) if share[2] > 0.25]
    with ledger("regions: relative boxes") as row:
        one = ask(client, source, pixels, ["gem"])
        two = ask(client, source, shares, ["gem"], relative=True)
        for a, b, box in zip(one.regions, two.regions, pixels, strict=True):
            row.close(f"{box}", as_array(b.head_results[0]), as_array(a.head_results[0]), TOLERANCE)
            edges = (b.left_px, b.top_px, b.right_px, b.bottom_px)
            row.close("box as applied", edges, box, 1e-6)
            row.equal("id", b.region_id, a.region_id)


def test_spaces_are_those_of_the_pooling(client, ledger):
    pb = client.pb
    source, boxes = picture(256, 256, 8), [(20, 20, 200, 200)]
    settings = [
        {},
        {"output_size": [5]},
        {"sampling_ratio": 1},
        {"aligned": False},
        {"pooling": pb.REGION_POOLING_ROI_POOL},
    ]
    with ledger("regions: space ids") as row:
        found = [ask(client, source, boxes, ["gem"], include_image=True, **s) for s in settings]
        spaces = [f.regions[0].head_results[0].space_id for f in found]
        row.case("each pooling its own", len(set(spaces)) == len(settings), spaces)
        (plain,) = {f.head_results[0].space_id for f in found}
        alone = client.extract([source], ["gem"]).results[0].features.head_results[0]
        row.equal("of the whole picture as ever", alone.space_id, plain)
        row.equal("its values too", as_array(alone), as_array(found[0].head_results[0]))
        row.case("another than the regions'", plain not in spaces)
        spelt = ask(client, source, boxes, ["gem"], output_size=[7, 7], aligned=True)
        row.equal("defaults", spelt.regions[0].head_results[0].space_id, spaces[0])


def encoded(pixels: np.ndarray, form: str, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def upright(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def cut_out(picture: Image.Image, box) -> np.ndarray:
    """What PIL.Image.crop gives for the box in whole pixels, both ends rounded half to even."""
    left, top, right, bottom = (round(edge) for edge in box)
    left, top = min(left, picture.width - 1), min(top, picture.height - 1)
    return np.asarray(picture.crop((left, top, max(right, left + 1), max(bottom, top + 1))))


def test_inputs_of_crops_are_those_of_the_pixels_sent_alone(pixels, ledger):
    """Through the server's own decoders, in its worker processes; every pixel is the same."""
    pb = pixels.pb
    source = picture(120, 170, 11)
    turned = Image.Exif()
    turned[274] = 6
    files = {
        "pixels": source,
        "png": encoded(source, "PNG"),
        "jpeg": encoded(source, "JPEG", quality=90),
        "progressive jpeg": encoded(source, "JPEG", progressive=True),
        "turned jpeg": encoded(source, "JPEG", exif=turned),
        "webp": encoded(source, "WEBP", lossless=True),
    }
    options = {
        "exact": pb.InputOptions(),
        "scaled decode": pb.InputOptions(decode=pb.DECODE_MODE_SCALED, input_height_px=16),
        "none": pb.InputOptions(resize=pb.RESIZE_MODE_NONE, crop=pb.CROP_MODE_NONE),
        "crop": pb.InputOptions(
            resize=pb.RESIZE_MODE_SHORTER_SIDE, resize_size_px=40, crop=pb.CROP_MODE_CENTER
        ),
        "padded": pb.InputOptions(
            resize=pb.RESIZE_MODE_NONE, crop=pb.CROP_MODE_CENTER, input_height_px=64
        ),
    }
    boxes = [(0, 0, 120, 120), (10.5, 11.5, 60.5, 70.5), (3, 5, 50.2, 31), (99.6, 80, 119.9, 99)]
    with ledger("regions: crops are the pixels sent alone") as row:
        for name, file in files.items():
            whole = Image.fromarray(file) if name == "pixels" else upright(file)
            for title, wanted in options.items():
                for include in (False, True):
                    got = ask(
                        pixels.client,
                        file,
                        boxes,
                        ["feature_map"],
                        input_options=wanted,
                        mode=pb.REGION_MODE_CROP,
                        include_image=include,
                    )
                    for box, region in zip(boxes, got.regions, strict=True):
                        crop = cut_out(whole, box)
                        alone = pixels.client.extract([crop], ["feature_map"], input_options=wanted)
                        (want,) = alone.results[0].features.head_results
                        (result,) = region.head_results
                        row.equal(f"{name}, {title}, {box}", as_array(result), as_array(want))
                        row.equal("space", result.space_id, want.space_id)
                        applied = (region.left_px, region.top_px, region.right_px, region.bottom_px)
                        row.equal("box", applied, [round(edge) for edge in box])
                    row.equal("the picture", len(got.head_results), int(include))


def test_every_pass_and_head_of_a_crop(client, ledger):
    """Scales, flip, class scores and activation maps, as of the crop sent alone."""
    pb = client.pb
    source = picture(300, 320, 12)
    boxes = [(10, 20, 210, 180), (100, 0, 319.5, 250)]
    passes = pb.InputOptions(scales=[1, 0.5], flip=True)
    cases = {
        "passes": (["gem:l2", "class_scores:top_k=3", "global_max"], pb.InputOptions()),
        "several": (["gem:l2", "global_avg"], passes),
        "maps": (["class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG_OVERLAY"], None),
    }
    with ledger("regions: passes and heads of crops") as row:
        for name, (heads, options) in cases.items():
            got = ask(client, source, boxes, heads, input_options=options, mode=pb.REGION_MODE_CROP)
            for box, region in zip(boxes, got.regions, strict=True):
                crop = cut_out(Image.fromarray(source), box)
                alone = client.extract([crop], heads, input_options=options).results[0].features
                for head, result, want in zip(
                    heads, region.head_results, alone.head_results, strict=True
                ):
                    what = f"{name}: {head} at {box}"
                    row.close(what, list(result.values), list(want.values), TOLERANCE)
                    ours, theirs = (list(r.class_scores) for r in (result, want))
                    row.equal("classes", [s.label for s in ours], [s.label for s in theirs])
                    row.close("scores", [s.score for s in ours], [s.score for s in theirs], 1e-4)
                    row.equal("space", result.space_id, want.space_id)
                    row.case("box", result.activation_map.box == want.activation_map.box)
                    row.case("png", result.activation_map.png == want.activation_map.png)


def test_what_is_refused_and_by_which_field(client):
    pb = client.pb
    source = picture(64, 96, 9)

    def refused(heads=("gem",), box=(1, 1, 9, 9), input_options=None, **options):
        with pytest.raises(grpc.RpcError) as caught:
            ask(client, source, [box], heads, input_options=input_options, **options)
        return reason(caught.value), field_paths(caught.value)

    assert refused(output_size=[65]) == ("REQUEST_INVALID", ["region_options.output_size"])
    assert refused(pooling=pb.REGION_POOLING_ROI_POOL, aligned=True) == (
        "REQUEST_INVALID",
        ["region_options.aligned"],
    )
    assert refused(mode=pb.REGION_MODE_CROP, output_size=[7]) == (
        "REQUEST_INVALID",
        ["region_options.output_size"],
    )
    assert refused(["class_activation_map"]) == ("HEAD_INVALID", ["heads[0].class_activation_map"])
    assert refused(["mean_token"]) == ("HEAD_INVALID", ["heads[0].mean_token"])
    assert refused(input_options=pb.InputOptions(flip=True)) == (
        "REQUEST_INVALID",
        ["input_options.flip"],
    )
    image = client.image(source)
    image.regions.add(left=1, top=1, right=97, bottom=9)
    good = client.image(source)
    good.regions.add(left=40, top=1, right=60, bottom=9)
    request = pb.ExtractFeaturesRequest(images=[good, image])
    first, second = client.stub.ExtractFeatures(request, timeout=60).results
    assert len(first.features.regions) == 1 and not first.features.head_results
    assert field_paths(second.status) == ["images[1].regions[0].right"]
    assert reason(second.status) == "REQUEST_INVALID"
