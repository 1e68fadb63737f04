"""Writes a bundle: graph, classifier, labels, golden and the manifest that ties them together."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixpool.export.digest import file_sha256
from pixpool.export.errors import ExportError
from pixpool.export.specs import FilterSpec, PcaSpec

if TYPE_CHECKING:
    from pixpool.export.models import SourceModel
    from pixpool.export.onnx.source import OnnxModel

FORMAT_VERSION = 1
DEVICES = ("cpu", "cuda")  # that a network can be compiled for
# That are made unasked; aotinductor has an option of its own.
ENGINES = ("torchscript", "openvino")
Progress = Callable[[str], None]


@dataclasses.dataclass
class BundleOptions:
    """What the user asked for; None leaves it to the model."""

    out: Path
    version: str = "1"
    name: str | None = None
    layers: list[str] | None = None  # "name=module.path"
    recipe_changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    labels: str | None = None  # a file, "imagenet" or "none"
    license: str | None = None
    force: bool = False
    pca: list[PcaSpec] = dataclasses.field(default_factory=list)
    filters: list[FilterSpec] = dataclasses.field(default_factory=list)
    engines: list[str] | None = None  # besides torchscript; None: those that can be had
    aotinductor: str | None = None  # device to compile for: cpu, cuda
    int8: Path | None = None  # pictures to calibrate on
    int8_judge: Path | None = None  # pictures to judge it on; None: a third of those
    accept_worse_int8: bool = False
    bgr: bool = False  # an ONNX file takes blue, green, red
    threads: int | None = None  # for the pictures of `pca`; None: as many as torch uses


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
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
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


def write_bundle(
    source: SourceModel | OnnxModel,
    options: BundleOptions,
    progress: Progress = lambda _line: None,
) -> Path:
    """Checks and writes `source`; a module is traced, which takes it over and changes it.

    The folder appears whole or not at all. Refuses (ExportError) a graph that differs from
    PyTorch or ONNX Runtime, and an existing bundle without `force`.
    """
    from pixpool.export import pipeline
    from pixpool.export.onnx import pipeline as onnx_pipeline
    from pixpool.export.onnx.source import OnnxModel

    def build_contents(contents: Path) -> dict[str, Any]:
        if isinstance(source, OnnxModel):
            return onnx_pipeline.build_contents(source, options, contents, progress)
        return pipeline.build_contents(source, options, contents, progress)

    folder = bundle_dir(options.out, options.name or source.name, options.version)
    return publish(folder, options.force, build_contents)


def publish(folder: Path, force: bool, fill: Callable[[Path], dict[str, Any]]) -> Path:
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
        manifest = {
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
