"""Regions of images through the Open Inference Protocol, with NVIDIA's client as published: the
values are those of our own API for the same boxes.
"""

from __future__ import annotations

import queue

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from api import as_array, field_paths, reason
from triton_tensors import files, numbers, output_of, outputs, pixels

MODEL = "efficientnet-lite0"
NAMES = ["cat.png", "coffee.png", "rocket.jpg"]
HEADS = ["gem:p=4,l2", "feature_map:layer=stage4", "class_scores:top_k=3"]
# In shares of a picture's sides, within the centre crop in part at least.
SHARES = np.float32([(0.25, 0.3, 0.6, 0.75), (0.4, 0.1, 0.95, 0.5), (0.5, 0.5, 1, 1)])


@pytest.fixture(scope="module")
def infer_client(server):
    with triton.InferenceServerClient(server.target) as client:
        yield client


def regions(boxes: np.ndarray) -> triton.InferInput:
    return numbers("regions", np.asarray(boxes, np.float32), "FP32")


def region_count(*counts: int, dtype=np.int32) -> triton.InferInput:
    datatype = {np.int32: "INT32", np.int64: "INT64"}[dtype]
    return numbers("region_count", np.array(counts, dtype)[:, None], datatype)


def boxes_of(path) -> np.ndarray:
    """The shares in pixels of a picture; fractions among them."""
    with Image.open(path) as picture:
        return SHARES * np.float32(picture.size * 2)


def own(client, paths, boxes, heads=HEADS, relative=False, input_options=None, **options):
    """The features of our own API for pictures with boxes each."""
    api = client.pb
    images = [client.image(path) for path in paths]
    for image, of_image in zip(images, boxes, strict=True):
        for left, top, right, bottom in of_image:
            image.regions.add(left=left, top=top, right=right, bottom=bottom, relative=relative)
    request = api.ExtractFeaturesRequest(
        images=images,
        heads=[client.head(head) for head in heads],
        input_options=input_options,
        region_options=api.RegionOptions(**options),
    )
    results = client.stub.ExtractFeatures(request, timeout=60).results
    for result in results:
        assert result.WhichOneof("outcome") == "features", result.status.message
    return [result.features for result in results]


def assert_same(result: triton.InferResult, head: str, want: list, name: str = "") -> None:
    """One output against results of our own API, row by row."""
    name = name or head
    rows = result.as_numpy(name)
    assert len(rows) == len(want)
    assert output_of(result, name).parameters["space_id"].string_param == want[0].space_id
    for row, expected in zip(rows, want, strict=True):
        if head.startswith("class_scores"):
            texts = [text.decode().split(":", 2) for text in row]
            assert [int(t[1]) for t in texts] == [s.class_index for s in expected.class_scores]
            scores = [s.score for s in expected.class_scores]
            np.testing.assert_allclose([float(t[0]) for t in texts], scores, atol=1e-5)
        else:
            np.testing.assert_allclose(row, as_array(expected), rtol=2e-4, atol=2e-5)


def edges_of(features: list) -> np.ndarray:
    return np.float32(
        [(r.left_px, r.top_px, r.right_px, r.bottom_px) for f in features for r in f.regions]
    )


def told_edges(result: triton.InferResult) -> np.ndarray:
    rows = result.get_response().parameters["regions"].string_param.split(";")
    return np.float32([[float(edge) for edge in row.split(",")] for row in rows])


SETTINGS = {
    "defaults": {},
    "size": {"output_size": "3x5", "sampling_ratio": 2, "aligned": False},
    "roi_pool": {"pooling": "roi_pool", "output_size": 4},
    "crop": {"mode": "crop"},
    "relative": {"relative": True},
}


