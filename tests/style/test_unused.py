"""Options that nothing reads and metrics that nothing counts are found."""

import re

import pytest

from project_tree import ROOT, project_files

SERVER = {
    str(path): (ROOT / path).read_text(encoding="utf-8")
    for path in project_files()
    if path.parts[0] == "server" and path.suffix in {".h", ".cc"}
}
METRICS = SERVER["server/metrics/metrics.h"]


def declared_options():
    """(header, member) of every option."""
    return [
        (path, member)
        for path, text in SERVER.items()
        for member in re.findall(r"^ *Option<[^;]*> (\w+);", text, re.M)
    ]


def uses(pattern, *, outside):
    """Files with a match, without those whose paths begin with one of `outside`."""
    return [
        path
        for path, text in SERVER.items()
        if not path.startswith(outside) and re.search(pattern, text)
    ]


@pytest.mark.parametrize(("header", "member"), declared_options())
def test_every_option_is_read(header, member):
    assert uses(rf"(?:\.|->){member}\b", outside=(header, "server/config/")), (
        f"{header} declares {member}, which nothing reads"
    )


def structs_of_options():
    bodies = re.findall(r"^struct (\w+) \{\n(.*?)^\};", "".join(SERVER.values()), re.M | re.S)
    return [name for name, body in bodies if re.search(r"^ *Option<", body, re.M)]


@pytest.mark.parametrize("name", structs_of_options())
def test_every_struct_of_options_is_part_of_the_configuration(name):
    parents = [p for p, text in SERVER.items() if re.search(rf"^  {name} \w+;", text, re.M)]
    assert any(path.endswith(("/options.h", "config/config.h")) for path in parents), (
        f"{name} is a member neither of Config nor of another struct of options"
    )


def test_options_are_found():
    text = "".join(SERVER.values())
    assert len(declared_options()) == len(re.findall(r"^ *\.flag = ", text, re.M)) > 25


@pytest.mark.parametrize("method", re.findall(r"^  void (\w+)\(", METRICS, re.M))
def test_every_metric_is_counted(method):
    assert uses(rf"(?:\.|->){method}\(", outside=("server/metrics/",)), (
        f"nothing calls Metrics::{method}"
    )


@pytest.mark.parametrize(
    "member",
    re.findall(r"^  double (\w+) = 0;", METRICS[METRICS.index("struct GaugeReadings") :], re.M),
)
def test_every_gauge_is_filled_in(member):
    assert uses(rf"(\.|->){member} \+?= ", outside=("server/metrics/",)), (
        f"nothing sets GaugeReadings::{member}"
    )
