"""Where images come from: a folder, a column of Parquet files, or a list; which it is."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixpool._extras import how_to_install
from pixpool._files import open_file
from pixpool._images import Image
from pixpool._picture_suffixes import PICTURE_SUFFIXES
from pixpool.bulk.boxes import FORMS, may_hold_boxes, with_boxes
from pixpool.bulk.errors import BulkError, writing
from pixpool.bulk.folders import (
    OWN_RESULTS,
    LeftOut,
    Rules,
    has_picture_signature,
    takes_picture,
    walk,
)
from pixpool.bulk.lists import JsonLines, PathList
from pixpool.bulk.source import Source

_PARQUET = ".parquet"
_JSON_LINES = (".jsonl", ".ndjson")
# The end of a Parquet file holds its schema, and place and statistics of all of its data.
_FOOTER_BYTES = 1 << 16


class Folder(Source):
    """All pictures in and below a folder, by path; the id is the path within the folder.

    Pictures are what `folders.takes_picture` says, hidden files, junk and what `rules` exclude left
    out. The list is made once for a job, in `listing`: pictures that come later are not part of it,
    and those that vanish fail by themselves.
    """

    def __init__(self, folder: Path, listing: Path, rules: Rules) -> None:
        self._folder = folder.absolute()
        self._rules = rules
        notes = listing.with_name("left_out.json")
        if not listing.exists():
            _list_pictures(os.fspath(folder), listing, notes, rules)
        self._list = PathList(listing)
        if notes.exists():
            self.left_out = LeftOut.from_json(json.loads(notes.read_text()))

    def __len__(self) -> int:
        return len(self._list)

    def identity(self) -> dict[str, Any]:
        return {**self._list.identity(), "kind": "folder", **self._rules.settings()}

    def read(self, start: int, stop: int) -> Iterator[Image]:
        for line in self._list.lines(start, stop):
            path = json.loads(line)
            yield Image(os.path.join(self._folder, path), path)


class ParquetColumn(Source):
    """A column of a Parquet file, or of all *.parquet files in and below a folder by path.

    column: holds the bytes of images, paths, or structs of `bytes` and `path` as Hugging Face's
        datasets do; default: "image". id_column: default: the position of the row, from 0; may be
        what the names of folders say, as in "label=cat/0.parquet". box_column: of the boxes of each
        picture; default: images bring none. Files that this package has written are left out, and
        so are those whose names begin with an underscore.
    """

    def __init__(
        self, path: Path, column: str, id_column: str, box_column: str, rules: Rules
    ) -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise BulkError(f"Parquet needs pyarrow: {how_to_install('bulk')}") from error
        path = path.absolute()
        self._open = parquet.ParquetFile
        self._column = column or "image"
        self._id_column = id_column
        self._box_column = box_column
        self.has_boxes = bool(box_column)
        self._rules = rules
        self._folder = path if path.is_dir() else path.parent
        self.left_out = LeftOut()
        self._files = []  # paths from the folder on
        self._counts = []
        for name in self._names(path):
            with self._open(self._folder / name) as opened:
                if path.is_dir() and b"pixpool" in (opened.metadata.metadata or {}):
                    self.left_out.kinds[OWN_RESULTS] += 1
                    continue
                self._check(name, opened.schema_arrow)
                self._files.append(name)
                self._counts.append(opened.metadata.num_rows)

    def _names(self, path: Path) -> Iterator[str]:
        if not path.is_dir():
            return iter([path.name])
        return walk(os.fspath(path), self._rules, _takes_parquet, self.left_out)

    def _check(self, name: str, schema: Any) -> None:
        path, columns = self._folder / name, schema.names
        known = [*columns, *(key for key in _partition(name) if key not in columns)]
        for wanted, among in (
            (self._column, columns),
            (self._id_column, known),
            (self._box_column, columns),
        ):
            if wanted and wanted not in among:
                raise BulkError(f"{path}: no column {wanted}; it has {', '.join(known)}")
        if self.has_boxes and not may_hold_boxes(kind := schema.field(self._box_column).type):
            raise BulkError(f"{path}: column {self._box_column} is {kind}; wanted is {FORMS}")

    def __len__(self) -> int:
        return sum(self._counts)

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for name in self._files:
            with open(self._folder / name, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _FOOTER_BYTES))
                digest.update(os.fsencode(f"{name} {size} ") + file.read())
        return {
            "kind": "parquet",
            "images": len(self),
            "column": self._column,
            "id_column": self._id_column,
            "sha256": digest.hexdigest(),
            **({"box_column": self._box_column} if self.has_boxes else {}),
            **self._rules.settings(),
        }

    def read(self, start: int, stop: int) -> Iterator[Image]:
        first = 0  # position of the row group's first row
        for name in self._files:
            with self._open(self._folder / name) as file:
                columns = [self._column, *([self._box_column] if self.has_boxes else [])]
                fixed = None  # the id of all rows
                if self._id_column in file.schema_arrow.names:
                    columns.append(self._id_column)
                elif self._id_column:
                    fixed = _partition(name)[self._id_column]
                for group in range(file.metadata.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    if first < stop and first + count > start:
                        batches = file.iter_batches(64, row_groups=[group], columns=columns)
                        yield from self._slice(batches, first, start, stop, fixed)
                    first += count

    def _slice(
        self, batches: Any, first: int, start: int, stop: int, fixed: str | None
    ) -> Iterator[Image]:
        for batch in batches:
            low, high = max(start - first, 0), min(stop - first, batch.num_rows)
            if low < high:
                rows = batch.slice(low, high - low)
                values = rows.column(self._column).to_pylist()
                ids: Any = range(first + low, first + high)
                if fixed is not None:
                    ids = [fixed] * len(values)
                elif self._id_column:
                    ids = rows.column(self._id_column).to_pylist()
                boxes: list[Any] = [None] * len(values)
                if self.has_boxes:
                    boxes = rows.column(self._box_column).to_pylist()
                for value, name, regions in zip(values, ids, boxes, strict=True):
                    yield with_boxes(Image(_picture(value), str(name)), regions)
            first += batch.num_rows


def open_source(
    path: Path,
    listing: Path,
    column: str = "",
    id_column: str = "",
    box_column: str = "",
    rules: Rules | None = None,
) -> Source:
    """The source that a path means: a folder of pictures or of Parquet files, or a file.

    A folder with both is one of pictures, unless a column is named. listing: where a folder's
    pictures are listed. BulkError where it cannot be read, or holds no images.
    """
    columns = (column, id_column, box_column)
    try:
        source = _open(path, listing, columns, rules or Rules())
    except (OSError, ValueError) as error:
        raise BulkError(f"cannot read {path}: {_reason(error)}") from error
    if len(source) == 0:
        raise BulkError(_nothing(path, source))
    return source


def _open(path: Path, listing: Path, columns: tuple[str, str, str], rules: Rules) -> Source:
    if path.is_dir():
        if any(columns):
            return ParquetColumn(path, *columns, rules)
        folder = Folder(path, listing, rules)
        if len(folder) == 0 and folder.left_out.kinds[_PARQUET]:
            return ParquetColumn(path, *columns, rules)
        return folder
    if rules != Rules():
        raise BulkError(f"{path} is a file: exclude and follow_links are for folders")
    open_file(path).close()  # a list is read more than once, so it must be a file
    if path.suffix in _JSON_LINES:
        return JsonLines(path, *columns)
    if path.suffix == _PARQUET or any(columns):
        return ParquetColumn(path, *columns, rules)
    if has_picture_signature(os.fspath(path)):
        raise ValueError("it is a picture, not a list of paths; name its folder, or a list")
    return PathList(path)


def _nothing(path: Path, source: Source) -> str:
    """What is missing where there are no images."""
    if isinstance(source, Folder):
        text = f"no pictures ({' '.join(PICTURE_SUFFIXES)}) in or below {path}"
    elif isinstance(source, (PathList, JsonLines)):
        text = f"no paths in {path}"
    else:
        text = f"no rows in the Parquet files of {path}"
        if source.has_boxes:
            text += "; pictures with boxes are listed in one, or in a .jsonl file"
    return ". ".join([text, *source.left_out.lines()])


def _list_pictures(folder: str, listing: Path, notes: Path, rules: Rules) -> None:
    left_out = LeftOut()
    found = walk(folder, rules, takes_picture, left_out, skip=listing.absolute().parent)
    first = next(found, None)  # here a folder that cannot be read says so
    part = listing.with_name(listing.name + ".part")
    with writing(listing):
        with open(part, "w", encoding="ascii") as file:
            for path in itertools.chain([] if first is None else [first], found):
                file.write(json.dumps(path) + "\n")
            file.flush()
            os.fsync(file.fileno())
        notes.write_text(json.dumps(left_out.to_json()))
        os.replace(part, listing)


def _takes_parquet(path: str, name: str) -> bool:
    return name.endswith(_PARQUET) and not name.startswith("_")


def _partition(name: str) -> dict[str, str]:
    """What the folders of a path say, as {"label": "cat"} of "label=cat/0.parquet"."""
    pairs = (folder.partition("=") for folder in name.split("/")[:-1])
    return {key: urllib.parse.unquote(value) for key, sign, value in pairs if key and sign}


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _picture(value: Any) -> str | bytes:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    # Empty bytes fail as an image does, with a row of its own.
    return value if isinstance(value, (str, bytes)) and value else b""