@pytest.mark.parametrize("what", SETTINGS)
def test_values_and_spaces_are_those_of_the_own_api(infer_client, client, photos, what):
    parameters, api = SETTINGS[what], client.pb
    paths = [photos[name] for name in NAMES]
    relative = "relative" in parameters
    boxes = [SHARES if relative else boxes_of(path) for path in paths]
    result = infer_client.infer(
        MODEL, [files(*paths), regions(boxes)], outputs=outputs(*HEADS), parameters=parameters
    )
    options = {
        "defaults": {},
        "size": {"output_size": [3, 5], "sampling_ratio": 2, "aligned": False},
        "roi_pool": {"pooling": api.REGION_POOLING_ROI_POOL, "output_size": [4]},
        "crop": {"mode": api.REGION_MODE_CROP},
        "relative": {},
    }[what]
    want = own(client, paths, boxes, relative=relative, **options)
    for h, head in enumerate(HEADS):
        assert_same(result, head, [r.head_results[h] for f in want for r in f.regions])
    np.testing.assert_array_equal(told_edges(result), edges_of(want))
    assert [o.name for o in result.get_response().outputs] == HEADS


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_images_have_as_many_regions_as_their_count(infer_client, client, photos, dtype):
    """As detectors give them: boxes padded to one number, and how many there are."""
    paths = [photos[name] for name in NAMES]
    padded = np.full((3, 100, 4), np.nan, np.float32)
    counts = [2, 0, 3]
    for i, (path, count) in enumerate(zip(paths, counts, strict=True)):
        padded[i, :count] = boxes_of(path)[:count]
    inputs = [region_count(*counts, dtype=dtype), files(*paths), regions(padded)]
    result = infer_client.infer(MODEL, inputs, outputs=outputs(*HEADS))
    boxes = [padded[i, :count] for i, count in enumerate(counts)]
    want = own(client, paths, boxes)
    assert not want[1].regions
    for h, head in enumerate(HEADS):
        assert_same(result, head, [r.head_results[h] for f in want for r in f.regions])


def test_whole_images_come_beside_their_regions(infer_client, client, photos):
    paths = [photos[name] for name in NAMES]
    boxes = [boxes_of(path)[:1] for path in paths]
    inputs = [files(*paths), regions(boxes), region_count(1, 0, 1)]
    result = infer_client.infer(
        MODEL, inputs, outputs=outputs(*HEADS), parameters={"include_image": True}
    )
    boxes[1] = boxes[1][:0]
    want = own(client, paths, boxes, include_image=True)
    for h, head in enumerate(HEADS):
        assert_same(result, head, [r.head_results[h] for f in want for r in f.regions])
        assert_same(result, head, [f.head_results[h] for f in want], f"image/{head}")
    assert len(result.get_response().outputs) == 2 * len(HEADS)


def test_one_picture_of_pixels_needs_no_axis_for_it(infer_client, client, photos):
    array = np.asarray(Image.open(photos["cat.png"]).convert("RGB"))
    boxes = boxes_of(photos["cat.png"])
    result = infer_client.infer(MODEL, [pixels(array[None]), regions(boxes)])
    want = own(client, [array], [boxes], ["global_avg"])
    assert_same(result, "global_avg", [r.head_results[0] for r in want[0].regions])


def test_maps_drawn_on_crops(infer_client, client, photos):
    head = "class_activation_map:format=png"
    boxes = boxes_of(photos["cat.png"])
    result = infer_client.infer(
        MODEL,
        [files(photos["cat.png"]), regions(boxes)],
        outputs=outputs(head),
        parameters={"mode": "crop"},
    )
    spelt = ["class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG"]
    (want,) = own(client, [photos["cat.png"]], [boxes], spelt, mode=client.pb.REGION_MODE_CROP)
    maps = [r.head_results[0].activation_map for r in want.regions]
    assert list(result.as_numpy(head)) == [m.png for m in maps]
    text = ";".join(
        f"{m.box.left_px},{m.box.top_px},{m.box.right_px},{m.box.bottom_px}" for m in maps
    )
    assert output_of(result, head).parameters["boxes"].string_param == text


