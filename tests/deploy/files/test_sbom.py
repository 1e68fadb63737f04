"""The image's bill of materials, made for a small image: what it lists, and that what it does not
cover is found.

deploy/docker/test makes the real one and holds the real image against it.
"""

from __future__ import annotations

import hashlib
import json

import pytest

import sbom_check
import sbom_parts
from small_image import ELF, add_package, assemble, make, small_image, write  # noqa: F401


def components(text):
    return {part["name"]: part for part in sbom_check.walk(json.loads(text)["components"])}


def test_what_it_lists(image):
    parts = components(make(image))
    assert parts["torch"]["purl"] == "pkg:pypi/torch@2.0%2Bcpu"
    assert parts["torch"]["licenses"] == [{"expression": "Apache-2.0 AND MIT"}]
    below = {part["name"] for part in parts["torch"]["components"]}
    assert below == {
        "sleef",
        "/opt/pixpool/lib/libtorch_cpu.so",
        "/opt/pixpool/lib/libgomp.so.1",
        "Intel oneAPI Math Kernel Library",
        "GNU OpenMP runtime library",
    }
    assert parts["libc6"]["purl"] == "pkg:deb/debian/libc6@1%3A2.0-1?arch=amd64&distro=debian-12"
    assert [entry["license"]["name"] for entry in parts["libc6"]["licenses"]] == ["GPL-2+", "MIT"]
    assert parts["old"]["licenses"] == [{"license": {"name": "see /usr/share/doc/old/copyright"}}]
    assert parts["m"]["type"] == "machine-learning-model" and parts["m"]["licenses"] == [
        {"license": {"id": "CC-BY-4.0"}}
    ]
    assert set(sbom_parts.COMPILED_IN + sbom_parts.COMPILED_IN_WHEELS) <= set(parts)
    sha256 = hashlib.sha256(ELF + b"server").hexdigest()
    assert parts["/opt/pixpool/bin/pixpool-server"]["hashes"] == [
        {"alg": "SHA-256", "content": sha256}
    ]


def test_the_same_input_gives_the_same_bytes(image):
    assert make(image) == make(image)


def test_a_whole_image_passes(image):
    make(image)
    assert not list(sbom_check.problems(assemble(image)))


def test_a_library_that_nobody_published_ends_the_build(image):
    write(image[2] / "opt/pixpool/lib/libodd.so", ELF + b"odd")
    with pytest.raises(
        SystemExit, match="libodd.so is not a library that a Python package has published"
    ):
        make(image)


def test_a_stripped_library_is_listed_as_it_is_with_what_it_was(image, tmp_path):
    for path in (image[2] / "opt/pixpool/lib").iterdir():
        write(tmp_path / "published" / path.name, path.read_bytes())
    stripped = ELF + b"short"
    write(image[2] / "opt/pixpool/lib/libtorch_cpu.so", stripped)
    part = components(make(image, tmp_path / "published"))["/opt/pixpool/lib/libtorch_cpu.so"]
    assert part["hashes"][0]["content"] == hashlib.sha256(stripped).hexdigest()
    published = hashlib.sha256((tmp_path / "published/libtorch_cpu.so").read_bytes()).hexdigest()
    assert part["properties"] == [{"name": "pixpool:published-sha256", "value": published}]
    assert not list(sbom_check.problems(assemble(image)))


def test_a_licence_among_the_files_of_a_package_is_taken(image):
    info = image[3] / "torch-2.0+cpu.dist-info"
    for path in (info / "licenses").rglob("LICENSE*"):
        path.unlink()
    write(image[3] / "torch/LICENSE.txt", "A licence")
    write(info / "RECORD", (info / "RECORD").read_text() + "torch/LICENSE.txt,sha256=x,1\n")
    properties = components(make(image))["torch"]["properties"]
    assert properties == [
        {
            "name": "pixpool:license-file",
            "value": "/opt/pixpool/share/licenses/torch/torch/LICENSE.txt",
        }
    ]


def test_a_package_without_a_licence_ends_the_build(image):
    (image[3] / "torch-2.0+cpu.dist-info/licenses/LICENSE").unlink()
    (image[3] / "torch-2.0+cpu.dist-info/licenses/third_party/sleef/LICENSE.txt").unlink()
    with pytest.raises(SystemExit, match="torch 2.0.cpu has no licence text"):
        make(image)


@pytest.mark.parametrize(
    ("path", "data", "complaint"),
    [
        ("usr/bin/odd", ELF + b"odd", "/usr/bin/odd is in no Debian package"),
        ("opt/pixpool/lib/libgomp.so.1", ELF + b"other", "libgomp.so.1 is not the file that"),
        (
            "models/m/1/backbone.bin",
            b"other",
            "backbone.bin is listed and is not there, or is another file",
        ),
        ("models/m/1/backbone.bin", None, "backbone.bin is listed and is not there"),
        (
            "opt/pixpool/share/licenses/pixpool/LICENSE",
            None,
            "licenses/pixpool/LICENSE is not there",
        ),
        ("usr/share/doc/libc6/copyright", None, "/usr/share/doc/libc6/copyright is not there"),
    ],
)
def test_what_it_does_not_cover_is_found(image, path, data, complaint):
    make(image)
    root = assemble(image)
    if data is None:
        (root / path).unlink()
    else:
        write(root / path, data)
    problems = list(sbom_check.problems(root))
    assert len(problems) == 1 and complaint in problems[0]


def test_a_package_that_came_later_is_found(image):
    make(image)
    root = assemble(image)
    add_package(root, "late")
    assert list(sbom_check.problems(root)) == ["Debian's late 1:2.0-1 is not listed"]
