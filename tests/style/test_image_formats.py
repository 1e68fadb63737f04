"""What is said of the image formats elsewhere is true of those that the server decodes."""

import re
import sys

import pytest

from image_formats import codecs, listed, names, titles
from project_tree import ROOT, project_files

sys.path.insert(0, str(ROOT / "tests/support"))
import make_images  # noqa: E402
import mutants  # noqa: E402

SENTENCE = re.compile(r"JPEG(?:(?:, (?:or |and )?| or | and )[A-Z]\w*)+")
# Where a line of prose goes on: comments and literals of C++ included.
NEXT_LINE = re.compile(r' *"?\s*\n\s*(?://|#|")?\s*')
SUFFIXES = {".md", ".proto", ".h", ".cc", ".py"}
# Of what is past, and of pictures that are made.
OTHERS = {"CHANGELOG.md", "deploy", "tests"}


def lists_in(text):
    """What each sentence lists, after "JPEG, PNG or WebP"."""
    return [
        set(re.split(r", (?:or |and )?| or | and ", found[0]))
        for found in SENTENCE.finditer(NEXT_LINE.sub(" ", text))
    ]


def test_the_list_is_that_of_the_codecs():
    assert sorted(entry.lower() for entry in listed()) == sorted(name for name, _ in codecs())


def test_a_title_is_its_formats_name_for_people():
    assert {title.lower() for title in titles()} == names()


def test_the_readme_lists_all_formats_and_no_other_file_does():
    """Others say "a format that the server decodes", which stays true."""
    places = []
    for path in project_files():
        if path.suffix not in SUFFIXES or path.parts[0] in OTHERS:
            continue
        for found in lists_in((ROOT / path).read_text(encoding="utf-8")):
            places.append(str(path))
            assert found == titles(), f"{path} lists {', '.join(sorted(found))}"
    assert places == ["README.md"]


def test_the_changelog_has_every_format():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {title for title in titles() if not re.search(rf"\b{title}\b", changes)} == set()


def test_pictures_are_made_of_every_format():
    """For the unit tests, and for the test that compares decoded pictures with Pillow's."""
    assert set(make_images.FORMATS) == names()


def test_every_format_is_held_against_pillow():
    assert set(mutants.BASES) == set(mutants.PARTS) == names()


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
