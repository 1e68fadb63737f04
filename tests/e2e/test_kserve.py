"""The Open Inference Protocol with NVIDIA's client as published, and with plain gRPC where that
client has no way to ask.
"""

from __future__ import annotations

import queue
import threading
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from api import as_array, reason
from triton_tensors import files, output_of, outputs, pixels

MODEL = "efficientnet-lite0"


@pytest.fixture(scope="module")
def infer_client(server):
    with triton.InferenceServerClient(server.target) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.target) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_health_and_metadata(infer_client, client):
    assert (
        infer_client.is_server_live()
        and infer_client.is_server_ready()
        and infer_client.is_model_ready(MODEL)
    )
    assert not infer_client.is_model_ready("no-such-model") and not infer_client.is_model_ready(
        MODEL, "99"
    )
    server = infer_client.get_server_metadata()
    assert server.name == "pixpool" and server.version and "statistics" in server.extensions
    model = infer_client.get_model_metadata(MODEL)
    assert (model.name, list(model.versions), model.platform) == (MODEL, ["1"], "pixpool_openvino")
    assert [(i.name, i.datatype, list(i.shape)) for i in model.inputs] == [
        ("image", "BYTES", [-1, 1]),
        ("regions", "FP32", [-1, -1, 4]),
        ("region_count", "INT32", [-1, 1]),
    ]
    described = {o.name: (o.datatype, list(o.shape)) for o in model.outputs}
    assert described["global_avg"] == ("FP32", [-1, 1280]) and described["feature_map"] == (
        "FP32",
        [-1, 1280, -1, -1],
    )
    assert described["class_scores"] == ("BYTES", [-1, 5]) and described["cat_avg_max"] == (
        "FP32",
        [-1, 2560],
    )
    config = infer_client.get_model_config(MODEL).config
    limits = client.stub.GetModel(client.pb.GetModelRequest()).model.limits
    assert (
        config.max_batch_size == limits.max_images_per_request
        and not config.model_transaction_policy.decoupled
    )
    assert {o.name for o in config.output} == set(described)
    types = {"TYPE_STRING": "BYTES", "TYPE_FP32": "FP32", "TYPE_INT32": "INT32"}
    for told, configured in zip(model.inputs, config.input, strict=True):
        name = type(configured).DESCRIPTOR.fields_by_name["data_type"].enum_type
        datatype = types[name.values_by_number[configured.data_type].name]
        assert (told.name, told.datatype, list(told.shape)) == (
            configured.name,
            datatype,
            [-1, *configured.dims],
        )
        assert configured.optional == (told.name != "image")
    index = infer_client.get_model_repository_index().models
    assert [(m.name, m.version, m.state) for m in index] == [(MODEL, "1", "READY")]
    with pytest.raises(InferenceServerException, match="no-such-model"):
        infer_client.get_model_metadata("no-such-model")


def test_described_outputs_are_what_inference_gives(infer_client, photos):
    """The metadata of each head, its type and shape, against the head itself."""
    described = infer_client.get_model_metadata(MODEL).outputs
    assert len(described) >= 15
    result = infer_client.infer(
        MODEL, [files(photos["cat.png"])], outputs=outputs(*(o.name for o in described))
    )
    for want in described:
        got = output_of(result, want.name)
        assert got.datatype == want.datatype, want.name
        assert len(got.shape) == len(want.shape), want.name
        assert all(w in (-1, g) for w, g in zip(want.shape, got.shape, strict=True)), want.name


@pytest.mark.parametrize(
    "head",
    [
        "global_avg",
        "gem:p=4,layer=stage4,l2",
        "rmac",
        "feature_map",
        "adaptive_avg:output_size=2x3",
    ],
)
def test_values_and_spaces_are_those_of_the_own_api(infer_client, client, photos, head):
    names = ["cat.png", "coffee.png", "rocket.jpg"]
    result = infer_client.infer(MODEL, [files(*(photos[n] for n in names))], outputs=outputs(head))
    got = result.as_numpy(head)
    for i, name in enumerate(names):
        reply = client.extract([photos[name]], [head]).results[0].features.head_results[0]
        np.testing.assert_allclose(got[i], as_array(reply), rtol=2e-4, atol=2e-5)
        assert output_of(result, head).parameters["space_id"].string_param == reply.space_id
        assert output_of(result, head).parameters["layer"].string_param == reply.layer


