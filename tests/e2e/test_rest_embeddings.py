"""OpenAI's form of embeddings, with its client as published."""

from __future__ import annotations

import base64
import json

import numpy as np
import openai
import pytest

from raw_http import RawHttp, request
from server_process import free_port

MODEL = "efficientnet-lite0"
PATH = "/v1/embeddings"


@pytest.fixture(scope="module", name="door")
def door_fixture(start_server):
    address = f"127.0.0.1:{free_port()}"
    server = start_server("--rest-listen", address)
    server.rest = address
    return server


@pytest.fixture(scope="module", name="openai_client")
def openai_client_fixture(door):
    with openai.OpenAI(
        base_url=f"http://{door.rest}/v1", api_key="unused", max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="module", name="uri")
def uri_fixture(photos):
    data = base64.b64encode(photos["cat_92.jpg"].read_bytes()).decode()
    return f"data:image/jpeg;base64,{data}"


def features(api, door, photos, head: str):
    client = api.client(door.target)
    head = client.head(head)
    image = api.pb.Image(encoded=photos["cat_92.jpg"].read_bytes())
    request = api.pb.ExtractFeaturesRequest(images=[image], heads=[head])
    return client.stub.ExtractFeatures(request).results[0].features.head_results[0]


@pytest.mark.parametrize(("model", "head"), [(MODEL, "global_avg:l2"), (f"{MODEL}/gem:p=4", None)])
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_vectors_are_those_of_grpc(api, door, photos, openai_client, uri, model, head, encoding):
    how = {"encoding_format": encoding} if encoding else {}
    answer = openai_client.embeddings.create(model=model, input=[uri, uri], user="me", **how)
    wanted = features(api, door, photos, head or "gem:p=4")
    assert answer.model == model and answer.space_id == wanted.space_id
    assert [one.index for one in answer.data] == [0, 1]
    for one in answer.data:
        found = one.embedding
        if isinstance(found, str):  # of a client that was told base64
            found = np.frombuffer(base64.b64decode(found), "<f4")
        assert np.array_equal(np.float32(found), np.float32(wanted.values))


def test_other_forms_of_a_picture(door, uri):
    bodies = [
        {"input": uri},
        {"input": {"image": uri}},
        {"input": [{"image": uri.partition(",")[2]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}]}
            ]
        },
    ]
    vectors = []
    with RawHttp(door.rest) as connection:
        for body in bodies:
            data = json.dumps(body | {"model": MODEL}).encode()
            connection.send(request("POST", PATH, data, "Content-Type: application/json"))
            reply = connection.reply()
            assert reply.status == 200, reply.body
            vectors.append(reply.json()["data"][0]["embedding"])
    assert all(vector == vectors[0] for vector in vectors)
    assert abs(np.linalg.norm(vectors[0]) - 1) < 1e-5


def test_errors_reach_the_client_as_its_own(openai_client, uri):
    create = openai_client.embeddings.create
    with pytest.raises(openai.NotFoundError) as none:
        create(model="none", input=uri)
    assert none.value.body["reason"] == "MODEL_NOT_FOUND"
    with pytest.raises(openai.UnprocessableEntityError) as head:
        create(model=f"{MODEL}/gemm", input=uri)
    assert head.value.body["field"] == "model"
    with pytest.raises(openai.UnprocessableEntityError) as dimensions:
        create(model=MODEL, input=uri, dimensions=8)
    assert "projection" in dimensions.value.body["detail"]
    with pytest.raises(openai.BadRequestError) as fetched:
        create(model=MODEL, input="https://example.com/cat.jpg")
    assert "fetches nothing" in fetched.value.body["detail"]
    with pytest.raises(openai.BadRequestError) as text:
        create(model=MODEL, input="a text")
    assert "texts are not embedded" in text.value.body["detail"]
    with pytest.raises(openai.BadRequestError) as broken:
        create(model=MODEL, input=[uri, uri[: len(uri) // 20 * 4 + 23]])
    assert broken.value.body["field"] == "input[1]"


def test_a_token_is_the_key(start_server, tmp_path, uri):
    import hashlib

    tokens = tmp_path / "tokens"
    tokens.write_text(f"search {hashlib.sha256(b'sk-secret').hexdigest()}\n")
    address = f"127.0.0.1:{free_port()}"
    start_server("--rest-listen", address, "--tokens", str(tokens))
    for key in ("sk-secret", "sk-wrong"):
        client = openai.OpenAI(base_url=f"http://{address}/v1", api_key=key, max_retries=0)
        if key == "sk-wrong":
            with pytest.raises(openai.AuthenticationError):
                client.embeddings.create(model=MODEL, input=uri)
        else:
            assert client.embeddings.create(model=MODEL, input=uri).data
        client.close()
