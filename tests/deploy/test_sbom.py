"""The image's bill of materials, made for a small image: it follows the schema, and what it does
not cover is found.

deploy/docker/test makes the real one and holds the real image against it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy_files import DEPLOY

sys.path.insert(0, str(DEPLOY / "docker"))
import sbom  # noqa: E402
import sbom_check  # noqa: E402
import sbom_parts  # noqa: E402

ELF = b"\x7fELF"
COPYRIGHT = (
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
    "Files: *\nLicense: GPL-2+\n\n"
    "License: MIT\n text\n"
)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def add_package(root, name, version="1:2.0-1", files=(), copyright_text=COPYRIGHT):
    status = root / "var/lib/dpkg/status"
    write(root / f"usr/share/doc/{name}/copyright", copyright_text)
    write(root / f"var/lib/dpkg/info/{name}.list", "".join(f"{file}\n" for file in files))
    old = status.read_text() if status.exists() else ""
    entry = (
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n"
        f"Version: {version}\nDescription: a\n b\n"
    )
    write(status, old + entry + "\n")


def add_wheel(
    site_packages,
    name,
    version,
    libraries=(),
    metadata="License-Expression: Apache-2.0\n",
    texts=("LICENSE",),
):
    info = site_packages / f"{name}-{version}.dist-info"
    write(
        info / "METADATA",
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{metadata}\nA text\n",
    )
    for text in texts:
        write(info / "licenses" / text, "A licence")
    rows = []
    for library, data in libraries:
        value = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        rows.append(f"{name}/lib/{library},sha256={value},{len(data)}")
    write(info / "RECORD", "\n".join([*rows, f"{info.name}/RECORD,,", ""]))


@pytest.fixture(name="image")
def small_image(tmp_path):
    """Folders like those of the build: OUT, the final image's root, the root that was built in, and
    its Python packages.
    """
    root, built, out, wheels = (tmp_path / name for name in ("root", "built", "out", "wheels"))
    add_package(root, "libc6", files=["/lib/x86_64-linux-gnu/libc.so.6"])
    write(root / "usr/lib/x86_64-linux-gnu/libc.so.6", ELF + b"c")
    add_package(root, "old", "3~rc1+b2", copyright_text="Free to use.\n")
    for name in sbom_parts.COMPILED_IN:
        add_package(built, name)
    add_package(built, "libgomp1")
    for name in sbom_parts.COMPILED_IN_WHEELS:
        add_wheel(wheels, name.replace("-", "_"), "1.0", metadata="License: UNKNOWN\n")
    torch = [
        ("libtorch_cpu.so", ELF + b"oneAPI Math Kernel Library"),
        ("libgomp.so.1", ELF + b"gomp"),
        ("libunused.so", ELF),
    ]
    expression = "License-Expression: Apache-2.0 AND MIT\n"
    add_wheel(
        wheels, "torch", "2.0+cpu", torch, expression, ["LICENSE", "third_party/sleef/LICENSE.txt"]
    )
    for name, data in torch[:2]:
        write(out / "opt/pixpool/lib" / name, data)
    write(out / "opt/pixpool/bin/pixpool-server", ELF + b"server")
    manifest = {"name": "m", "version": "1", "license": "CC-BY-4.0", "weights_sha256": "0" * 64}
    write(out / "models/m/1/manifest.json", json.dumps(manifest))
    write(out / "models/m/1/backbone.bin", b"weights")
    return root, built, out, wheels


def make(image, published=None):
    root, built, out, wheels = image
    published = published or out / "opt/pixpool/lib"
    sbom.main(
        [
            "--shipped",
            str(out),
            "--published",
            str(published),
            "--runtime",
            str(root),
            "--site-packages",
            str(wheels),
            "--build-root",
            str(built),
            "--docs",
            str(built / "usr/share/doc"),
        ]
    )
    return (out / "opt/pixpool/share/sbom.cdx.json").read_text()


def assemble(image):
    """The final image's root, as the Dockerfile puts it together."""
    root, _, out, _ = image
    for path in out.rglob("*"):
        if path.is_file():
            write(root / path.relative_to(out), path.read_bytes())
    return root


def components(text):
    return {part["name"]: part for part in sbom_check.walk(json.loads(text)["components"])}


def test_it_follows_the_schema(image):
    text = make(image)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(
        text.replace('"type": "library"', '"type": "thing"')
    )


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
