"""The response cache: never a wrong answer, whatever is asked; whose answers are whose; versions
that change; every door to the same answers.
"""

from __future__ import annotations

import io
import random
import signal

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from exposition import total
from server_fixtures import run_script
from tiny_models import PICTURE, wait_for
from triton_tensors import files, outputs

CACHE = ("--response-cache-bytes", "16MiB")


def file(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def pictures() -> list[bytes | np.ndarray]:
    """Files and raw pixels, some of them nearly the same, one damaged and one broken."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    near = noise.copy()
    near[20, 30, 1] ^= 1
    alpha = np.dstack([noise, np.full((48, 64), 100, np.uint8)])
    png = file(noise)
    encoded = [png, file(near), file(alpha), file(noise, "JPEG"), png[:-12], png[: len(png) // 2]]
    return [noise, noise.reshape(64, 48, 3), near, *encoded]


class Requests:
    """Random requests over whatever fields the API's messages have."""

    def __init__(self, client, seed: int) -> None:
        self.client = client
        self.random = random.Random(seed)
        self.images = [client.image(picture) for picture in pictures()]

    def one(self):
        pb, rng = self.client.pb, self.random
        request = pb.ExtractFeaturesRequest()
        for _ in range(rng.choice((1, 1, 2))):
            image = request.images.add()
            image.CopyFrom(rng.choice(self.images))
            for _ in range(rng.choice((0, 0, 0, 1, 2))):
                left, top = rng.choice((0, 0.25)), rng.choice((0, 0.5))
                image.regions.add(left=left, top=top, right=0.75, bottom=1, relative=True)
        kinds = pb.Head.DESCRIPTOR.oneofs_by_name["kind"].fields
        for _ in range(rng.choice((0, 1, 2))):
            head = request.heads.add()
            getattr(head, rng.choice(kinds).name).SetInParent()
            self.fill(head, 0.1)
        self.fill(request.input_options, 0.15)
        if rng.random() < 0.3:
            self.fill(request.region_options, 0.3)
        return request

    def changed(self, request):
        """The same but for one field of a message in it, or its first picture."""
        other = type(request)()
        other.CopyFrom(request)
        inner = [getattr(head, head.WhichOneof("kind")) for head in other.heads]
        message = self.random.choice(
            [None, other.input_options, other.region_options, *other.heads, *inner]
        )
        if message is None or not message.DESCRIPTOR.fields:
            regions = list(other.images[0].regions)
            other.images[0].CopyFrom(self.random.choice(self.images))
            other.images[0].regions.extend(regions)
        else:
            self.set(message, self.random.choice(message.DESCRIPTOR.fields))
        return other

    def fill(self, message, share: float) -> None:
        for field in message.DESCRIPTOR.fields:
            one_of = field.containing_oneof
            if one_of is not None and one_of.name == "kind":
                if message.WhichOneof("kind") == field.name:
                    self.fill(getattr(message, field.name), 0.5)
            elif self.random.random() < share:
                self.set(message, field)

    def set(self, message, field: FieldDescriptor) -> None:
        """Gives a field a value that may do."""
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_MESSAGE:
            value = getattr(message, field.name)
            value.SetInParent()
            return self.fill(value, 0.5)
        values = {
            FieldDescriptor.CPPTYPE_BOOL: (False, True),
            FieldDescriptor.CPPTYPE_INT32: (0, 1, 2, 3, 16, 32, 40),
            FieldDescriptor.CPPTYPE_FLOAT: (0.3, 0.5, 1.0, 1.5, 3.0),
            FieldDescriptor.CPPTYPE_STRING: ("", "pixels", "name"),
        }
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            choices = tuple(v.number for v in field.enum_type.values)
        else:
            choices = values[kind]
        if hasattr(getattr(message, field.name), "extend"):
            count = self.random.choice((1, 1, 2))
            del getattr(message, field.name)[:]
            getattr(message, field.name).extend(self.random.sample(choices, count))
        else:
            setattr(message, field.name, self.random.choice(choices))


def in_order(status: status_pb2.Status) -> status_pb2.Status:
    """With the map in its details in one order, which a server does not keep."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            detail.Pack(info, deterministic=True)
    return status


def answer(client, request) -> tuple[bytes, list[bool]]:
    """All of an answer, or of an error, but the times; and which images came from the cache."""
    try:
        response = client.stub.ExtractFeatures(request, timeout=60)
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        return in_order(status_pb2.Status.FromString(details)).SerializeToString(), []
    response.ClearField("stage_times")
    cached = []
    for result in response.results:
        if result.WhichOneof("outcome") == "features":
            cached.append(result.features.cached)
            result.features.ClearField("stage_times")
            result.features.ClearField("cached")
        else:
            in_order(result.status)
    return response.SerializeToString(deterministic=True), cached


def test_no_answer_is_another_ones(start_server, api, tmp_path):
    # A network that gives its input back, so that answers are the same bit for bit from server to
    # server, and tell pictures apart that differ in one bit.
    run_script("make_pixels_bundle.py", tmp_path)
    flags = ("--default-model", "pixels-bicubic")
    plain = api.client(start_server(*flags, models=tmp_path).target)
    server = start_server(*flags, *CACHE, models=tmp_path)
    cached = api.client(server.target)
    requests = Requests(plain, seed=11)
    good = hits = 0
    for _ in range(150):
        request = requests.one()
        for asked in (request, requests.changed(request), requests.changed(request), request):
            want, none = answer(plain, asked)
            got, hit = answer(cached, asked)
            assert got == want, asked
            assert not any(none)
            good += len(hit)
            hits += sum(hit)
        again, hit = answer(cached, request)
        assert again == want and all(hit), request  # every good image, at the latest now
    assert good > 200 and hits > 50, (good, hits)
    assert total(server, "pixpool_response_cache_images_total", outcome="hit") > hits
    assert 0 < total(server, "pixpool_response_cache_bytes") <= 16 << 20
    lines = [line for line in server.lines("request") if "cached_images" in line]
    assert lines and all(line["cached_images"] >= 1 for line in lines)


def ask(client, caller: str | None = None, **fields):
    """The features of one picture."""
    request = client.pb.ExtractFeaturesRequest(images=[client.image(PICTURE)], **fields)
    metadata = [("pixpool-caller", caller)] if caller else None
    response = client.stub.ExtractFeatures(request, metadata=metadata, timeout=60)
    return response.results[0].features


@pytest.mark.parametrize("shared", [False, True])
def test_answers_belong_to_their_caller_unless_told(start_server, api, models, shared):
    flags = [*CACHE, "--caller-header", "pixpool-caller"]
    if shared:
        flags.append("--response-cache-shared")
    client = api.client(start_server(*flags, models=models.root).target)
    assert not ask(client, "one").cached
    assert ask(client, "one").cached
    for other in ("two", None):
        assert ask(client, other).cached == shared
    assert ask(client, "two").cached


def test_a_version_that_changes_has_its_own_answers(start_server, api, models):
    models.put(2)
    models.set(default="1", aliases={"stable": "1"})
    server = start_server(*CACHE, models=models.root)
    client = api.client(server.target)

    def values(**fields) -> tuple[list[float], bool]:
        features = ask(client, **fields)
        return list(features.head_results[0].values), features.cached

    def look() -> None:
        before = len(server.lines("models_looked_at"))
        server.signal(signal.SIGHUP)
        wait_for(lambda: server.lines("models_looked_at")[before:], server.log())

    first, _ = values()
    assert values(model_version="stable") == (first, True)
    second, cached = values(model_version="2")
    assert second != first and not cached
    models.set(default="2", aliases={"stable": "2"})
    look()
    assert values() == (second, True) == values(model_version="stable")
    models.put(2, seed=7)  # the same version with other weights
    look()
    third, cached = values()
    assert third not in (first, second) and not cached
    wait_for(
        lambda: total(server, "pixpool_response_cache_entries") == 2,
        "the answers of the old load are dropped",
    )
    assert values() == (third, True)
    assert values(model_version="1") == (first, True)


def test_streams_and_the_open_inference_protocol_share_them(start_server, api, models):
    server = start_server(*CACHE, models=models.root)
    client = api.client(server.target)
    picture = file(PICTURE)
    head = client.head("gem:p=2.5,layer=early,l2")
    request = client.pb.ExtractFeaturesRequest(images=[client.image(picture)], heads=[head])
    want, cached = answer(client, request)
    assert cached == [False]
    config = client.pb.StreamConfig(heads=[head])
    message = client.pb.StreamFeaturesRequest(config=config, image=client.image(picture))
    (reply,) = client.stub.StreamFeatures(iter([message]), timeout=60)
    assert reply.result.features.cached
    with triton.InferenceServerClient(server.target) as other:
        result = other.infer(
            "tiny", [files(picture)], outputs=outputs("gem:p=2.5,layer=early,l2")
        ).get_response()
    assert result.parameters["cached_images"].int64_param == 1
    values = client.pb.ExtractFeaturesResponse.FromString(want).results[0].features.head_results[0]
    assert result.raw_output_contents[0] == np.float32(values.values).tobytes()
    assert total(server, "pixpool_response_cache_images_total") == 3


def test_it_is_off_unless_asked_for(start_server, api, models):
    server = start_server(models=models.root)
    client = api.client(server.target)
    assert [ask(client).cached for _ in range(3)] == [False] * 3
    assert total(server, "pixpool_response_cache_images_total") == 0
    assert total(server, "pixpool_response_cache_capacity_bytes") == 0


def test_the_memory_of_the_process_counts_it(start_server, models):
    # More than there is: said before it serves, with the option.
    flags = ("--max-memory", "600MiB", "--response-cache-bytes", "500MiB")
    server = start_server(*flags, models=models.root, wait=False)
    assert server.process.wait(60) != 0
    assert "--response-cache-bytes" in server.log()
    fits = start_server(
        "--max-memory", "2GiB", "--response-cache-bytes", "100MiB", models=models.root
    )
    line = fits.lines("memory")[0]
    assert line["response_cache"] == 100 << 20
