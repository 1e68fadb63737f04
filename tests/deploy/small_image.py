"""A small image, and its bill of materials."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

import sbom
import sbom_parts

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
