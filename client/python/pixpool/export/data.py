"""The data files of a bundle beside the graph: classifier, labels, the golden's values."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pixpool.export.classifier import Classifier
from pixpool.export.errors import ExportError
from pixpool.export.labels import imagenet_labels, read_labels
from pixpool.export.manifest import ClassifierEntry, GoldenVectorEntry
from pixpool.export.onnx.source import OnnxModel
from pixpool.export.options import Progress
from pixpool.export.probes import Run
from pixpool.export.source import SourceModel
from pixpool.export.trunk import Trunk

GOLDEN_MIN_COSINE = 0.9999


@torch.no_grad()
def write_golden(run: Run, at: int, golden: Tensor, folder: Path) -> str:
    """Writes golden.f32, the average of the map at a place among the outputs for the golden
    picture; returns a remark."""
    values = run(golden)[at].float().mean((2, 3))[0]
    swapped = run(golden.flip(3))[at].float().mean((2, 3))[0]
    if not (torch.isfinite(values).all() and values.norm() > 0):
        raise ExportError(
            "the golden picture gives a vector that is zero or not finite; are the weights right?"
        )
    values.numpy().astype("<f4").tofile(folder / "golden.f32")
    if torch.equal(golden, golden.flip(3)):  # of a grey recipe
        return f"golden: {len(values)} values"
    noticed = torch.nn.functional.cosine_similarity(values, swapped, dim=0).item()
    remark = f"golden: {len(values)} values; with red and blue swapped the cosine is {noticed:.4f}"
    if noticed >= GOLDEN_MIN_COSINE:
        remark += ", which the server's check would not notice"
    return remark


@torch.no_grad()
def write_golden_vectors(trunk: Trunk, golden: Tensor, folder: Path) -> list[GoldenVectorEntry]:
    """Writes what the golden picture gives of each vector of the graph; returns `vectors` of the
    manifest's golden."""
    outputs = trunk(golden)[-len(trunk.vectors) :] if trunk.vectors else ()
    entries: list[GoldenVectorEntry] = []
    for vector, output in zip(trunk.vectors, outputs, strict=True):
        path = f"golden.{vector.name}.f32"
        output[0].float().numpy().astype("<f4").tofile(folder / path)
        entries.append({"name": vector.name, "values": path})
    return entries


def write_classifier(
    classifier: Classifier,
    source: SourceModel | OnnxModel,
    labels_option: str | None,
    folder: Path,
    progress: Progress,
) -> ClassifierEntry:
    """Writes weights, bias and labels; returns `classifier` of the manifest."""
    classifier.weight.astype("<f4").tofile(folder / "classifier.weight.f32")
    classifier.bias.astype("<f4").tofile(folder / "classifier.bias.f32")
    entry: ClassifierEntry = {
        "class_count": classifier.class_count,
        "weight": "classifier.weight.f32",
        "bias": "classifier.bias.f32",
    }
    if classifier.layer is not None:
        entry["layer"] = classifier.layer
    elif classifier.vector is not None:
        entry["vector"] = classifier.vector
    labels = _choose_labels(source, labels_option, classifier.class_count)
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
        entry["labels"] = "labels.txt"
    else:
        progress("no labels: classes go by number; --labels FILE names them")
    return entry


def _choose_labels(
    source: SourceModel | OnnxModel, wanted: str | None, class_count: int
) -> list[str] | None:
    if wanted == "none":
        return None
    if wanted == "imagenet":
        labels = imagenet_labels()
        if len(labels) != class_count:
            raise ExportError(
                f"--labels imagenet gives {len(labels)} names; the classifier has {class_count}"
            )
        return labels
    if wanted is not None:
        return read_labels(Path(wanted), class_count)
    if source.labels and len(source.labels) == class_count:
        return list(source.labels)
    if source.imagenet and class_count == 1000:
        return imagenet_labels()
    return None
