"""The tools take the same files for pictures: those of the formats that the server decodes."""

import re
import sys

import PIL.Image
import pytest

from image_formats import names
from project_tree import ROOT, project_files

sys.path.insert(0, str(ROOT / "scripts"))
import make_picture_suffixes  # noqa: E402

PYTHON = "client/python/pixpool/_picture_suffixes.py"


def suffixes():
    return make_picture_suffixes.suffixes(make_picture_suffixes.SOURCE.read_text())


def test_the_python_list_is_up_to_date():
    wanted = make_picture_suffixes.python_list(suffixes())
    assert (ROOT / PYTHON).read_text() == wanted, "run: scripts/py scripts/make_picture_suffixes.py"


@pytest.mark.parametrize("found", [[".a"], [".jpg", ".png"], [f".suffix{n}" for n in range(20)]])
def test_the_python_list_is_what_was_found(found):
    module = {}
    exec(make_picture_suffixes.python_list(found), module)
    assert module["PICTURE_SUFFIXES"] == tuple(found)


def test_the_table_is_read_whole():
    assert make_picture_suffixes.suffixes('kExtensions[] = {".a", ".b",\n  ".c"};') == [
        ".a",
        ".b",
        ".c",
    ]
    with pytest.raises(AssertionError):
        make_picture_suffixes.suffixes('kExtensions[] = {".a", "b"};')


def test_every_format_of_the_server_has_its_suffixes_and_no_other_has():
    known = PIL.Image.registered_extensions()
    assert {known[suffix].lower() for suffix in suffixes()} == names()


def test_no_python_tool_has_a_list_of_its_own():
    lists = re.compile(r"""["']\.jpe?g["'],\s*["']\.\w+["'],\s*["']\.\w+["']""")
    found = [
        str(path)
        for path in project_files()
        if path.suffix == ".py"
        and path.parts[0] != "tests"
        and lists.search((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == [PYTHON]
