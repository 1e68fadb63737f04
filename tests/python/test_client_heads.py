"""Heads and input options as texts and objects: each kind and field of the API, and what is
refused.
"""

from __future__ import annotations

import dataclasses

import pytest
from google.protobuf.descriptor import FieldDescriptor

from pixpool import InputOptions, heads
from pixpool._head_base import heads_to_proto
from pixpool._head_text import head_kinds, parse_head
from pixpool.heads import Head
from pixpool.v1 import feature_service_pb2 as pb

CLASSES = {c.KIND: c for c in Head.__subclasses__()}
COMMON = {f.name for f in dataclasses.fields(Head)}


def test_there_is_a_class_for_every_kind_and_a_field_for_every_parameter():
    assert list(CLASSES) == head_kinds()
    kinds = {f.name for f in pb.Head.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert {f.name for f in pb.Head.DESCRIPTOR.fields} - kinds == COMMON
    for kind, one in CLASSES.items():
        fields = [f.name for f in dataclasses.fields(one) if f.name not in COMMON]
        assert fields == [
            f.name for f in pb.Head.DESCRIPTOR.fields_by_name[kind].message_type.fields
        ], kind


def test_there_is_an_input_option_for_every_field():
    fields = {f.name for f in pb.InputOptions.DESCRIPTOR.fields}
    renamed = {
        "input_height_px": "input_size",
        "input_width_px": "input_size",
        "resize_size_px": "resize_size",
    }
    assert {renamed.get(name, name) for name in fields} == {
        f.name for f in dataclasses.fields(InputOptions)
    }


def sample(field):
    """A value for a field, as text and as the object takes it."""
    if field.is_repeated:
        return ("3x2", (3, 2)) if field.cpp_type == FieldDescriptor.CPPTYPE_INT32 else ("1", (1.0,))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true", True
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "a", "a"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
        name = field.enum_type.values[2].name.removeprefix(prefix).lower()
        return name, name
    return ("2", 2)


@pytest.mark.parametrize("kind", head_kinds())
def test_texts_and_objects_mean_the_same(kind):
    descriptor = pb.Head.DESCRIPTOR.fields_by_name[kind].message_type
    required = {
        f.name: sample(f)[1]
        for f in descriptor.fields
        if f.name in ("kernel_size", "output_size", "name")
    }
    for field in [
        *descriptor.fields,
        *(pb.Head.DESCRIPTOR.fields_by_name[name] for name in sorted(COMMON)),
    ]:
        text, value = sample(field)
        parts = {name: "x".join(map(str, v)) for name, v in required.items()} | {field.name: text}
        parsed = parse_head(f"{kind}:" + ",".join(f"{n}={v}" for n, v in parts.items()))
        made = CLASSES[kind](**(required | {field.name: value})).to_proto()
        assert parsed == made
        owner = made if field.name in COMMON else getattr(made, kind)
        assert field.name in [f.name for f, _ in owner.ListFields()], field.name


def test_short_forms_and_defaults():
    assert parse_head("gem") == heads.Gem().to_proto() == pb.Head(gem=pb.Gem())
    assert not parse_head("gem").gem.HasField("p")  # the server's default, not ours
    assert parse_head(" gem : p=3 , l2,id=x ") == pb.Head(
        gem=pb.Gem(p=3), l2_normalized=True, head_id="x"
    )
    assert parse_head("max_pool:kernel_size=3X2").max_pool.kernel_size == [3, 2]
    assert heads.MaxPool(3, stride=2).to_proto().max_pool.stride == [2]
    assert (
        parse_head("class_scores:score_type=LOGITS").class_scores.score_type == pb.SCORE_TYPE_LOGITS
    )
    assert (
        parse_head("class_scores:score_type=score_type_logits").class_scores.score_type
        == pb.SCORE_TYPE_LOGITS
    )
    assert (
        parse_head("conv_pool:mean_filter,relu=no").conv_pool.WhichOneof("filter") == "mean_filter"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no kind ""; kinds are global_avg, global_max'),
        ("head_id", "no kind"),
        ("gem:", "nothing follows the colon"),
        ("gem:q=1", 'no parameter "q"; gem takes p, eps; every head takes head_id'),
        ("global_avg:p=1", "global_avg takes no parameters of its own"),
        ("gem:gem=1", 'no parameter "gem"'),
        ("gem:p=x", '"p" must be a number, not "x"'),
        ("gem:p=nan", "must be a number"),
        ("gem:p=1e39", "must be a number"),
        ("gem:p", '"p" needs a value'),
        ("gem:p=1,p=2", '"p" is given twice'),
        ("gem:l2,l2", '"l2_normalized" is given twice'),
        ("gem:l2=maybe", "must be true or false"),
        ("gem:layer=", "must be a text"),
        ("rmac:levels=2.5", "must be a whole number"),
        ("rmac:levels=3000000000", "must be a whole number"),
        ("max_pool:kernel_size=3x", "a whole number, or several joined by x"),
        ("max_pool:kernel_size=3,kernel_size=3", "given twice"),
        ("class_scores:score_type=odd", "one of softmax, logits"),
        (
            "conv_pool:mean_filter,bundle_filter=a",
            '"bundle_filter" and "mean_filter" exclude each other',
        ),
    ],
)
def test_texts_that_are_no_heads(text, message):
    with pytest.raises(ValueError) as caught:
        parse_head(text)
    assert message in str(caught.value) and f'head "{text}"' in str(caught.value)


def test_objects_of_the_wrong_type():
    with pytest.raises(ValueError, match="head gem: p must be a number, not 'x'"):
        heads.Gem(p="x").to_proto()
    with pytest.raises(ValueError, match="head rmac: levels must be a whole number, not 2.5"):
        heads.Rmac(levels=2.5).to_proto()
    with pytest.raises(
        ValueError, match="input option resize must be one of shorter_side, exact, none"
    ):
        InputOptions(resize="crop").to_proto()
    with pytest.raises(ValueError, match="one of the kinds"):
        Head().to_proto()
    with pytest.raises(TypeError, match="not int"):
        heads_to_proto([3])


def test_heads_in_any_form():
    message = pb.Head(lse=pb.Lse(r=1))
    assert heads_to_proto(None) == []
    assert (
        heads_to_proto("gem")
        == heads_to_proto(heads.Gem())
        == heads_to_proto(["gem"])
        == [parse_head("gem")]
    )
    assert heads_to_proto([message, "lp"]) == [message, parse_head("lp")]