def test_streams_take_regions(server, photos):
    """Of one request and not of the next, and a bad one between."""
    boxes = boxes_of(photos["cat.png"])
    outside = boxes + np.float32(10_000)
    done: queue.Queue = queue.Queue()
    with triton.InferenceServerClient(server.target) as client:
        client.start_stream(lambda result, error: done.put((result, error)))
        for more in ([regions(boxes)], [regions(outside)], []):
            client.async_stream_infer(MODEL, [files(photos["cat.png"]), *more])
        answers = [done.get(timeout=60) for _ in range(3)]
        client.stop_stream()
    assert answers[0][0].as_numpy("global_avg").shape == (3, 1280)
    assert "REQUEST_INVALID: images[0].regions[0].left: left is" in str(answers[1][1])
    assert answers[2][0].as_numpy("global_avg").shape == (1, 1280)


def test_described_inputs_are_taken(infer_client, photos):
    """Each input in the type and the rank that the metadata say, and without the optional ones."""
    described = {i.name: i for i in infer_client.get_model_metadata(MODEL).inputs}
    config = {i.name: i for i in infer_client.get_model_config(MODEL).config.input}
    inputs = [files(photos["cat.png"]), regions(SHARES[None]), region_count(2)]
    assert [i.name() for i in inputs] == list(described)
    for tensor in inputs:
        want = described[tensor.name()]
        assert tensor.datatype() == want.datatype
        sides = zip(want.shape, tensor.shape(), strict=True)
        assert all(told in (-1, sent) for told, sent in sides)
    relative = {"relative": True}
    rows = infer_client.infer(MODEL, inputs, parameters=relative).as_numpy("global_avg")
    assert rows.shape == (2, 1280)
    required = [i for i in inputs if not config[i.name()].optional]
    assert infer_client.infer(MODEL, required).as_numpy("global_avg").shape == (1, 1280)


def region_input(request) -> pb.ModelInferRequest.InferInputTensor:
    return request.inputs[1]


def with_boxes(request, *boxes) -> None:
    array = np.float32(boxes)
    region_input(request).shape[:] = [1, *array.shape]
    request.raw_input_contents[1] = array.tobytes()


def with_counts(request, *counts: int) -> None:
    request.inputs.add(name="region_count", datatype="INT32", shape=[len(counts)])
    request.raw_input_contents.append(np.int32(counts).tobytes())


