"""What is made from the server's table of heads is up to date, and the proto's comments agree."""

import json
import re
import sys

import pytest

from project_tree import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import make_heads  # noqa: E402

HEADS = json.loads(make_heads.JSON.read_text())
PROTO = (ROOT / "proto/pixpool/v1/feature_service.proto").read_text()


@pytest.mark.parametrize("name", make_heads.generated(HEADS))
def test_generated_files_are_up_to_date(name):
    wanted = make_heads.generated(HEADS)[name]
    assert (ROOT / name).read_text() == wanted, "run: scripts/py scripts/make_heads.py"


def test_a_change_of_the_table_shows_everywhere():
    changed = json.loads(json.dumps(HEADS))
    gem = next(head for head in changed if head["name"] == "gem")
    gem["use"] = "something else"
    gem["parameters"][0]["range"] = "(0, 99]"
    before, after = make_heads.generated(HEADS), make_heads.generated(changed)
    assert all(before[name] != after[name] for name in before)


def comments_of(head):
    """Field -> its comment, in the message of a head of the proto."""
    body = re.search(rf"^message {make_heads.class_name(head)} {{(.*?)^}}", PROTO, re.S | re.M)[1]
    found = re.findall(r"((?: *//.*\n)+) *(?:optional |repeated )?[\w.]+ (\w+) = \d+", body)
    return {name: " ".join(re.sub(r"\s*//\s?", " ", text).split()) for text, name in found}


@pytest.mark.parametrize(
    "head", [head for head in HEADS if head["parameters"]], ids=lambda head: head["name"]
)
def test_comments_of_the_proto_state_the_default(head):
    comments = comments_of(head["name"])
    assert list(comments) == [parameter["name"] for parameter in head["parameters"]]
    for parameter in head["parameters"]:
        default = make_heads.default_of(parameter)
        if default is None or parameter["default"] is None:
            continue
        said = re.search(r"Default: ([^.]*(?:\.\d+)?)", comments[parameter["name"]])
        assert said, comments[parameter["name"]]
        value = said[1].strip()
        if parameter["type"] == "enum":
            value = value.lower()
            value = default if value.endswith(default) else value
        assert value == default, (
            f"feature_service.proto says {value!r} is the default of {head['name']}."
            f"{parameter['name']}, the server's table {default!r}: mend the comment"
        )


@pytest.mark.parametrize(
    "head", [head for head in HEADS if head["parameters"]], ids=lambda head: head["name"]
)
def test_comments_of_the_proto_state_the_range(head):
    """Both bounds of a number stand in its comment, save those of 32 bits, and half the kernel."""
    comments = comments_of(head["name"])
    for parameter in head["parameters"]:
        if parameter["type"] not in ("int", "float", "int_list"):
            continue
        low, high = re.match(r"[\[(](\S+), ([^\])]+)[\])]", parameter["range"]).groups()
        unsaid = ("-2147483648", "2147483647") + (
            ("512",) if parameter["name"] == "padding" else ()
        )
        said = re.findall(r"-?\d+(?:\.\d+)?", comments[parameter["name"]])
        for bound in (low, high):
            assert bound in said or bound in unsaid, (head["name"], parameter["name"], bound)
