#!/usr/bin/env python3
"""Writes the image's bill of materials (CycloneDX 1.6) and collects the licences of what it lists.

    sbom.py --shipped OUT --published LIB --runtime ROOT --site-packages DIR

OUT holds opt/pixpool and models as they go into the image, LIB its libraries before they were
stripped, ROOT the final image's package database and documents, and DIR the environment that the
libraries were taken from. Writes OUT/opt/pixpool/share/sbom.cdx.json and
OUT/opt/pixpool/share/licenses.

A library is ascribed to a Python package by the SHA-256 in the package's own RECORD, so what is
listed is what was published. One that nobody published is an error.
"""

import argparse
import json
import pathlib
import sys

from sbom_parts import (
    bom_ref,
    compiled_in,
    debian_packages,
    model,
    programs,
    project_version,
    wheels,
)


class Licenses:
    """The folder of licence texts: a folder for each component, made when its first text comes."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, component, files, base=None):
        """Copies texts; returns properties that name them, by their paths in the image."""
        found = []
        for file in sorted(files):
            target = self.folder / component / (file.relative_to(base) if base else file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
            target.chmod(0o644)
            found.append(
                {
                    "name": "pixpool:license-file",
                    "value": f"/opt/pixpool/share/licenses/{target.relative_to(self.folder)}",
                }
            )
        return found


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shipped", type=pathlib.Path, required=True)
    add("--runtime", type=pathlib.Path, required=True)
    add("--site-packages", type=pathlib.Path, required=True)
    add(
        "--published",
        type=pathlib.Path,
        required=True,
        help="the libraries as they were before they were stripped",
    )
    add(
        "--docs",
        type=pathlib.Path,
        default=pathlib.Path("/usr/share/doc"),
        help="documents of the packages built with",
    )
    add(
        "--build-root",
        type=pathlib.Path,
        default=pathlib.Path("/"),
        help="root that has the packages built with",
    )
    add("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    return parser.parse_args(argv)


def make(args):
    """The document, as plain data; writes the licences."""
    share = args.shipped / "opt" / "pixpool" / "share"
    licenses = Licenses(share / "licenses")
    version = project_version(args.source / "CMakeLists.txt")
    own = {
        "type": "container",
        "bom-ref": bom_ref("image", "pixpool", version),
        "name": "pixpool",
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "properties": licenses.add("pixpool", [args.source / "LICENSE"]),
    }
    components = programs(args.shipped, version)
    components += wheels(args.shipped, args.published, args.site_packages, args.docs, licenses)
    components += [
        model(manifest, args.shipped)
        for manifest in sorted(args.shipped.glob("models/*/*/manifest.json"))
    ]
    components += compiled_in(args.build_root, args.docs, args.site_packages, licenses)
    components += debian_packages(args.runtime)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": sorted(part["bom-ref"] for part in components)}
        ],
    }


def main(argv=None):
    args = arguments(argv)
    try:
        document = make(args)
    except ValueError as problem:
        sys.exit(f"sbom: {problem}")
    target = args.shipped / "opt" / "pixpool" / "share" / "sbom.cdx.json"
    target.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"sbom: {len(document['components'])} components")


if __name__ == "__main__":
    main()
