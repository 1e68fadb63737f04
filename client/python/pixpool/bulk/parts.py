"""The work of a job so far: a folder of parts, each written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._errors import PixpoolError
from pixpool._results import HeadResult, ImageResult
from pixpool._values import encoding_name
from pixpool.bulk.errors import BulkError, ExitCode, writing

_PREFIX, _SUFFIX = "part-", ".npz"


@dataclasses.dataclass(frozen=True)
class HeadLayout:
    """What is the same for all rows of a head. shape: of a row, before bits are packed."""

    head_id: str
    kind: str
    layer: str
    space_id: str
    encoding: str
    shape: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Number of bits of a row of "binary" values, which are kept packed; else 0."""
        return int(np.prod(self.shape)) if self.encoding == "binary" else 0

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of a row as it is kept."""
        return ((self.bits + 7) // 8,) if self.bits else self.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype({"float16": "<f2", "binary": "u1"}.get(self.encoding, "<f4"))

    @staticmethod
    def of(result: HeadResult) -> HeadLayout:
        """BulkError for a result that is no row of numbers."""
        shape = result.values.shape
        if result.class_scores or shape == (0,):
            raise BulkError(
                f"head {result.head_id}: {result.kind} gives no array here; bulk keeps heads that"
                " give vectors or maps (class_activation_map with format=floats)",
                ExitCode.INTERNAL,
            )
        return HeadLayout(
            result.head_id, result.kind, result.layer, result.space_id, result.encoding, shape
        )

    @staticmethod
    def wanted(heads: Sequence[pb.Head]) -> list[HeadLayout]:
        """What is known of the heads of a request without a result: no space, layer or shape."""
        layouts: list[HeadLayout] = []
        kinds: Counter[str] = Counter()
        for head in heads or [pb.Head(global_avg=pb.GlobalAvg())]:
            kind = head.WhichOneof("kind")
            kinds[kind] += 1
            # As the server names them.
            name = head.head_id or (kind if kinds[kind] == 1 else f"{kind}_{kinds[kind]}")
            layouts.append(HeadLayout(name, kind, "", "", encoding_name(head.encoding), ()))
        return layouts

    def row(self, result: HeadResult) -> NDArray[Any]:
        return (
            np.packbits(result.values.astype(np.bool_, copy=False)) if self.bits else result.values
        )


@dataclasses.dataclass(frozen=True)
class Failed:
    """An image without features."""

    code: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}{f' ({self.reason})' if self.reason else ''}: {self.message}"


def nothing_asked() -> PixpoolError:
    """Stands for the result of an image without regions, which is not sent: nothing went wrong."""
    return PixpoolError(grpc.StatusCode.OK, "no regions")


def has_failed(result: ImageResult) -> bool:
    return result.error is not None and result.error.code is not grpc.StatusCode.OK


def rows_of(result: ImageResult) -> list[tuple[HeadResult, ...]]:
    """The results that become rows: of the whole picture if it has some, then of its regions."""
    whole = [result.head_results] if result.head_results else []
    return [*whole, *(region.head_results for region in result.regions)]


@dataclasses.dataclass(frozen=True)
class RegionRows:
    """Which region of its picture each row of a part is of, in a job of regions.

    counts: rows of each image: int64. boxes: left, top, right and bottom in pixels, as the heads
    were applied to them: float32 [rows, 4]; NaN in the row of a whole picture, which is its first.
    names: region ids, by row.
    """

    counts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    names: list[str]

    @staticmethod
    def of(results: Sequence[ImageResult]) -> RegionRows:
        boxes: list[tuple[float, float, float, float]] = []
        names = []
        for result in results:
            if result.head_results:
                boxes.append((np.nan, np.nan, np.nan, np.nan))
                names.append("")
            boxes += [region.box for region in result.regions]
            names += [region.region_id for region in result.regions]
        counts = np.array([len(rows_of(result)) for result in results], np.int64)
        return RegionRows(counts, np.array(boxes, np.float32).reshape(-1, 4), names)

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which rows are of whole pictures."""
        return np.isnan(self.boxes[:, 0])

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of each row that is of a region, its position among those of its picture, from 0."""
        first = np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        # A picture's own row comes before those of its regions.
        return np.arange(len(first)) - first - self.whole[first]

    @property
    def bare(self) -> int:
        """How many images have no row of a region."""
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        return len(self.counts) - len(np.unique(owners[~self.whole]))


@dataclasses.dataclass(frozen=True)
class Part:
    """Consecutive images of the source.

    rows: an array a head, in the order of `layouts`, [number of rows, ...]: of each image that
    succeeded one, or, in a job of regions, one for each of them. failed: by position within the
    part. layouts, model: empty where there are no rows. advice: what images have to remark on the
    options of the job, each once. regions: None in a job without.
    """

    ids: list[str]
    failed: Mapping[int, Failed]
    layouts: list[HeadLayout]
    model: str
    rows: list[NDArray[Any]]
    advice: list[str] = dataclasses.field(default_factory=list)
    regions: RegionRows | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each image."""
        if self.regions is not None:
            return self.regions.counts
        return np.array([at not in self.failed for at in range(len(self.ids))], np.int64)

    @staticmethod
    def of(results: list[ImageResult], layouts: list[HeadLayout], by_region: bool) -> Part:
        good = [r for r in results if r.ok]
        found = [row for result in good for row in rows_of(result)]
        layouts = layouts if found else []
        rows = [
            np.stack([layout.row(row[i]) for row in found]).astype(layout.dtype, copy=False)
            for i, layout in enumerate(layouts)
        ]
        failed = {
            at: Failed(r.error.code.name, r.error.reason, _message(r.error))
            for at, r in enumerate(results)
            if r.error is not None and has_failed(r)
        }
        model = good[0].model if good else None
        name = f"{model.name}/{model.version}" if model else ""
        # A warning that names an option is the same for every image that it concerns.
        warnings = (w for r in good for w in r.warnings if "--background" in w)
        advice = list(dict.fromkeys(warnings))
        regions = RegionRows.of(results) if by_region else None
        return Part([r.name for r in results], failed, layouts, name, rows, advice, regions)


def _message(error: PixpoolError) -> str:
    """Of an image's error; which region is at fault, only the field says."""
    fields = [violation.field for violation in error.fields]
    where = [f"[{field[field.index('regions[') :]}]" for field in fields if "regions[" in field]
    return " ".join([error.message, *where])


class Work:
    """The folder of a job: its settings, its parts, and a lock that one process holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listing = folder / "items.txt"
        self._merged = folder / "merged"
        self._lock: io.TextIOWrapper | None = None

    def lock(self) -> None:
        """Makes the folder and locks it until this process ends. BulkError if another holds it."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / "lock", "w")  # noqa: SIM115  (held on purpose)
        try:
            import fcntl
        except ImportError:  # no such locks here; two runs at once are the caller's to avoid
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BulkError(
                f"another run is at work in {self.folder}", ExitCode.INTERNAL
            ) from error

    def unlock(self) -> None:
        """Gives the lock back; a job that has not begun leaves nothing behind."""
        if self.folder.exists() and self.settings() is None:
            shutil.rmtree(self.folder)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def settings(self) -> dict[str, Any] | None:
        """The settings that the job was begun with; None for a new job."""
        try:
            settings: dict[str, Any] = json.loads((self.folder / "job.json").read_text())
        except FileNotFoundError:
            return None
        return settings

    def forget_if_empty(self) -> None:
        """A job that has done nothing yet binds nobody: settings and listing may change."""
        if not self.done() and not self.merged:
            for path in (self.folder / "job.json", self.listing):
                path.unlink(missing_ok=True)

    def begin(self, settings: Mapping[str, Any]) -> None:
        self._write("job.json", json.dumps(settings, indent=1).encode())

    def done(self) -> set[int]:
        """The numbers of the parts that are there."""
        names = [path.name for path in self.folder.glob(f"{_PREFIX}*{_SUFFIX}")]
        return {int(name[len(_PREFIX) : -len(_SUFFIX)]) for name in names}

    def write(self, number: int, part: Part) -> None:
        """Either all of the part is there afterwards, or, after a kill, nothing."""
        meta = {
            "ids": part.ids,
            "failed": {at: dataclasses.astuple(f) for at, f in part.failed.items()},
            "layouts": [dataclasses.asdict(layout) for layout in part.layouts],
            "model": part.model,
            "advice": part.advice,
        }
        file = io.BytesIO()
        arrays: dict[str, Any] = {f"head_{i}": rows for i, rows in enumerate(part.rows)}
        if part.regions is not None:
            meta["regions"] = part.regions.names
            arrays |= {"counts": part.regions.counts, "boxes": part.regions.boxes}
        np.savez(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
        self._write(self._name(number), file.getvalue())

    def read(self, number: int, *, rows: bool = True) -> Part:
        """A part that is there; without its rows on request, which is fast."""
        with np.load(self.folder / self._name(number)) as file:
            meta = json.loads(file["meta"].tobytes())
            layouts = [HeadLayout(**{**m, "shape": tuple(m["shape"])}) for m in meta["layouts"]]
            arrays = [file[f"head_{i}"] for i in range(len(layouts))] if rows else []
            regions = None
            if (names := meta.get("regions")) is not None:
                regions = RegionRows(file["counts"], file["boxes"], names)
        failed = {int(at): Failed(*values) for at, values in meta["failed"].items()}
        advice = meta.get("advice", [])
        return Part(meta["ids"], failed, layouts, meta["model"], arrays, advice, regions)

    def read_all(self, count: int, *, rows: bool = True) -> Iterator[Part]:
        return (self.read(number, rows=rows) for number in range(count))

    @property
    def merged(self) -> bool:
        """Whether the output is complete, so that nothing here is needed any more."""
        return self._merged.exists()

    def mark_merged(self) -> None:
        self._write(self._merged.name, b"")

    def remove(self) -> None:
        """Removes the folder, the mark that it is not needed last."""
        for path in self.folder.iterdir():
            if path != self._merged:
                path.unlink()
        shutil.rmtree(self.folder)

    def _name(self, number: int) -> str:
        return f"{_PREFIX}{number:08d}{_SUFFIX}"

    def _write(self, name: str, data: bytes) -> None:
        write_whole(self.folder / name, data)


def write_whole(path: Path, data: bytes) -> None:
    """A file with all of the data, or, after a kill or a power cut, none of that name."""
    part = path.with_name(path.name + ".part")
    with writing(path), removed_on_failure(part):
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        publish(part, path)


@contextlib.contextmanager
def removed_on_failure(*paths: Path) -> Iterator[None]:
    """Where the disk is full, the beginnings of files must not keep it so."""
    try:
        yield
    except (OSError, BulkError):
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()
        raise


def publish(part: Path, path: Path) -> None:
    """Gives a file that is complete its name, and sees that the name is on disk."""
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
