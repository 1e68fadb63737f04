"""Makes a new version of a bundle with other projections, filters or int8, without a new export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TypeVar, cast

from pixpool.export.errors import ExportError
from pixpool.export.folder import bundle_dir, existing_bundle, publish
from pixpool.export.manifest import Body, FilterEntry, Manifest, ProjectionEntry
from pixpool.export.options import BundleOptions, Progress

PREFIX = "bundle:"
_Entry = TypeVar("_Entry", ProjectionEntry, FilterEntry)


def base_bundle(spec: str) -> Path:
    """Folder of `bundle:FOLDER`, a whole bundle; refuses (ExportError) anything else."""
    folder = Path(spec.removeprefix(PREFIX))
    if not (folder / "manifest.json").is_file():
        raise ExportError(f"there is no bundle in '{folder}'; write {PREFIX}MODELS/NAME/VERSION")
    existing_bundle(folder, remedy="export it again")
    # Resolved, so that `.` and `..` have names.
    return folder.resolve()


def next_version(base: Path, target: Path) -> str:
    """The number after the highest of the versions in `target`, the folder of a bundle's name."""
    if not base.name.isdecimal():
        raise ExportError(
            f"version '{base.name}' is no number, so the next one is not known; give --version"
        )
    found = target.iterdir() if target.is_dir() else ()
    return str(max([int(base.name), *(int(p.name) for p in found if p.name.isdecimal())]) + 1)


def extend_bundle(
    base: Path, options: BundleOptions, progress: Progress = lambda _line: None
) -> Path:
    """Writes `options.name`, `options.version`: the bundle `base` with the projections and filters
    of `options`. Those of `base` stay, except where a new one has their name.

    Refuses (ExportError) what Extras does, and an existing bundle without `force`.
    """
    # Late, because it imports PyTorch.
    from pixpool.export.extras import Extras

    folder = bundle_dir(options.out, options.name or base.parent.name, options.version)
    extras = Extras(options)

    def fill(contents: Path) -> Body:
        manifest: Manifest = json.loads((base / "manifest.json").read_text(encoding="utf-8"))
        own = ("format_version", "name", "version", "files", "projections", "filters")
        body = cast(Body, {key: value for key, value in manifest.items() if key not in own})
        names = {spec.name for spec in options.pca}
        projections, dropped = _split(manifest.get("projections", []), names)
        replaced = {path for entry in dropped for path in (entry["mean"], entry["matrix"])}
        if projections:
            body["projections"] = projections
        names = {spec.name for spec in options.filters}
        filters, old = _split(manifest.get("filters", []), names)
        replaced |= {path for entry in old for path in (entry["weight"], entry.get("bias")) if path}
        if filters:
            body["filters"] = filters
        if options.int8 is not None:
            replaced |= {"backbone.int8.xml", "backbone.int8.bin"}
            body["engines"] = [e for e in body["engines"] if e["precision"] != "int8"]
        for entry in manifest["files"]:
            if Path(entry["path"]).name != entry["path"]:
                raise ExportError(f"{base} holds '{entry['path']}'; only flat bundles are extended")
            if entry["path"] not in replaced:
                shutil.copyfile(base / entry["path"], contents / entry["path"])
        extras.write(contents, body, progress)
        return body

    return publish(folder, options.force, fill)


def _split(entries: list[_Entry], names: set[str]) -> tuple[list[_Entry], list[_Entry]]:
    """The entries that stay, and those of these names."""
    kept = [entry for entry in entries if entry["name"] not in names]
    return kept, [entry for entry in entries if entry["name"] in names]
