#!/usr/bin/env python3
"""Holds an image's root against its bill of materials: sbom_check.py ROOT.

Every program and library is a Debian package's or is listed with its SHA-256, every package is
listed in its version, and every licence text that the list names is there. Prints what is wrong;
the exit code is 0 if nothing is.
"""

import json
import os
import pathlib
import re
import sys

from sbom_parts import digest, installed

SBOM = "opt/pixpool/share/sbom.cdx.json"


def walk(components):
    for part in components:
        yield part
        yield from walk(part.get("components", []))


def usr(path):
    """Debian's lists say /lib/... of what is in /usr/lib/... since the folders were merged."""
    return re.sub(r"^/(bin|sbin|lib\w*)/", r"/usr/\1/", path)


def elf_files(root):
    for folder, folders, names in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
        for name in names:
            path = pathlib.Path(folder, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path


def problems(root):
    document = json.loads((root / SBOM).read_text(encoding="utf-8"))
    parts = list(walk([document["metadata"]["component"], *document["components"]]))
    listed = {
        part["name"]: part["hashes"][0]["content"] for part in parts if part["type"] == "file"
    }
    debian = set()
    for file in (root / "var/lib/dpkg/info").glob("*.list"):
        debian |= {usr(line) for line in file.read_text(encoding="utf-8").splitlines()}
    for path in elf_files(root):
        name = f"/{path.relative_to(root)}"
        if name in listed:
            if listed.pop(name) != digest(path):
                yield f"{name} is not the file that the bill of materials lists"
        elif usr(name) not in debian:
            yield f"{name} is in no Debian package and not in the bill of materials"
    for name in listed:
        path = root / name[1:]
        if not path.is_file() or digest(path) != listed[name]:
            yield f"{name} is listed and is not there, or is another file"
    packages = {
        (part["name"], part["version"]) for part in document["components"] if "version" in part
    }
    for package in installed(root):
        if (package["Package"], package["Version"]) not in packages:
            yield f"Debian's {package['Package']} {package['Version']} is not listed"
    for part in parts:
        if part["type"] != "file" and not part.get("licenses"):
            yield f"{part['name']} has no licence"
        for entry in part.get("properties", []):
            # A link of a package's documents leads to another package's, from the image's own root.
            if (
                entry["name"] == "pixpool:license-file"
                and not (root / entry["value"][1:]).is_file()
            ):
                yield f"{part['name']}: {entry['value']} is not there"


def main():
    root = pathlib.Path(sys.argv[1])
    found = list(problems(root))
    print(*found, sep="\n", end="\n" if found else "")
    if found:
        sys.exit(1)
    count = sum(1 for _ in elf_files(root))
    print(
        f"all {count} programs and libraries are in the bill of materials or a Debian package, "
        "and all licences are there"
    )


if __name__ == "__main__":
    main()
