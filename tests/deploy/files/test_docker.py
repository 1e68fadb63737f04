"""The Dockerfiles: what they copy is there and reaches the build."""

from __future__ import annotations

import re

import pytest

from deploy_files import DEPLOY, ROOT

DOCKERFILES = [ROOT / "Dockerfile", *sorted(DEPLOY.rglob("Dockerfile"))]


def copied(dockerfile: str) -> set[str]:
    """Sources of COPY, those from other stages left out."""
    lines = re.sub(r"\\\n", " ", dockerfile).splitlines()
    words = [line.split()[1:] for line in lines if line.startswith("COPY ")]
    return {source for line in words if not line[0].startswith("--from") for source in line[:-1]}


def allowed() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return [line[1:] for line in lines if line.startswith("!")]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_copied_reaches_the_build(path):
    sources = copied(path.read_text(encoding="utf-8"))
    assert len(sources) > 1
    for source in sorted(sources):
        assert (ROOT / source).exists(), f"{source} is not there"
        kept = [prefix for prefix in allowed() if f"{source.rstrip('/')}/".startswith(f"{prefix}/")]
        assert kept, f".dockerignore keeps {source} from {path.name}"


def test_what_cmake_builds_is_copied():
    """Every folder that the CMake files of the root add, tests aside, is in the image's build."""
    sources = copied((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    folders = re.findall(
        r"add_subdirectory\(([\w/]+)\)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    )
    assert {folder.split("/")[0] for folder in folders} - sources == {"tests"}
