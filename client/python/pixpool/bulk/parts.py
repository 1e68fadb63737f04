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

import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
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


@dataclasses.dataclass(frozen=True)
class Part:
    """Consecutive images of the source.

    rows: an array a head, in the order of `layouts`, [number of images that succeeded, ...].
    failed: by position within the part. layouts, model: empty where every image failed. advice:
    what images have to remark on the options of the job, each once.
    """

    ids: list[str]
    failed: Mapping[int, Failed]
    layouts: list[HeadLayout]
    model: str
    rows: list[NDArray[Any]]
    advice: list[str] = dataclasses.field(default_factory=list)

    @staticmethod
    def of(results: list[ImageResult], layouts: list[HeadLayout]) -> Part:
        good = [r for r in results if r.ok]
        rows = [
            np.stack([layout.row(r.head_results[i]) for r in good]).astype(layout.dtype, copy=False)
            for i, layout in enumerate(layouts if good else ())
        ]
        failed = {
            at: Failed(r.error.code.name, r.error.reason, r.error.message)
            for at, r in enumerate(results)
            if r.error is not None
        }
        model = good[0].model if good else None
        name = f"{model.name}/{model.version}" if model else ""
        # A warning that names an option is the same for every image that it concerns.
        warnings = (w for r in good for w in r.warnings if "--background" in w)
        advice = list(dict.fromkeys(warnings))
        return Part([r.name for r in results], failed, layouts if good else [], name, rows, advice)


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
        np.savez(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
        self._write(self._name(number), file.getvalue())

    def read(self, number: int, *, rows: bool = True) -> Part:
        """A part that is there; without its rows on request, which is fast."""
        with np.load(self.folder / self._name(number)) as file:
            meta = json.loads(file["meta"].tobytes())
            layouts = [HeadLayout(**{**m, "shape": tuple(m["shape"])}) for m in meta["layouts"]]
            arrays = [file[f"head_{i}"] for i in range(len(layouts))] if rows else []
        failed = {int(at): Failed(*values) for at, values in meta["failed"].items()}
        return Part(meta["ids"], failed, layouts, meta["model"], arrays, meta.get("advice", []))

    def read_all(self, count: int) -> Iterator[Part]:
        return (self.read(number) for number in range(count))

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
