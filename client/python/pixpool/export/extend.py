"""Makes a new version of a bundle with other projections, filters or int8, without exporting again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pixpool.export.errors import ExportError
from pixpool.export.folder import bundle_dir, existing_bundle, publish
from pixpool.export.options import BundleOptions, Progress

PREFIX = "bundle:"
# Files that an entry of `projections` or `filters` names.
_FILE_KEYS = ("mean", "matrix", "weight", "bias")


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

    def fill(contents: Path) -> dict[str, Any]:
        manifest = json.loads((base / "manifest.json").read_text(encoding="utf-8"))
        body = {
            key: value
            for key, value in manifest.items()
            if key not in ("format_version", "name", "version", "files")
        }
        replaced = _drop(body, "projections", {spec.name for spec in options.pca})
        replaced |= _drop(body, "filters", {spec.name for spec in options.filters})
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


def _drop(body: dict[str, Any], key: str, names: set[str]) -> set[str]:
    """Takes the entries of these names out of `body[key]`; gives the files that go with them."""
    entries = body.pop(key, [])
    kept = [entry for entry in entries if entry["name"] not in names]
    if kept:
        body[key] = kept
    dropped = [entry for entry in entries if entry["name"] in names]
    return {entry[k] for entry in dropped for k in _FILE_KEYS if k in entry}
