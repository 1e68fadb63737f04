"""Class labels: the user's file, or ImageNet's names from timm's data files."""

from __future__ import annotations

import collections
import importlib.util
import re
from pathlib import Path

from pixpool.export.errors import ExportError


def read_labels(path: Path, class_count: int) -> list[str]:
    """Labels of a UTF-8 file, one per line, as many as classes."""
    try:
        labels = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"labels file {path} cannot be read: {error}") from error
    if len(labels) != class_count:
        raise ExportError(
            f"labels file {path} has {len(labels)} lines; the classifier has {class_count}"
            " classes, and each needs one line"
        )
    for number, label in enumerate(labels, start=1):
        if not label.strip():
            raise ExportError(
                f"labels file {path}, line {number} is empty; each class needs a label"
            )
    return [label.strip() for label in labels]


def imagenet_labels() -> list[str]:
    """The 1000 names of ImageNet-1k: the first WordNet lemma of each class, e.g. `Egyptian cat`.

    Names that two classes share (crane, maillot) get a part of their definition after them.
    """
    folder = _timm_info()
    synsets = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    lemmas = _table(folder / "imagenet_synset_to_lemma.txt")
    definitions = _table(folder / "imagenet_synset_to_definition.txt")
    names = [lemmas[synset].split(",")[0].strip() for synset in synsets]
    counts = collections.Counter(names)
    return [
        f"{name} ({_gist(definitions[synset])})" if counts[name] > 1 else name
        for name, synset in zip(names, synsets, strict=True)
    ]


def _timm_info() -> Path:
    # The spec gives the folder without running timm, which imports torchvision.
    spec = importlib.util.find_spec("timm")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "data" / "_info"
        if (folder / "imagenet_synsets.txt").is_file():
            return folder
    raise ExportError(
        "ImageNet's class names come from the package timm, which is not installed; install it"
        " (`pip install --no-deps timm` will do), or give --labels FILE or --labels none"
    )


def _table(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def _gist(definition: str) -> str:
    first = re.split(r"[;,(]| with | that | of ", definition)[0].strip()
    return re.sub(r"^(a|an|the) ", "", first)
