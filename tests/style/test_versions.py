"""One version in all places that tell one, and a changelog that has it."""

import re
import tomllib

import pytest

from project_tree import ROOT


def project_version():
    return re.search(
        r"^project\(pixpool VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.M
    )[1]


def versions_told():
    """Where -> the version there."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    python = tomllib.loads((ROOT / "client/python/pyproject.toml").read_text())
    module = (ROOT / "client/python/pixpool/__init__.py").read_text()
    told = {
        "client/python/pyproject.toml": python["project"]["version"],
        "client/python/pixpool/__init__.py": re.search(r'^__version__ = "([^"]*)"', module, re.M)[
            1
        ],
        "Dockerfile": re.search(r'org\.opencontainers\.image\.version="([^"]*)"', dockerfile)[1],
    }
    for path in (ROOT / "deploy").rglob("*.yaml"):
        for tag in re.findall(r"(?:image: \S+/pixpool:|newTag: )(\S+)", path.read_text()):
            told[str(path.relative_to(ROOT))] = tag.removesuffix("-cuda")
    return told


def test_places_agree():
    assert len(versions_told()) >= 7
    assert {
        place for place, version in versions_told().items() if version != project_version()
    } == set()


# The kinds of changes that Keep a Changelog knows, in its order.
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def changelog_problems(text, version):
    """What is wrong with a changelog for a project at `version`."""
    headings = re.findall(r"^## (.*)$", text, re.M)
    if not headings or headings[0] != "[Unreleased]":
        yield "the first heading is not '[Unreleased]'"
    released = []
    for heading in headings[1:]:
        match = re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d{2}-\d{2}", heading)
        if match:
            released.append(tuple(map(int, match.groups())))
        else:
            yield f"'{heading}' is not '[X.Y.Z] - YYYY-MM-DD'"
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.M)
        if kinds != [kind for kind in KINDS if kind in kinds]:
            yield f"the kinds of changes {kinds} are not of {KINDS}, each once and in this order"
    if released != sorted(set(released), reverse=True):
        yield "versions are not from the newest to the oldest, each once"
    if released and max(released) > tuple(map(int, version.split("."))):
        yield f"a version is newer than the project's, {version}"


def test_changelog():
    assert not list(changelog_problems((ROOT / "CHANGELOG.md").read_text(), project_version()))


@pytest.mark.parametrize(
    ("headings", "complaint"),
    [
        (["## [1.0.0] - 2026-01-01"], "first heading"),
        (["## Unreleased"], "first heading"),
        (["## [Unreleased]", "## [1.0.0]"], "is not '[X.Y.Z]"),
        (["## [Unreleased]", "## 1.0.0 - 2026-01-01"], "is not '[X.Y.Z]"),
        (
            ["## [Unreleased]", "## [1.0.0] - 2026-01-01", "## [1.1.0] - 2026-02-01"],
            "newest to the oldest",
        ),
        (["## [Unreleased]", *["## [1.0.0] - 2026-01-01"] * 2], "each once"),
        (["## [Unreleased]", "## [2.0.0] - 2026-01-01"], "newer than the project's"),
        (["## [Unreleased]", "### Improved"], "are not of"),
        (["## [Unreleased]", "### Added", "### Added"], "each once"),
        (["## [Unreleased]", "### Removed", "### Added"], "in this order"),
    ],
)
def test_wrong_changelog_is_found(headings, complaint):
    text = "# Changelog\n" + "".join(f"\n{heading}\n" for heading in headings)
    problems = list(changelog_problems(text, "1.1.0"))
    assert len(problems) == 1 and complaint in problems[0]


def test_right_changelog_passes():
    text = (
        "## [Unreleased]\n\n### Added\n\n### Fixed\n\n"
        "## [1.10.0] - 2026-03-01\n\n### Added\n\n## [1.9.1] - 2026-02-01\n"
    )
    assert not list(changelog_problems(text, "1.10.0"))
