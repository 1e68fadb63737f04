"""The tools take the same files for pictures: those of the formats that the server decodes."""

import ast
import re

import PIL.Image

from project_tree import ROOT, project_files

PYTHON = "client/python/pixpool/_picture_suffixes.py"


def suffixes_of_python():
    (assignment,) = [
        node for node in ast.parse((ROOT / PYTHON).read_text()).body if isinstance(node, ast.Assign)
    ]
    return list(ast.literal_eval(assignment.value))


def names_of_formats():
    source = (ROOT / "server/image/decode.h").read_text()
    return set(re.findall(r'case ImageFormat::k\w+:\s+return "(\w+)"', source))


def test_the_command_and_the_python_tools_agree():
    source = (ROOT / "client/cli/paths.cc").read_text()
    table = re.search(r"kExtensions\[\] = \{(.*?)\}", source, re.S)[1]
    assert re.findall(r'"([^"]*)"', table) == suffixes_of_python()


def test_every_format_of_the_server_has_its_suffixes_and_no_other_has():
    known = PIL.Image.registered_extensions()
    assert {known[suffix].lower() for suffix in suffixes_of_python()} == names_of_formats()


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
