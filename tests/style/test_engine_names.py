"""The engines of backbones have the same names in the server, the exporter and the docs."""

import re

import pytest

from project_tree import ROOT, project_files

# Three names between quotation marks in a row, as comments and docs list them.
LISTED = re.compile(r'(?:["`]\w+["`], ){2,}["`]\w+["`]')


def rows():
    """(stem of its loader, name) of each engine of the server's list, such as ("OpenVino",
    "openvino")."""
    source = (ROOT / "server/backbone/engines.h").read_text().replace("\\\n", " ")
    listed = re.search(r"#define PIXPOOL_ENGINES\(E\)(.*)", source)[1]
    found = re.findall(r'\bE\((\w+), \.name = "(\w+)"', listed)
    assert len(found) == listed.count("E(") >= 1
    return found


def names():
    found = [name for _, name in rows()]
    assert len(found) == len(set(found))
    return set(found)


def stems(folder, pattern):
    return {path.stem for path in (ROOT / folder).glob(pattern)}


def lists_in(text):
    """What each list of engines in it has."""
    found = [set(re.findall(r'["`](\w+)["`]', match[0])) for match in LISTED.finditer(text)]
    return [listed for listed in found if listed & names()]


def test_a_name_is_its_loaders_in_lower_case():
    assert [name for _, name in rows()] == [stem.lower() for stem, _ in rows()]


def test_each_has_its_file_and_each_file_its_row():
    files = stems("server/backbone", "*_backbone.cc")
    assert files == {f"{name}_backbone" for name in names()}


def test_the_exporter_has_a_module_for_each():
    assert stems("client/python/pixpool/export/engines", "*.py") - {"__init__"} == names()


def test_each_has_a_row_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    table = re.search(r"\| engine \|.*?\n\| -- .*?\n((?:\|.*\n)+)", readme)[1]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == sorted(names())


def test_the_changelog_has_each():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").lower()
    assert {name for name in names() if not re.search(rf"\b{name}\b", changes)} == set()


def test_nothing_else_lists_them():
    """Comments and docs say "such as" and name one or two, which stays true."""
    for path in project_files():
        if path.suffix in {".md", ".h"} and path.name != "CHANGELOG.md":
            assert lists_in((ROOT / path).read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize(
    "text",
    ['"torchscript", "openvino", "aotinductor"', "(`openvino`, `abacus`, `torchscript`)"],
)
def test_lists_are_found(text):
    assert len(lists_in(text)) == 1
    assert lists_in('"red", "green", "blue"') == []


def test_the_exporter_has_no_second_list():
    pair = re.compile(rf'["\'](?:{"|".join(names())})["\'], ["\'](?:{"|".join(names())})["\']')
    assert pair.search('Literal["torchscript", "openvino"]')
    found = [
        str(path)
        for path in project_files()
        if path.parts[:2] == ("client", "python")
        and path.suffix == ".py"
        and pair.search((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == []
