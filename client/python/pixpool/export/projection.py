"""Fits PCA-whitenings on the user's pictures, as the server applies them: L2, whiten, L2."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixpool._picture_suffixes import PICTURE_SUFFIXES
from pixpool.export.errors import ExportError, brief
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.recipe import Recipe

_CHUNK = 16  # pictures in memory at a time
_BATCH_PIXELS = 1 << 20  # of one pass: 16 pictures of 256 x 256
_REPORT_EVERY = 1024  # pictures
# Vectors are float32 and of length 1, so a direction that varies less than this (standard
# deviation 1e-7) or than a 10,000th of the strongest one is rounding, which whitening would blow
# up to the size of a signal.
_MIN_VARIANCE = 1e-14
_MIN_VARIANCE_RATIO = 1e-8


class VectorHead(Protocol):
    """What makes a vector of a feature map: maps [N, C, H, W] to float32 [N, D]."""

    @property
    def kind(self) -> str: ...

    def __call__(self, maps: Tensor, /) -> Tensor: ...


@dataclasses.dataclass
class Whitening:
    """matrix @ (x - mean) has unit covariance over the L2-normalised vectors it was fitted on.

    `mean` [D] and `matrix` [K, D], float64; rows by falling variance.
    """

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]
    explained_variance: float  # share of the total that the K directions hold, 0 to 1


def fit_whitening(vectors: NDArray[np.float32], dimensions: int | None = None) -> Whitening:
    """PCA-whitening of vectors [N, D] to `dimensions`, or to all that can be fitted.

    Rows are u / sqrt(lambda) for eigenvectors u and eigenvalues lambda of the covariance (divisor
    N - 1) of the L2-normalised vectors; the entry of largest magnitude of each row is positive.
    Refuses (ExportError) more dimensions than the vectors have or vary in.
    """
    x = vectors.astype(np.float64)
    count, size = x.shape
    if dimensions is not None and dimensions > size:
        raise ExportError(f"dimensions is {dimensions}, but the head gives only {size} values")
    if count < 2:
        raise ExportError(f"a fit needs at least 2 pictures; there are {count}")
    if dimensions is not None and count < dimensions + 1:
        raise ExportError(
            f"{dimensions} dimensions need at least {dimensions + 1} pictures; there are {count}."
            " Add pictures or ask for fewer dimensions"
        )
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    mean = x.mean(axis=0)
    x -= mean
    total = float(np.square(x).sum()) / (count - 1)
    variances, axes = _principal_axes(x)
    floor = max(_MIN_VARIANCE, _MIN_VARIANCE_RATIO * float(variances[0]))
    varied = min(int((variances > floor).sum()), count - 1)
    if varied == 0:
        raise ExportError("all pictures give the same vector; there is nothing to fit")
    if dimensions is not None and dimensions > varied:
        raise ExportError(
            f"the vectors vary in only {varied} directions, so {dimensions} dimensions cannot be"
            " whitened (are pictures doubled, or channels always zero?); ask for at most"
            f" {varied} or add pictures"
        )
    kept = dimensions or varied
    variances, axes = variances[:kept], axes[:kept]
    # An eigenvector may point either way; this makes the result the same on every run.
    strongest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    matrix = axes * np.sign(strongest) / np.sqrt(variances)[:, None]
    return Whitening(mean, matrix, min(float(variances.sum()) / total, 1.0))


def _principal_axes(
    x: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances [K], falling, and unit axes [K, D] of centred vectors [N, D], K = min(N, D)."""
    count, size = x.shape
    if size <= count:
        variances, columns = np.linalg.eigh(x.T @ x / (count - 1))
        return variances[::-1], columns.T[::-1]
    # Fewer vectors than values: the eigenvectors of the small Gram matrix give the same axes.
    variances, columns = np.linalg.eigh(x @ x.T / (count - 1))
    variances, axes = variances[::-1], columns.T[::-1] @ x
    norms = np.linalg.norm(axes, axis=1, keepdims=True)
    return variances, axes / np.maximum(norms, np.finfo(np.float64).tiny)


def list_pictures(folder: Path) -> list[Path]:
    """Pictures below a folder, by path, so that the same folder gives the same fit."""
    if not folder.is_dir():
        raise ExportError(f"the folder of pictures '{folder}' does not exist")
    found = [p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
    if not found:
        raise ExportError(f"{folder} holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())


def vectors_of(
    graph: Callable[[Tensor], tuple[Tensor, ...]],
    recipe: Recipe,
    pictures: list[Path],
    wanted: Sequence[tuple[int, VectorHead]],
    progress: Callable[[str], None],
) -> list[NDArray[np.float32]]:
    """For each wanted head, on the graph's output of that position, vectors [N, D], float32.

    One pass serves all heads. Pictures that cannot be read are named and left out.
    """
    rows: list[list[NDArray[np.float32]]] = [[] for _ in wanted]
    seen = 0
    for names, images in _batches(recipe, pictures, progress):
        try:
            with torch.no_grad():
                maps = graph(torch.from_numpy(images))
        except RuntimeError as error:
            size = f"{images.shape[1]} x {images.shape[2]}"
            reason = str(error).strip().splitlines()[-1]
            raise ExportError(f"the graph fails on {names[0]} ({size} pixels): {reason}") from error
        for (layer, head), into in zip(wanted, rows, strict=True):
            vectors = head(maps[layer]).numpy()
            for name, vector in zip(names, vectors, strict=True):
                if not np.isfinite(vector).all():
                    raise ExportError(
                        f"head {head.kind} gives values that are not finite on {name}"
                    )
            into.append(vectors)
        seen += len(names)
        if seen % _REPORT_EVERY < len(names):
            progress(f"{seen} of {len(pictures)} pictures")
    if not rows[0]:
        raise ExportError(f"none of {len(pictures)} pictures can be read")
    return [np.concatenate(into) for into in rows]


def _batches(
    recipe: Recipe, pictures: list[Path], progress: Callable[[str], None]
) -> Iterator[tuple[list[Path], NDArray[np.uint8]]]:
    """Network input [N, H, W, 3] of neighbours that share a size, with their paths."""
    with ThreadPoolExecutor() as readers:
        for start in range(0, len(pictures), _CHUNK):
            chunk = pictures[start : start + _CHUNK]
            loaded = zip(chunk, readers.map(partial(_load, recipe=recipe), chunk), strict=True)
            readable = []
            for path, image in loaded:
                if isinstance(image, str):
                    progress(f"left out {path}: {image}")
                else:
                    readable.append((path, image))
            for shape, same in itertools.groupby(readable, key=lambda item: item[1].shape):
                group = list(same)
                step = max(_BATCH_PIXELS // (shape[0] * shape[1]), 1)
                for at in range(0, len(group), step):
                    paths, images = zip(*group[at : at + step], strict=True)
                    yield list(paths), np.stack(images)


def _load(path: Path, recipe: Recipe) -> NDArray[np.uint8] | str:
    """Network input of a picture, or why there is none."""
    try:
        return preprocess(load_image(path), recipe)
    except Exception as error:  # Pillow raises many types on damaged files
        return brief(error)
