"""The HTTP API: the same answers as gRPC's, its errors, and who gets in."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import re
import signal
import ssl
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from certificates import Authority
from raw_http import RawHttp, Reply, form, request, requests_counted
from server_process import free_port

PAGE = Path(__file__).resolve().parents[2] / "docs" / "http.md"
JPEG = "Content-Type: image/jpeg"
FEATURES = "/v1/features"
HEADS = ["global_avg", "gem:p=4,l2", "cat_avg_max:layer=stage5", "spatial_pyramid:levels=1x2"]


def with_rest(start_server, *flags: str, **how):
    """A server with the HTTP API, at its attribute `rest`."""
    address = f"127.0.0.1:{free_port()}"
    server = start_server("--rest-listen", address, *flags, **how)
    server.rest = address
    return server


@pytest.fixture(scope="module", name="door")
def door_fixture(start_server):
    return with_rest(start_server)


@pytest.fixture(scope="module", name="grpc_client")
def grpc_client_fixture(api, door):
    return api.client(door.target)


@pytest.fixture(scope="module", name="photo")
def photo_fixture(photos):
    return photos["cat_92.jpg"].read_bytes()


def ask(server, *arguments: bytes) -> Reply:
    with RawHttp(server.rest) as connection:
        return connection.send(b"".join(arguments)).reply()


def post(server, path: str, body: bytes, *fields: str) -> Reply:
    return ask(server, request("POST", path, body, *fields))


def post_form(server, *parts, fields: tuple[str, ...] = ()) -> Reply:
    body, content_type = form(*parts)
    return post(server, FEATURES, body, f"Content-Type: {content_type}", *fields)


def metric(server, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", server.get("/metrics")[1], re.M)
    return float(found[1]) if found else 0


def becomes(condition, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_answers_are_those_of_grpc_bit_for_bit(door, grpc_client, photos):
    files = [photos[name].read_bytes() for name in ("cat_92.jpg", "rocket.jpg")]
    pb = grpc_client.pb
    wanted = grpc_client.stub.ExtractFeatures(
        pb.ExtractFeaturesRequest(
            images=[pb.Image(encoded=file) for file in files],
            heads=[grpc_client.head(text) for text in HEADS],
        )
    )
    reply = post_form(
        door,
        *(("image", file, f"{i}.jpg") for i, file in enumerate(files)),
        *(("head", text) for text in HEADS),
    )
    assert reply.status == 200, reply.body
    assert reply.fields["content-type"] == "application/json"
    answer = reply.json()
    assert answer["model"] == {"name": wanted.model.name, "version": wanted.model.version}
    assert [result["image"] for result in answer["results"]] == ["0.jpg", "1.jpg"]
    for result, other in zip(answer["results"], wanted.results, strict=True):
        assert (result["width_px"], result["height_px"]) == (
            other.features.width_px,
            other.features.height_px,
        )
        for head, same in zip(result["head_results"], other.features.head_results, strict=True):
            assert head["space_id"] == same.space_id and head["shape"] == list(same.shape)
            assert (head["head_id"], head["kind"]) == (same.head_id, same.kind)
            ours = np.array(head["values"], np.float32)
            assert np.array_equal(ours, np.array(same.values, np.float32))


def test_a_body_is_a_picture_and_the_query_its_fields(door, photo):
    reply = post(door, f"{FEATURES}?head=gem%3Ap%3D3%2Cl2&head=class_scores:top_k=2", photo, JPEG)
    assert reply.status == 200, reply.body
    gem, scores = reply.json()["results"][0]["head_results"]
    assert abs(np.linalg.norm(gem["values"]) - 1) < 1e-5
    best = scores["class_scores"][0]
    assert best["label"] and 0 < best["score"] <= 1 and len(scores["class_scores"]) == 2


def test_tensors_by_accept(door, photo):
    parts = [("image", photo, "a.jpg"), ("image", photo, "b.jpg")]
    whole = post_form(door, *parts).json()
    values = np.array([r["head_results"][0]["values"] for r in whole["results"]], np.float32)
    npy = post_form(door, *parts, fields=("Accept: application/x-npy",))
    assert npy.fields["pixpool-space-id"] == whole["results"][0]["head_results"][0]["space_id"]
    assert np.array_equal(np.load(io.BytesIO(npy.body)), values)
    raw = post_form(door, *parts, fields=("Accept: application/octet-stream",))
    assert raw.fields["pixpool-shape"] == "2,1280"
    assert np.array_equal(np.frombuffer(raw.body, "<f4").reshape(2, 1280), values)
    half = post_form(
        door, *parts, ("head", "global_avg:encoding=float16"), fields=("Accept: application/x-npy",)
    )
    assert np.load(io.BytesIO(half.body)).dtype == np.float16
    packed = post_form(door, *parts, ("head", "global_avg:encoding=float16")).json()
    found = packed["results"][1]["head_results"][0]
    assert found["encoding"] == "float16"
    bits = np.frombuffer(base64.b64decode(found["packed_values"]), "<f2")
    assert np.array_equal(bits, np.load(io.BytesIO(half.body))[1])
    two = post_form(
        door, *parts, ("head", "gem"), ("head", "lse"), fields=("Accept: application/x-npy",)
    )
    assert (two.status, two.json()["reason"]) == (422, "HEAD_INVALID")


def test_maps_regions_and_heatmaps(door, grpc_client, photo):
    reply = post_form(
        door, ("image", photo, "a.jpg"), ("head", "gem"), ("box", "10,20,110,220"), ("crop", "none")
    )
    (region,) = reply.json()["results"][0]["regions"]
    pb = grpc_client.pb
    image = pb.Image(encoded=photo)
    image.regions.add(left=10, top=20, right=110, bottom=220)
    options = pb.InputOptions(crop=pb.CROP_MODE_NONE)
    heads = [grpc_client.head("gem")]
    same = grpc_client.stub.ExtractFeatures(
        pb.ExtractFeaturesRequest(images=[image], heads=heads, input_options=options)
    )
    wanted = same.results[0].features.regions[0].head_results[0]
    (head,) = region["head_results"]
    assert head["space_id"] == wanted.space_id and region["box"] == [10, 20, 110, 220]
    assert np.array_equal(np.float32(head["values"]), np.float32(wanted.values))
    heat = post(door, f"{FEATURES}?head=class_activation_map:format=png", photo, JPEG)
    (head,) = heat.json()["results"][0]["head_results"]
    assert base64.b64decode(head["activation_map"]["png"]).startswith(b"\x89PNG")
    assert head["activation_map"]["class_score"]["label"]


def test_one_bad_picture_of_several_fails_alone(door, photo):
    reply = post_form(door, ("image", photo[:100], "bad.jpg"), ("image", photo, "good.jpg"))
    bad, good = reply.json()["results"]
    assert reply.status == 200 and good["head_results"]
    assert (bad["image"], bad["error"]["status"]) == ("bad.jpg", 400)
    assert bad["error"]["reason"] == "IMAGE_UNDECODABLE"


@pytest.mark.parametrize(
    ("path", "body", "field", "status", "reason", "at"),
    [
        (FEATURES, b"\xff\xd8\xff\xe0", JPEG, 400, "IMAGE_UNDECODABLE", None),
        (FEATURES, b"no picture", JPEG, 415, "IMAGE_UNSUPPORTED_FORMAT", None),
        (f"{FEATURES}?head=gem:p=0", None, JPEG, 422, "HEAD_INVALID", "heads[0].gem.p"),
        (f"{FEATURES}?head=gemm", None, JPEG, 422, "HEAD_INVALID", "heads[0]"),
        (f"{FEATURES}?head=gem:layer=x", None, JPEG, 404, "LAYER_NOT_FOUND", "heads[0].layer"),
        (f"{FEATURES}?model=none", None, JPEG, 404, "MODEL_NOT_FOUND", None),
        (f"{FEATURES}?modell=none", None, JPEG, 400, "REQUEST_INVALID", "modell"),
        (FEATURES, b"{}", "Content-Type: application/json", 415, "REQUEST_INVALID", None),
        (FEATURES, b"", JPEG, 415, "IMAGE_UNSUPPORTED_FORMAT", None),
        (f"{FEATURES}?input_height_px=4096", None, JPEG, 413, "LIMIT_EXCEEDED", None),
    ],
)
def test_errors_are_problems_by_one_table(door, photo, path, body, field, status, reason, at):
    reply = post(door, path, photo if body is None else body, field)
    problem = reply.json()
    assert (reply.status, problem["status"], problem["reason"]) == (status, status, reason)
    assert reply.fields["content-type"] == "application/problem+json" and problem["detail"]
    if at:
        assert problem["field"] == at


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Pixpool-Priority: high"], 400),
        (["Grpc-Timeout: soon"], 400),
        (["Grpc-Timeout: 1n"], 504),
        (["Accept: text/html"], 406),
        (["Content-Encoding: gzip"], 415),
        (["Expect: tea"], 417),
        (["Pixpool-Priority: bulk", "Grpc-Timeout: 20S"], 200),
    ],
)
def test_fields_of_the_header(door, photo, fields, status):
    assert post(door, FEATURES, photo, JPEG, *fields).status == status


def test_what_a_form_has_beside_its_pictures_is_bounded(door, photo):
    """It is kept as long as the pictures are, and only those are counted from admission on."""
    body, content_type = form(("image", photo, "a.jpg"))
    for much in (b"x" * (2 << 20) + b"\r\n" + body, body + b"x" * (2 << 20)):
        reply = post(door, FEATURES, much, f"Content-Type: {content_type}")
        assert (reply.status, reply.json()["reason"]) == (413, "LIMIT_EXCEEDED")
        assert "beside its pictures; the limit is 1048576" in reply.json()["detail"]
    assert post(door, FEATURES, body, f"Content-Type: {content_type}").status == 200


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/&", "/v1/models/a+b"])
def test_a_path_names_one_model(door, path):
    assert ask(door, request("GET", path)).status == 404


def test_models_are_those_of_grpc(door, grpc_client):
    from google.protobuf import json_format

    pb = grpc_client.pb
    listed = ask(door, request("GET", "/v1/models"))
    assert listed.status == 200
    wanted = grpc_client.stub.ListModels(pb.ListModelsRequest())
    assert json_format.Parse(listed.body, pb.ListModelsResponse()) == wanted
    name = wanted.models[0].name
    one = ask(door, request("GET", f"/v1/models/{name}"))
    model = grpc_client.stub.GetModel(pb.GetModelRequest(model=name)).model
    assert json_format.Parse(one.body, pb.Model()) == model
    none = ask(door, request("GET", "/v1/models/none"))
    assert (none.status, none.json()["reason"]) == (404, "MODEL_NOT_FOUND")


def test_methods(door):
    with RawHttp(door.rest) as connection:
        connection.send(request("HEAD", "/v1/models") + request("GET", "/v1/models"))
        head, got = connection.reply(to_head=True), connection.reply()
        assert head.status == 200 and int(head.fields["content-length"]) == len(got.body) > 100
        options = connection.send(request("OPTIONS", FEATURES)).reply()
        assert (options.status, options.fields["allow"]) == (204, "POST, OPTIONS")
        for method, path, allowed in [
            ("GET", FEATURES, "POST, OPTIONS"),
            ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
        ]:
            refused = connection.send(request(method, path)).reply()
            assert (refused.status, refused.fields["allow"]) == (405, allowed)
        for path in ("/", "/v1", "/v1/models/a/b", "/v1/features/", "/metrics", "/v1/models/"):
            assert connection.send(request("GET", path)).reply().status == 404


def test_a_connection_serves_one_request_after_the_other(door, photo):
    connection = http.client.HTTPConnection(door.rest, timeout=30)
    bodies = set()
    for _ in range(3):
        connection.request("POST", FEATURES, photo, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        assert answer.status == 200
        bodies.add(answer.read())
    assert len(bodies) == 1
    connection.close()


def test_curl_as_people_type_it(door, photos, tmp_path):
    def curl(*arguments: str) -> str:
        command = ["curl", "-sS", *arguments, f"http://{door.rest}{FEATURES}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    path = photos["cat_92.jpg"]
    answer = json.loads(curl("-F", f"image=@{path}", "-F", "head=gem:p=3,l2"))
    assert len(answer["results"][0]["head_results"][0]["values"]) == 1280
    forgot = json.loads(curl("-F", "image=cat.jpg"))
    assert forgot["status"] == 400 and "image=@" in forgot["detail"]
    plain = json.loads(curl("--data-binary", f"@{path}"))
    assert plain["status"] == 415 and "Content-Type: image/jpeg" in plain["detail"]
    npy = tmp_path / "f.npy"
    curl("-H", "Accept: application/x-npy", "-F", f"image=@{path}", "-o", str(npy))
    assert np.load(npy).shape == (1, 1280)


def test_calls_are_counted_and_logged_as_those_of_grpc(door, photo):
    def counted(*labels: str) -> float:
        return requests_counted(door.get("/metrics")[1], *labels)

    good = ('method="/v1/features"', 'code="OK"', 'model="efficientnet-lite0"')
    before, lines = counted(*good), len(door.lines("request"))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    post(door, f"{FEATURES}?request_id=mine", photo, JPEG, f"traceparent: {trace}")
    assert becomes(lambda: len(door.lines("request")) > lines)
    assert counted(*good) == before + 1
    line = door.lines("request")[-1]
    assert line["method"] == "/v1/features" and line["code"] == "OK"
    assert line["request_id"] == "mine" and line["caller"] == "127.0.0.1"
    assert line["peer"].startswith("ipv4:127.0.0.1:") and line["images"] == 1
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    before = counted('method="/other"')
    ask(door, request("GET", "/no/such/path"))
    assert counted('method="/other"') == before + 1


def test_a_client_that_leaves_ends_its_work(door, photo):
    # Many, so that they are not done before it has left.
    body, content_type = form(*(("image", photo, "a.jpg") for _ in range(32)))
    with RawHttp(door.rest) as connection:
        connection.send(request("POST", FEATURES, body, f"Content-Type: {content_type}"))
        assert becomes(lambda: metric(door, "pixpool_in_flight_requests") > 0)
    assert becomes(lambda: door.lines("request")[-1]["code"] == "CANCELLED")
    assert becomes(lambda: metric(door, "pixpool_in_flight_requests") == 0)


def test_tokens(start_server, photo, tmp_path):
    tokens = tmp_path / "tokens"
    digest = hashlib.sha256(b"secret").hexdigest()
    tokens.write_text(f"search {digest} images-per-second=1\n")
    server = with_rest(start_server, "--tokens", str(tokens))
    for fields in ([], ["Authorization: Bearer wrong"], ["Authorization: Basic secret"]):
        with RawHttp(server.rest) as connection:
            # The body does not come: it is not waited for.
            head = request("POST", FEATURES, None, JPEG, "Content-Length: 9999", *fields)
            reply = connection.send(head).reply()
            assert (reply.status, reply.json()["reason"]) == (401, "TOKEN_INVALID")
            assert reply.fields["www-authenticate"] == "Bearer"
            assert reply.fields["connection"] == "close" and connection.closed()
    assert ask(server, request("GET", "/v1/models")).status == 401
    bearer = "Authorization: Bearer secret"
    assert post(server, FEATURES, photo, JPEG, bearer).status == 200
    assert becomes(lambda: server.lines("request")[-1]["caller"] == "@search")
    shed = post(server, FEATURES, photo, JPEG, bearer)
    assert (shed.status, shed.json()["reason"]) == (429, "QUOTA_EXCEEDED")
    assert int(shed.fields["retry-after"]) >= 1


def test_tls_and_client_certificates(start_server, photo, tmp_path):
    authority = Authority(tmp_path)
    pair, own = authority.issue("server", "server"), authority.issue("client", "client")
    flags = ["--tls-cert", pair.certificate, "--tls-key", pair.key]
    flags += ["--tls-client-ca", authority.certificate]
    server = with_rest(start_server, *map(str, flags))
    port = int(server.rest.rsplit(":", 1)[1])

    def status(*certificate: object) -> int:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        if certificate:
            context.load_cert_chain(*map(str, certificate))
        connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
        connection.request("POST", FEATURES, photo, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        assert len(answer.read()) > 1000
        connection.request("GET", "/v1/models")
        answer = connection.getresponse()
        connection.close()
        return answer.status

    assert status(own.certificate, own.key) == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        status()
    with RawHttp(server.rest) as connection:  # plain text is not for this port
        connection.send(request("GET", "/v1/models"))
        assert b"HTTP/1" not in connection.rest()
    assert status(own.certificate, own.key) == 200


def test_a_drain_finishes_what_is_under_way(start_server):
    server = with_rest(start_server, "--drain-delay-ms", "500")
    noise = np.random.default_rng(1).integers(0, 255, (3000, 4000, 3), np.uint8)
    large = io.BytesIO()
    Image.fromarray(noise).save(large, "JPEG", quality=50)
    body, content_type = form(*(("image", large.getvalue(), "a.jpg") for _ in range(8)))
    with RawHttp(server.rest) as busy, RawHttp(server.rest) as idle:
        idle.send(request("GET", "/v1/models")).reply()
        busy.send(request("POST", FEATURES, body, f"Content-Type: {content_type}"))
        assert becomes(lambda: metric(server, "pixpool_in_flight_requests") > 0)
        server.signal(signal.SIGTERM)
        assert idle.closed()
        reply = busy.reply()
        assert (reply.status, reply.fields["connection"]) == (200, "close")
        assert len(reply.json()["results"]) == 8 and busy.closed()
    assert server.wait() == 0
    with pytest.raises(OSError):
        RawHttp(server.rest)


def shell_blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_page_run(door, photos, tmp_path, monkeypatch, capsys):
    for name, photo in (("cat.jpg", "cat_92.jpg"), ("dog.png", "rocket.jpg")):
        (tmp_path / name).write_bytes(photos[photo].read_bytes())
    blocks = shell_blocks()
    assert len(blocks) >= 4
    for block in blocks:
        script = re.sub(r"\bcurl ", "curl -sS --fail-with-body ", block)
        assert "localhost:8000" in script
        script = "set -e\n" + script.replace("localhost:8000", door.rest)
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (block, done.stdout[:1000], done.stderr)
    python = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(python) == 1 and "localhost:8000" in python[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(python[0].replace("localhost:8000", door.rest), "http.md", "exec"), {})
    assert capsys.readouterr().out.startswith("1280 ")
    assert np.load(tmp_path / "features.npy").shape == (2, 1280)
    assert (tmp_path / "features.f32").stat().st_size == 1280 * 4
