"""Models as the clients describe them: every field of the messages, by its name."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle

import pytest
from google.protobuf.descriptor import FieldDescriptor

import pixpool
from pixpool import AsyncClient, Client, ModelInfo, PixpoolError
from pixpool.v1 import feature_service_pb2 as pb

# The dataclass of each message.
CLASSES = {
    "Model": pixpool.ModelInfo,
    "InputRecipe": pixpool.InputRecipe,
    "InputSize": pixpool.InputSize,
    "Layer": pixpool.Layer,
    "HeadType": pixpool.HeadType,
    "HeadParameter": pixpool.HeadParameter,
    "Limits": pixpool.Limits,
    "Projection": pixpool.Projection,
    "ConvFilter": pixpool.ConvFilter,
    "Vector": pixpool.Vector,
}


def filled(descriptor, number=1):
    """A message with another value in every field, two in every list."""
    message = getattr(pb, descriptor.name)()
    for field in descriptor.fields:
        number += 1
        if field.message_type is not None:
            values = [filled(field.message_type, 7 * number + i) for i in (1, 2)]
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            values = [f"{field.name} {number}", f"{field.name} again"]
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            values = [True]
        elif field.enum_type is not None:
            values = [2]
        elif field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
            values = [number + 0.5, number + 0.25]
        else:
            values = [number, number + 1]
        if field.is_repeated:
            getattr(message, field.name).extend(values)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(values[0])
        else:
            setattr(message, field.name, values[0])
    return message


def check(info, message):
    """Every field of the message is in the dataclass under its name, and nothing else is."""
    assert type(info) is CLASSES[message.DESCRIPTOR.name]
    names = {field.name for field in message.DESCRIPTOR.fields}
    assert {f.name for f in dataclasses.fields(info)} - {"message"} == names
    for field in message.DESCRIPTOR.fields:
        got, wanted = getattr(info, field.name), getattr(message, field.name)
        if field.enum_type is not None:
            assert got == field.enum_type.values_by_number[wanted].name.lower().removeprefix(
                field.enum_type.values[0].name.lower().removesuffix("unspecified")
            )
        elif field.message_type is not None:
            several = field.is_repeated
            assert not several or isinstance(got, tuple) and len(got) == len(wanted)
            for one, other in zip(got, wanted, strict=True) if several else [(got, wanted)]:
                check(one, other)
        else:
            assert got == (tuple(wanted) if field.is_repeated else wanted), field.name


@pytest.fixture
def served(serve):
    server = serve()
    server.script.models = [filled(pb.Model.DESCRIPTOR), pb.Model(name="empty", version="1")]
    return server


def test_models_have_every_field_of_the_message(served):
    with Client(served.target) as client:
        first, empty = client.models()
        assert client.model() == first and client.model("empty") == empty
        with pytest.raises(PixpoolError, match="MODEL_NOT_FOUND"):
            client.model("nope")
    check(first, served.script.models[0])
    assert first.message == served.script.models[0]
    assert first.state == "ready" and first.input_recipe.resize == "exact"
    assert empty.layers == () and empty.labels == () and empty.limits.max_image_bytes == 0


def test_the_client_for_asyncio_gives_the_same(served):
    async def work():
        async with AsyncClient(served.target) as client:
            return await client.models(), await client.model(), await client.model("empty")

    listed, first, empty = asyncio.run(work())
    assert listed == [first, empty]
    check(first, served.script.models[0])


def test_models_are_values(served):
    with Client(served.target) as client:
        first, empty = client.models()
        again = client.model()
    assert first == again and hash(first) == hash(again) and first != empty
    assert pickle.loads(pickle.dumps(first)) == first
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.name = "other"


def test_a_state_that_this_client_does_not_know(served):
    served.script.models = [pb.Model(name="a", state=77)]
    with Client(served.target) as client:
        assert client.model().state == "77"


def test_models_show_briefly(served):
    served.script.models[0].labels.extend(["<b>label</b>" * 10] * 5000)
    served.script.models[0].layers[0].name = "<script>"
    with Client(served.target) as client:
        model: ModelInfo = client.model()
    assert repr(model).startswith(f"<ModelInfo {model.name}/{model.version}, ready: ")
    assert len(repr(model)) < 500
    page = model._repr_html_()
    assert len(page) < 2000 and "&lt;script&gt;" in page and "<script>" not in page
    assert page.count("<tr>") == 3  # a line per layer below the titles
