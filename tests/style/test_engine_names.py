"""The engines of backbones have the same names in the server, the exporter and the docs."""

import re

from project_tree import ROOT, project_files

MANIFEST = "client/python/pixpool/export/manifest.py"


def names():
    """Of the server's table."""
    source = (ROOT / "server/backbone/backbone.cc").read_text()
    table = re.search(r"BackboneEngine kEngines\[\] = \{(.*?)\n  \};", source, re.S)[1]
    found = re.findall(r'^ *\{"(\w+)",', table, re.M)
    assert len(found) == len(set(found)) >= 1
    return set(found)


def quoted(text):
    return set(re.findall(r'["`](\w+)["`]', text))


def test_the_exporter_knows_them():
    literal = re.search(r"^EngineName = Literal\[(.*?)\]$", (ROOT / MANIFEST).read_text(), re.M)
    assert quoted(literal[1]) == names()


def test_each_has_its_file_and_a_row_in_the_readme():
    for name in names():
        assert (ROOT / f"server/backbone/{name}_backbone.cc").is_file()
    readme = (ROOT / "README.md").read_text()
    rows = re.search(r"\| engine \|.*?\n\| -- .*?\n((?:\|.*\n)+)", readme)[1]
    assert set(re.findall(r"^\| `(\w+)` \|", rows, re.M)) == names()


def test_lists_of_them_are_whole():
    """Comments and docs that list engines between quotation marks."""
    listed = re.compile(r'(?:["`]\w+["`], ){2,}["`]\w+["`]')
    seen = set()
    for path in project_files():
        if path.suffix not in {".md", ".h"} or path.name == "CHANGELOG.md":
            continue
        for found in listed.finditer((ROOT / path).read_text(encoding="utf-8")):
            if quoted(found[0]) & names():
                seen.add(str(path))
                assert quoted(found[0]) == names(), f"{path} lists {found[0]}"
    assert "server/bundle/manifest.h" in seen


def test_the_exporter_has_no_second_list():
    pair = re.compile(rf'["\'](?:{"|".join(names())})["\'], ["\'](?:{"|".join(names())})["\']')
    found = [
        str(path)
        for path in project_files()
        if path.parts[:2] == ("client", "python")
        and path.suffix == ".py"
        and pair.search((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == [MANIFEST]