def test_pixels_equal_the_file_they_were_decoded_from(infer_client, photos):
    array = np.asarray(Image.open(photos["cat.png"]).convert("RGB"))
    from_pixels = infer_client.infer(MODEL, [pixels(np.stack([array, array[:, ::-1]]))]).as_numpy(
        "global_avg"
    )
    from_file = infer_client.infer(MODEL, [files(photos["cat.png"])]).as_numpy("global_avg")
    assert from_pixels.shape == (2, 1280)
    np.testing.assert_allclose(from_pixels[0], from_file[0], rtol=2e-4, atol=2e-5)
    assert not np.allclose(from_pixels[0], from_pixels[1], atol=1e-3)


def test_typed_contents_equal_raw_ones(stub, infer_client, photos):
    data = photos["rocket.jpg"].read_bytes()
    raw = infer_client.infer(MODEL, [files(data)]).as_numpy("global_avg")
    typed = pb.ModelInferRequest(model_name=MODEL, id="typed")
    typed.inputs.add(name="image", datatype="BYTES", shape=[1]).contents.bytes_contents.append(data)
    reply = stub.ModelInfer(typed)
    assert reply.id == "typed" and reply.model_name == MODEL and reply.model_version == "1"
    np.testing.assert_allclose(
        np.frombuffer(reply.raw_output_contents[0], np.float32), raw[0], rtol=2e-4, atol=2e-5
    )
    assert reply.parameters["backbone_us"].int64_param > 0

    array = np.asarray(Image.open(photos["rocket.jpg"]).convert("RGB").resize((64, 48)))
    want = infer_client.infer(MODEL, [pixels(array[None])]).as_numpy("global_avg")
    typed = pb.ModelInferRequest(model_name=MODEL)
    typed.inputs.add(
        name="image", datatype="UINT8", shape=[1, 48, 64, 3]
    ).contents.uint_contents.extend(array.ravel().tolist())
    got = np.frombuffer(stub.ModelInfer(typed).raw_output_contents[0], np.float32)
    np.testing.assert_allclose(got, want[0], rtol=2e-4, atol=2e-5)


def test_classification_extension(infer_client, photos):
    wanted = [triton.InferRequestedOutput("class_scores", class_count=3)]
    rows = infer_client.infer(
        MODEL, [files(photos["coffee.png"], photos["rocket.jpg"])], outputs=wanted
    ).as_numpy("class_scores")
    assert rows.shape == (2, 3)
    score, index, label = rows[0, 0].decode().split(":", 2)
    assert (int(index), label) == (967, "espresso") and 0.2 < float(score) <= 1
    assert rows[1, 0].decode().endswith(":missile")


def test_parameters_of_outputs_and_of_the_request(stub, client, photos):
    data = photos["cat.png"].read_bytes()
    request = pb.ModelInferRequest(
        model_name=MODEL, raw_input_contents=[len(data).to_bytes(4, "little") + data]
    )
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    gem = request.outputs.add(name="gem")
    gem.parameters["p"].double_param = 4
    gem.parameters["layer"].string_param = "stage4"
    gem.parameters["l2_normalized"].bool_param = True
    spp = request.outputs.add(name="spatial_pyramid")
    spp.parameters["levels"].string_param = "1x3"
    request.outputs.add(name="global_avg:encoding=float16")
    request.outputs.add(name="global_avg:encoding=binary")
    heatmap = request.outputs.add(name="class_activation_map")
    heatmap.parameters["format"].string_param = "png"
    request.parameters["input_height_px"].int64_param = 256
    request.parameters["decode"].string_param = "scaled"
    request.parameters["background"].string_param = "255,0,10"
    request.parameters["priority"].uint64_param = 3
    reply = stub.ModelInfer(request)

    options = client.pb.InputOptions(
        input_height_px=256,
        decode=client.pb.DECODE_MODE_SCALED,
        background=client.pb.RgbColor(red=255, blue=10),
    )
    heads = [
        "gem:p=4,layer=stage4,l2",
        "spatial_pyramid:levels=1x3",
        "global_avg:encoding=ENCODING_FLOAT16",
        "global_avg:encoding=ENCODING_BINARY",
        "class_activation_map",
    ]
    want = (
        client.extract([photos["cat.png"]], heads, input_options=options)
        .results[0]
        .features.head_results
    )
    for got, head in zip(reply.outputs, want, strict=True):
        assert got.parameters["space_id"].string_param == head.space_id, got.name
    raw = reply.raw_output_contents
    np.testing.assert_allclose(
        np.frombuffer(raw[0], np.float32), as_array(want[0]), rtol=2e-4, atol=2e-5
    )
    np.testing.assert_allclose(
        np.frombuffer(raw[1], np.float32), as_array(want[1]), rtol=2e-4, atol=2e-5
    )
    assert (reply.outputs[2].datatype, list(reply.outputs[2].shape)) == ("FP16", [1, 1280])
    assert len(raw[2]) == 2 * 1280
    assert (reply.outputs[3].datatype, list(reply.outputs[3].shape)) == ("UINT8", [1, 160])
    assert len(raw[3]) == 160
    assert reply.outputs[4].datatype == "BYTES" and raw[4][4:8] == b"\x89PNG"
    box = want[4].activation_map.box
    text = f"{box.left_px},{box.top_px},{box.right_px},{box.bottom_px}"
    assert reply.outputs[4].parameters["boxes"].string_param == text
    assert "cat" in reply.outputs[4].parameters["classes"].string_param


BROKEN = {
    "no input": (
        lambda r: r.inputs.pop(),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "the inputs are",
    ),
    "input's name": (
        lambda r: setattr(r.inputs[0], "name", "INPUT0"),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "INPUT0",
    ),
    "type": (
        lambda r: setattr(r.inputs[0], "datatype", "FP32"),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "UINT8",
    ),
    "shape": (
        lambda r: r.inputs[0].shape.append(2),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "[1,2]",
    ),
    "count": (
        lambda r: r.inputs[0].shape.__setitem__(0, 2),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "means 2",
    ),
    "many": (
        lambda r: r.inputs[0].shape.__setitem__(0, 1 << 40),
        "INVALID_ARGUMENT",
        "LIMIT_EXCEEDED",
        "--max-images-per-request",
    ),
    "lengths": (
        lambda r: r.raw_input_contents.__setitem__(0, b"\xff\xff\xff\x7fx"),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "at byte 0",
    ),
    "not a picture": (
        lambda r: r.raw_input_contents.__setitem__(0, b"\1\0\0\0x"),
        "INVALID_ARGUMENT",
        "IMAGE_UNSUPPORTED_FORMAT",
        "images[0]",
    ),
    "both": (
        lambda r: r.inputs[0].contents.bytes_contents.append(b"x"),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "already",
    ),
    "head": (lambda r: r.outputs.add(name="gme"), "INVALID_ARGUMENT", "HEAD_INVALID", "global_avg"),
    "twice": (
        lambda r: [r.outputs.add(name="gem"), r.outputs.add(name="gem")],
        "INVALID_ARGUMENT",
        "HEAD_INVALID",
        "twice",
    ),
    "value": (lambda r: r.outputs.add(name="gem:p=0"), "INVALID_ARGUMENT", "HEAD_INVALID", "gem.p"),
    "layer": (
        lambda r: r.outputs.add(name="gem:layer=nope"),
        "NOT_FOUND",
        "LAYER_NOT_FOUND",
        "nope",
    ),
    "scale": (
        lambda r: r.outputs.add(name="gem:encoding=int8"),
        "UNIMPLEMENTED",
        "NOT_IMPLEMENTED",
        "FLOAT16",
    ),
    "indices": (
        lambda r: r.outputs.add(name="max_pool:kernel_size=2,return_indices"),
        "UNIMPLEMENTED",
        "NOT_IMPLEMENTED",
        "indices",
    ),
    "parameter": (
        lambda r: r.parameters["resizing"].CopyFrom(pb.InferParameter(bool_param=True)),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "resize_size_px",
    ),
    "parameter's value": (
        lambda r: r.parameters["resize"].CopyFrom(pb.InferParameter(string_param="x")),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "shorter_side",
    ),
    "sequence": (
        lambda r: r.parameters["sequence_id"].CopyFrom(pb.InferParameter(int64_param=1)),
        "UNIMPLEMENTED",
        "NOT_IMPLEMENTED",
        "sequence",
    ),
    "shared memory": (
        lambda r: (
            r.inputs[0]
            .parameters["shared_memory_region"]
            .CopyFrom(pb.InferParameter(string_param="x"))
        ),
        "UNIMPLEMENTED",
        "NOT_IMPLEMENTED",
        "shared memory",
    ),
    "model": (lambda r: setattr(r, "model_name", "nope"), "NOT_FOUND", "MODEL_NOT_FOUND", "nope"),
    "id": (
        lambda r: setattr(r, "id", "two\nlines"),
        "INVALID_ARGUMENT",
        "REQUEST_INVALID",
        "printable",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_errors_say_what_is_wrong(stub, photos, what):
    break_it, code, why, text = BROKEN[what]
    data = photos["rocket.jpg"].read_bytes()
    request = pb.ModelInferRequest(
        model_name=MODEL, raw_input_contents=[len(data).to_bytes(4, "little") + data]
    )
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    assert stub.ModelInfer(request).outputs[0].name == "global_avg"
    break_it(request)
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request)
    assert error.value.code().name == code
    assert reason(error.value) == why
    assert text in error.value.details()


def test_calls_through_reflection(server, photos):
    """As grpcurl makes them: the messages come from the server itself."""
    from google.protobuf import descriptor_pool, message_factory
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    with grpc.insecure_channel(server.target) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName("inference.GRPCInferenceService")
        method = service.FindMethodByName("ModelInfer")
        request = message_factory.GetMessageClass(method.input_type)(model_name=MODEL)
        answer = message_factory.GetMessageClass(method.output_type)
        request.inputs.add(
            name="image", datatype="BYTES", shape=[1]
        ).contents.bytes_contents.append(photos["cat.png"].read_bytes())
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        reply = call(request, timeout=30)
    assert reply.outputs[0].name == "global_avg" and list(reply.outputs[0].shape) == [1, 1280]


def test_calls_that_are_not_served_say_so(infer_client):
    with pytest.raises(InferenceServerException) as error:
        infer_client.get_log_settings()
    assert "UNIMPLEMENTED" in error.value.status()


def test_async_calls(infer_client, photos):
    names = [n for n in photos] * 3
    done: queue.Queue = queue.Queue()
    for i, name in enumerate(names):
        infer_client.async_infer(
            MODEL,
            [files(photos[name])],
            lambda result, error: done.put((result, error)),
            request_id=str(i),
        )
    got = {}
    for _ in names:
        result, error = done.get(timeout=60)
        assert error is None, error
        got[int(result.get_response().id)] = result.as_numpy("global_avg")
    for i, name in enumerate(names):
        np.testing.assert_allclose(
            got[i],
            infer_client.infer(MODEL, [files(photos[name])]).as_numpy("global_avg"),
            rtol=2e-4,
            atol=2e-5,
        )


def test_streams_answer_in_order_and_survive_bad_requests(server, photos):
    """40 requests, more than the server takes at a time, of which some are bad."""
    done: queue.Queue = queue.Queue()
    names = list(photos)
    with triton.InferenceServerClient(server.target) as client:
        client.start_stream(lambda result, error: done.put((result, error)))
        for i in range(40):
            source = b"no picture" if i % 7 == 3 else photos[names[i % len(names)]]
            client.async_stream_infer(MODEL, [files(source)], request_id=str(i))
        answers = [done.get(timeout=60) for _ in range(40)]
        client.stop_stream()
    alone = {}
    for i, (result, error) in enumerate(answers):
        if i % 7 == 3:
            assert "IMAGE_UNSUPPORTED_FORMAT" in str(error), i
            continue
        assert error is None and result.get_response().id == str(i)
        vector = result.as_numpy("global_avg")
        np.testing.assert_allclose(
            vector, alone.setdefault(names[i % len(names)], vector), rtol=2e-4, atol=2e-5
        )
    assert len({v.tobytes() for v in alone.values()}) == len(names)


def test_cancelled_calls_and_streams_leave_the_server_well(server, infer_client, photos):
    big = np.random.default_rng(0).integers(0, 256, (16, 700, 700, 3), np.uint8)
    done = threading.Event()
    call = infer_client.async_infer(MODEL, [pixels(big)], lambda result, error: done.set())
    call.cancel()
    assert done.wait(30)
    with triton.InferenceServerClient(server.target) as client:
        client.start_stream(lambda result, error: None)
        for _ in range(8):
            client.async_stream_infer(MODEL, [pixels(big)])
        client.stop_stream(cancel_requests=True)
    assert infer_client.infer(MODEL, [files(photos["cat.png"])]).as_numpy("global_avg").shape == (
        1,
        1280,
    )


def test_statistics_count_this_protocols_requests(start_server, photos):
    with triton.InferenceServerClient(start_server().target) as client:
        client.infer(MODEL, [files(photos["cat.png"], photos["coffee.png"])])
        client.infer(MODEL, [files(photos["cat.png"])])
        with pytest.raises(InferenceServerException):
            client.infer(MODEL, [files(b"no picture")])
        (row,) = client.get_inference_statistics(MODEL).model_stats
        assert (row.name, row.version, row.inference_count) == (MODEL, "1", 3)
        stats = row.inference_stats
        assert (stats.success.count, stats.fail.count) == (2, 1)
        for stage in (stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output):
            assert stage.count == 2 and 0 < stage.ns < stats.success.ns
        assert row.last_inference > 1_600_000_000_000
        with pytest.raises(InferenceServerException):
            client.get_inference_statistics("nope")


def test_readiness_ends_when_the_drain_begins(start_server):
    server = start_server("--drain-delay-ms", "3000")
    with triton.InferenceServerClient(server.target) as client:
        assert client.is_server_ready()
        server.signal()
        for _ in range(100):
            if not client.is_server_ready():
                break
            time.sleep(0.02)
        assert client.is_server_live() and not client.is_server_ready()
