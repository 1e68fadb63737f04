"""A bundle as a folder: its place in a repository, whether it is whole, and how it appears."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from pixpool.export.digest import file_sha256
from pixpool.export.errors import ExportError
from pixpool.export.manifest import Body, Manifest

FORMAT_VERSION = 1


def bundle_dir(out: Path, name: str, version: str) -> Path:
    """Folder of a bundle; refuses names that are no single folder."""
    for what, text in (("name", name), ("version", version)):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text):
            raise ExportError(
                f"{what} '{text}' is not allowed; use letters, digits, '.', '_' and '-', and begin"
                " with a letter, digit or '_'"
            )
    return Path(out) / name / version


def existing_bundle(folder: Path, remedy: str = "--force writes it anew") -> bool:
    """Whether a whole bundle is there. Refuses a damaged one and names the remedy."""
    if not folder.exists():
        return False
    try:
        manifest: Manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        damaged = [
            entry["path"]
            for entry in manifest["files"]
            if not (folder / entry["path"]).is_file()
            or file_sha256(folder / entry["path"]) != entry["sha256"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder} is there but is not a bundle ({error}); {remedy}") from error
    if damaged:
        raise ExportError(
            f"the bundle {folder} is damaged ({', '.join(damaged)} changed or missing); {remedy}"
        )
    return True


def publish(folder: Path, force: bool, fill: Callable[[Path], Body]) -> Path:
    """Makes the bundle `folder`: `fill` writes its files and gives the manifest's keys about them.

    The folder appears whole or not at all; one that is there is replaced under `force`, else
    refused (ExportError).
    """
    if folder.exists() and not force:
        raise ExportError(f"{folder} is there already; --force replaces it")
    out = folder.parent.parent
    out.mkdir(parents=True, exist_ok=True)
    # A level deeper than bundles lie, so that a server that scans meanwhile does not find it.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as scratch:
        contents = Path(scratch) / "new" / folder.name
        contents.mkdir(parents=True)
        body = fill(contents)
        manifest: Manifest = {
            "format_version": FORMAT_VERSION,
            "name": folder.parent.name,
            "version": folder.name,
            **body,
            "files": [
                {"path": path.name, "sha256": file_sha256(path)}
                for path in sorted(contents.iterdir())
            ],
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=True) + "\n"
        (contents / "manifest.json").write_text(text, encoding="utf-8")
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            replaced = Path(scratch) / "replaced" / folder.name
            replaced.parent.mkdir()
            folder.rename(replaced)
        contents.rename(folder)
    return folder
