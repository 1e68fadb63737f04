"""Sentences that list the image formats list those that the server decodes."""

import re

import pytest

from project_tree import ROOT, project_files

SENTENCE = re.compile(r"JPEG(?:(?:, (?:or |and )?| or | and )[A-Z]\w*)+")
# Where a line of prose goes on: comments and literals of C++ included.
NEXT_LINE = re.compile(r' *"?\s*\n\s*(?://|#|")?\s*')
SUFFIXES = {".md", ".proto", ".h", ".cc", ".py"}
# Of what is past, and of pictures that are made.
OTHERS = {"CHANGELOG.md", "deploy", "tests"}
# Where users look for what they may send.
PLACES = {
    "README.md",
    "client/python/pixpool/_client.py",
    "docs/kserve.md",
    "docs/python.md",
    "proto/inference/grpc_service.proto",
    "proto/pixpool/v1/feature_service.proto",
    "server/kserve/request.cc",
}


def lists_in(text):
    """What each sentence lists, after "JPEG, PNG or WebP"."""
    return [
        set(re.split(r", (?:or |and )?| or | and ", found[0]))
        for found in SENTENCE.finditer(NEXT_LINE.sub(" ", text))
    ]


def titles():
    """Of the server's codecs."""
    sources = sorted((ROOT / "server/image").glob("*.cc"))
    found = [re.findall(r'\.title = "([^"]+)"', source.read_text()) for source in sources]
    return {title for of_file in found for title in of_file}


def names():
    """Of the formats, as errors and metrics have them."""
    source = (ROOT / "server/image/decode.h").read_text()
    return set(re.findall(r'case ImageFormat::k\w+:\s+return "(\w+)"', source))


def test_a_title_is_its_formats_name_for_people():
    assert {title.lower() for title in titles()} == names()


def test_sentences_list_all_formats_and_no_other():
    seen = set()
    for path in project_files():
        if path.suffix not in SUFFIXES or path.parts[0] in OTHERS:
            continue
        for listed in lists_in((ROOT / path).read_text(encoding="utf-8")):
            seen.add(str(path))
            assert listed == titles(), f"{path} lists {', '.join(sorted(listed))}"
    assert PLACES - seen == set()


def test_pillow_is_the_reference_of_every_format():
    """The formats of the test that compares decoded pictures with Pillow's."""
    source = (ROOT / "tests/heads/test_pixels.py").read_text(encoding="utf-8")
    (kinds,) = re.findall(r'parametrize\("kind, least", \[(.*?)\]\)', source)
    assert set(re.findall(r'\("(\w+)", \d+\)', kinds)) == names() | {"exif"}


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("a JPEG, PNG or WebP file", {"JPEG", "PNG", "WebP"}),
        ("takes JPEG, PNG, WebP or raw pixels", {"JPEG", "PNG", "WebP"}),
        ("// of JPEG, PNG\n  // and WebP.", {"JPEG", "PNG", "WebP"}),
        ('"a JPEG, PNG "\n    "or AVIF"', {"JPEG", "PNG", "AVIF"}),
        ("a JPEG or GIF", {"JPEG", "GIF"}),
    ],
)
def test_lists_are_found(text, listed):
    assert lists_in(text) == [listed]