BOX = (10, 10, 60, 60)
BROKEN = {
    "shape": (
        lambda r: region_input(r).shape.__setitem__(2, 5),
        "REQUEST_INVALID",
        "inputs[1].shape",
        '"regions" is FP32 [1,1,5]; for 1 images it must be FP32 [1,R,4] or [R,4]',
    ),
    "images": (
        lambda r: region_input(r).shape.__setitem__(0, 2),
        "REQUEST_INVALID",
        "inputs[1].shape",
        "[2,1,4]; for 1 images",
    ),
    "bytes": (
        lambda r: region_input(r).shape.__setitem__(1, 2),
        "REQUEST_INVALID",
        "inputs[1].shape",
        "takes 32 bytes, but there are 16",
    ),
    "overflow": (
        lambda r: region_input(r).shape.__setitem__(1, 1 << 60),
        "REQUEST_INVALID",
        "inputs[1].shape",
        "but there are 16",
    ),
    "type": (
        lambda r: setattr(region_input(r), "datatype", "FP64"),
        "REQUEST_INVALID",
        "inputs[1].datatype",
        "FP64",
    ),
    "none": (
        lambda r: with_counts(r, 0),
        "REQUEST_INVALID",
        "inputs[1].shape",
        "no image has a region; leave the input out",
    ),
    "count": (
        lambda r: with_counts(r, 2),
        "REQUEST_INVALID",
        "raw_input_contents[2]",
        '"region_count" of image 0 is 2; it must be 0 to 1',
    ),
    "nan": (
        lambda r: with_boxes(r, BOX, (10, float("nan"), 60, 60)),
        "REQUEST_INVALID",
        "images[0].regions[1].top",
        "images[0].regions[1].top: top is nan",
    ),
    "infinity": (
        lambda r: with_boxes(r, (10, 10, float("inf"), 60)),
        "REQUEST_INVALID",
        "images[0].regions[0].right",
        "right is inf",
    ),
    "outside": (
        lambda r: with_boxes(r, BOX, BOX, (10, 10, 60, 10_000)),
        "REQUEST_INVALID",
        "images[0].regions[2].bottom",
        "so bottom is 0 to",
    ),
    "no side": (
        lambda r: with_boxes(r, (60, 10, 60, 60)),
        "REQUEST_INVALID",
        "images[0].regions[0].right",
        "above left, 60",
    ),
    "shares": (
        lambda r: r.parameters["relative"].CopyFrom(pb.InferParameter(bool_param=True)),
        "REQUEST_INVALID",
        "images[0].regions[0].left",
        "shares of the picture's sides",
    ),
    "too many": (
        lambda r: with_boxes(r, *[BOX] * 65),
        "LIMIT_EXCEEDED",
        "images[0].regions",
        "images[0].regions: too many regions of one image: 65; the limit is 64 "
        "(--max-regions-per-image)",
    ),
    "ratio": (
        lambda r: r.parameters["sampling_ratio"].CopyFrom(pb.InferParameter(int64_param=17)),
        "REQUEST_INVALID",
        "region_options.sampling_ratio",
        "sampling_ratio is 17; it must be 0 to 16",
    ),
    "mode": (
        lambda r: r.parameters["mode"].CopyFrom(pb.InferParameter(string_param="cut")),
        "REQUEST_INVALID",
        'parameters["mode"]',
        "map, crop",
    ),
    "unused": (
        lambda r: [
            r.parameters["mode"].CopyFrom(pb.InferParameter(string_param="crop")),
            r.parameters["aligned"].CopyFrom(pb.InferParameter(bool_param=True)),
        ],
        "REQUEST_INVALID",
        "region_options.aligned",
        "REGION_MODE_MAP alone",
    ),
    "head": (
        lambda r: r.outputs.add(name="class_activation_map"),
        "HEAD_INVALID",
        "heads[0].class_activation_map",
        "REGION_MODE_CROP",
    ),
    "passes": (
        lambda r: r.parameters["flip"].CopyFrom(pb.InferParameter(bool_param=True)),
        "REQUEST_INVALID",
        "input_options.flip",
        "several passes",
    ),
}


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.target) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize("what", BROKEN)
def test_errors_say_what_is_wrong(stub, photos, what):
    break_it, why, field, text = BROKEN[what]
    data = photos["rocket.jpg"].read_bytes()
    request = pb.ModelInferRequest(
        model_name=MODEL, raw_input_contents=[len(data).to_bytes(4, "little") + data, b""]
    )
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    request.inputs.add(name="regions", datatype="FP32", shape=[1, 1, 4])
    request.parameters["crop"].string_param = "none"
    with_boxes(request, BOX)
    assert list(stub.ModelInfer(request).outputs[0].shape) == [1, 1280]
    break_it(request)
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error.value) == why
    assert field_paths(error.value) == [field]
    assert text in error.value.details()


def test_crops_whose_maps_differ_in_size_are_refused(infer_client, photos):
    boxes = [(0, 0, 100, 100), (0, 0, 200, 100)]
    inputs = [files(photos["cat.png"]), regions(boxes)]
    with pytest.raises(InferenceServerException, match="differ in size between the regions"):
        infer_client.infer(
            MODEL,
            inputs,
            outputs=outputs("feature_map"),
            parameters={"mode": "crop", "crop": "none", "resize": "none"},
        )
