"""The rules on .proto files hold, and break when they should."""

import pytest

import proto_style

GOOD = """\
syntax = "proto3";

package pixpool.v1;

import "google/api/field_behavior.proto";

// Does something.
service ThingService {
  // Finds things.
  rpc FindThings(FindThingsRequest) returns (FindThingsResponse);
}

// Request of ThingService.FindThings.
message FindThingsRequest {
  // Names of things.
  repeated string names = 1 [(google.api.field_behavior) = REQUIRED];

  // More of it.
  Filter filter = 2 [(google.api.field_behavior) = OPTIONAL];
}

// Response of ThingService.FindThings.
message FindThingsResponse {
  // Extents of the values.
  repeated int64 shape = 1;
}

// Filter of a request.
message Filter {
  // What is looked at; exactly one must be set.
  oneof kind {
    // Colour.
    Color color = 1 [(google.api.field_behavior) = OPTIONAL];
  }

  // Largest count. Default: 3.
  optional int32 max_count = 2 [(google.api.field_behavior) = OPTIONAL];
}

// A colour. Values may be added.
enum Color {
  // Any.
  COLOR_UNSPECIFIED = 0;

  // Red.
  COLOR_RED = 1;
}
"""


def check(folder, text, name="pixpool/v1/thing_service.proto"):
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return proto_style.check_protos(folder)


def test_tree():
    problems = proto_style.check_protos()
    assert not problems, "\n" + "\n".join(problems)


def test_good_file_passes(tmp_path):
    assert check(tmp_path, GOOD) == []


REQUIRED = " [(google.api.field_behavior) = REQUIRED]"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("// Does something.\n", "", "ThingService has no comment"),
        ("  // Finds things.\n", "", "FindThings has no comment"),
        ("// Filter of a request.\n", "", "Filter has no comment"),
        ("  // Names of things.\n", "", "FindThingsRequest.names has no comment"),
        (
            "  // What is looked at; exactly one must be set.\n",
            "",
            "oneof Filter.kind has no comment",
        ),
        ("// A colour. Values may be added.\n", "", "Color has no comment"),
        ("  // Red.\n", "", "COLOR_RED has no comment"),
        ("// Names of things.", "// Names of things", "is not a sentence"),
        (
            "package pixpool.v1;",
            "package pixpool.v2;",
            "package pixpool.v2 is not the folder pixpool/v1",
        ),
        ("COLOR_UNSPECIFIED = 0", "COLOR_NONE = 0", "is not COLOR_UNSPECIFIED = 0"),
        ("COLOR_RED", "RED", "RED does not start with COLOR_"),
        ("names = 1", "thingNames = 1", "is not in lower_snake_case"),
        ("names = 1", "name = 1", "FindThingsRequest.name is repeated and not in the plural"),
        ("names = 1", "names_of_things = 1", "has the preposition 'of' in its name"),
        ("int32 max_count", "uint32 max_count", "Filter.max_count is unsigned"),
        ("names = 1" + REQUIRED, "names = 1", "FindThingsRequest.names is part of a request"),
        (
            "max_count = 2 [(google.api.field_behavior) = OPTIONAL]",
            "max_count = 2",
            "Filter.max_count is part of",
        ),
        ("FindThingsRequest", "FindRequest", "not its own FindThingsRequest"),
        ("FindThingsResponse", "Things", "not its own FindThingsResponse"),
        ("rpc FindThings(", "rpc FindThingsAsync(", "without Async"),
        ("service ThingService", "service Things", "is not named SomethingService"),
        ("message Filter {", "message filter {", "message filter is not in UpperCamelCase"),
    ],
)
def test_breach_is_found(tmp_path, old, new, complaint):
    assert old in GOOD
    text = GOOD.replace(old, new)
    if new == "message filter {":
        text = text.replace("  Filter filter", "  filter filter")
    assert any(complaint in problem for problem in check(tmp_path, text))


def test_enum_before_messages_is_found(tmp_path):
    head, messages = GOOD.split("// Request of", 1)
    messages, enum = ("// Request of" + messages).split("// A colour.", 1)
    problems = check(tmp_path, head + "// A colour." + enum + messages)
    assert len(problems) == 1 and "services come first" in problems[0]


def test_any_is_found(tmp_path):
    text = GOOD.replace(
        'field_behavior.proto";', 'field_behavior.proto";\nimport "google/protobuf/any.proto";'
    )
    problems = check(tmp_path, text.replace("Filter filter", "google.protobuf.Any filter"))
    assert len(problems) == 1 and "use a oneof" in problems[0]


def test_file_named_after_its_version_is_found(tmp_path):
    assert "not named after its API" in check(tmp_path, GOOD, "pixpool/v1/v1.proto")[0]


def test_exceptions_are_used():
    """Every name in the list of exceptions is a repeated field of ours."""
    root = proto_style.ROOT / "proto"
    files = proto_style.describe(
        root, [str(p.relative_to(root)) for p in (root / "pixpool").rglob("*.proto")]
    )
    names = {
        field.name
        for file in files
        for _, message in proto_style.index_messages(file).values()
        for field in message.field
        if field.label == proto_style.Field.LABEL_REPEATED
    }
    assert set(proto_style.SINGULAR) <= names
