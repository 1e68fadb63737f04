"""Where images come from: a folder, a list of paths, or a column of Parquet files.

A source has a fixed number of images in a fixed order, so that a part of it means the same images
in every run; its identity (a JSON object) tells whether it has changed.
"""

from __future__ import annotations

import abc
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixpool._extras import how_to_install
from pixpool._images import Image
from pixpool._picture_suffixes import PICTURE_SUFFIXES
from pixpool.bulk.errors import BulkError

# The end of a Parquet file holds its schema, and place and statistics of all of its data.
_FOOTER_BYTES = 1 << 16


class Source(abc.ABC):
    """Images by position."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """What differs where the images may differ."""

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> Iterator[Image]:
        """The images from position `start` to before `stop`, named by their ids."""


class PathList(Source):
    """Paths in a text file, one per line, which is the image's id. Empty lines do not count."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        # Relative paths mean the same in other processes, such as Ray's workers.
        self._base = os.getcwd()
        digest = hashlib.sha256()
        self._count = 0
        for line in self._lines():
            digest.update(line.encode(errors="surrogateescape") + b"\n")
            self._count += 1
        self._digest = digest.hexdigest()

    def __len__(self) -> int:
        return self._count

    def identity(self) -> dict[str, Any]:
        return {"kind": "list", "images": self._count, "sha256": self._digest}

    def read(self, start: int, stop: int) -> Iterator[Image]:
        for position, line in enumerate(self._lines()):
            if position >= stop:
                return
            if position >= start:
                yield Image(os.path.join(self._base, line), line)

    def _lines(self) -> Iterator[str]:
        # Paths are bytes; those that are not UTF-8 survive as surrogates.
        with open(self._path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for line in file:
                if stripped := line.rstrip("\r\n"):
                    yield stripped


class Folder(Source):
    """All pictures in and below a folder, by path; the id is the path within the folder.

    Pictures are files of the known extensions; hidden files and folders, and links to folders, are
    left out. The list is made once for a job, in `listing`: pictures that come later are not part
    of it, and those that vanish fail by themselves.
    """

    def __init__(self, folder: Path, listing: Path) -> None:
        self._folder = folder.absolute()
        if not listing.exists():
            part = listing.with_name(listing.name + ".part")
            with open(part, "w", encoding="ascii") as file:
                for path in _walk(os.fspath(folder), ""):
                    file.write(json.dumps(path) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, listing)
        self._list = PathList(listing)
        if len(self._list) == 0:
            raise BulkError(f"no pictures ({' '.join(PICTURE_SUFFIXES)}) in or below {folder}")

    def __len__(self) -> int:
        return len(self._list)

    def identity(self) -> dict[str, Any]:
        return {**self._list.identity(), "kind": "folder"}

    def read(self, start: int, stop: int) -> Iterator[Image]:
        for line in self._list.read(start, stop):
            path = json.loads(line.name)
            yield Image(os.path.join(self._folder, path), path)


class ParquetColumn(Source):
    """A column of a Parquet file, or of all *.parquet files in a folder by name.

    column: holds the bytes of images, paths, or structs of `bytes` and `path` as Hugging Face's
        datasets do; default: "image". id_column: default: the position of the row, from 0.
    """

    def __init__(self, path: Path, column: str = "", id_column: str = "") -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise BulkError(f"Parquet needs pyarrow: {how_to_install('bulk')}") from error
        path = path.absolute()
        self._open = parquet.ParquetFile
        self._column = column or "image"
        self._id_column = id_column
        self._files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        self._counts = []
        for file in self._files:
            with self._open(file) as opened:
                names = opened.schema_arrow.names
                for wanted in filter(None, (self._column, id_column)):
                    if wanted not in names:
                        raise BulkError(f"{file}: no column {wanted}; it has {', '.join(names)}")
                self._counts.append(opened.metadata.num_rows)

    def __len__(self) -> int:
        return sum(self._counts)

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for path in self._files:
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _FOOTER_BYTES))
                digest.update(f"{path.name} {size} ".encode() + file.read())
        return {
            "kind": "parquet",
            "images": len(self),
            "column": self._column,
            "id_column": self._id_column,
            "sha256": digest.hexdigest(),
        }

    def read(self, start: int, stop: int) -> Iterator[Image]:
        columns = [name for name in (self._column, self._id_column) if name]
        first = 0  # position of the row group's first row
        for path in self._files:
            with self._open(path) as file:
                for group in range(file.metadata.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    if first < stop and first + count > start:
                        batches = file.iter_batches(64, row_groups=[group], columns=columns)
                        yield from self._slice(batches, first, start, stop)
                    first += count

    def _slice(self, batches: Any, first: int, start: int, stop: int) -> Iterator[Image]:
        for batch in batches:
            low, high = max(start - first, 0), min(stop - first, batch.num_rows)
            if low < high:
                rows = batch.slice(low, high - low)
                values = rows.column(self._column).to_pylist()
                ids = rows.column(self._id_column).to_pylist() if self._id_column else None
                for i, value in enumerate(values):
                    name = str(ids[i] if ids else first + low + i)
                    yield Image(_picture(value), name)
            first += batch.num_rows


def open_source(path: Path, listing: Path, column: str = "", id_column: str = "") -> Source:
    """The source that a path means: a folder of pictures or of Parquet files, or a file.

    BulkError where it cannot be read.
    """
    try:
        parquets = path.is_dir() and any(path.glob("*.parquet"))
        if path.suffix == ".parquet" or parquets or (column or id_column):
            return ParquetColumn(path, column, id_column)
        return Folder(path, listing) if path.is_dir() else PathList(path)
    except (OSError, ValueError) as error:
        raise BulkError(f"cannot read {path}: {error}") from error


def _picture(value: Any) -> str | bytes:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    # Empty bytes fail as an image does, with a row of its own.
    return value if isinstance(value, (str, bytes)) and value else b""


def _walk(folder: str, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as found:
        entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, prefix + entry.name + "/")
        elif entry.name.lower().endswith(PICTURE_SUFFIXES) and entry.is_file():
            yield prefix + entry.name
