"""The settings of editors, git and formatters agree with each other and with the tree."""

import configparser
import pathlib
import re
import tomllib

import pytest

from project_tree import ROOT, project_files

EDITORCONFIG = (ROOT / ".editorconfig").read_text()
GITATTRIBUTES = (ROOT / ".gitattributes").read_text()


def sections(text):
    """Glob -> settings of an .editorconfig; what precedes the first glob is under "top"."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string("[top]\n" + text)
    return {name: dict(parser[name]) for name in parser.sections()}


def attributes(text):
    """Pattern -> attributes of a .gitattributes."""
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {pattern: set(rest) for pattern, *rest in lines}


def matches(path, pattern):
    """Whether git would apply the pattern: with a slash it is one of paths, else one of names."""
    return pathlib.PurePosixPath("/", path).match("/" + pattern if "/" in pattern else pattern)


def test_editors_and_formatters_have_the_same_width():
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
    clang = re.search(r"^ColumnLimit: (\d+)$", (ROOT / ".clang-format").read_text(), re.M)[1]
    assert {sections(EDITORCONFIG)["*"]["max_line_length"], str(ruff), clang} == {"100"}


def test_editors_write_what_the_checks_want():
    """Line ends, the newline at the end and the indents are those of the tree."""
    settings = sections(EDITORCONFIG)
    assert settings["top"] == {"root": "true"}
    assert settings["*"]["end_of_line"] == "lf"
    assert settings["*"]["insert_final_newline"] == "true"
    assert (settings["*"]["indent_size"], settings["*.py"]["indent_size"]) == ("2", "4")


def unused(text, paths):
    return [p for p in attributes(text) if not any(matches(path, p) for path in paths)]


def binaries_taken_for_text(text, root, paths):
    patterns = [p for p, names in attributes(text).items() if "binary" in names]
    return [
        str(path)
        for path in paths
        if b"\0" in (root / path).read_bytes() and not any(matches(path, p) for p in patterns)
    ]


def test_attributes_fit_the_tree():
    paths = project_files()
    assert unused(GITATTRIBUTES, paths) == []
    assert binaries_taken_for_text(GITATTRIBUTES, ROOT, paths) == []
    assert attributes(GITATTRIBUTES)["*"] == {"text=auto", "eol=lf"}


def test_what_programs_write_is_marked():
    marked = [p for p, names in attributes(GITATTRIBUTES).items() if "linguist-generated" in names]
    for name in (
        "client/python/pixpool/_head_table.py",
        "client/python/pixpool/_picture_suffixes.py",
        "client/python/pixpool/heads.py",
        "deploy/grafana/dashboards/pixpool.json",
        "deploy/kubernetes/components/monitoring/prometheusrule.yaml",
        "docs/heads.json",
        "requirements/lock-cpu.txt",
        "requirements/lock-cuda.txt",
    ):
        assert any(matches(pathlib.PurePosixPath(name), p) for p in marked), name


@pytest.mark.parametrize(
    ("text", "unused_patterns", "binaries"),
    [
        ("*.png binary\n", [], []),
        ("*.jpg binary\n", ["*.jpg"], ["docs/a.png"]),
        ("docs/*.png binary\n", [], []),
        ("doc/*.png binary\n", ["doc/*.png"], ["docs/a.png"]),
        ("*.png -diff\n", [], ["docs/a.png"]),
    ],
)
def test_wrong_attributes_are_found(tmp_path, text, unused_patterns, binaries):
    path = pathlib.PurePosixPath("docs/a.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / path).write_bytes(b"\x89PNG\0")
    assert unused(text, [path]) == unused_patterns
    assert binaries_taken_for_text(text, tmp_path, [path]) == binaries
