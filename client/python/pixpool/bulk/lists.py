"""Sources that are text files with a line an image: paths, or JSON objects."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixpool._files import open_file
from pixpool._images import Image
from pixpool.bulk.boxes import with_boxes
from pixpool.bulk.errors import BulkError
from pixpool.bulk.source import Source

# What a file in UTF-16 begins with, as Windows writes them; UTF-8 may begin with its own.
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class PathList(Source):
    """Paths in a text file, one per line, which is the image's id. Empty lines do not count.

    UTF-8, or after a byte order mark UTF-16.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        with open_file(self._path) as file:
            self._encoding = "utf-16" if file.read(2) in _UTF_16 else "utf-8-sig"
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
        for line in self.lines(start, stop):
            yield Image(self.full(line), line)

    def full(self, path: str) -> str:
        """A path of the list, as all processes understand it."""
        return os.path.join(self._base, path)

    def lines(self, start: int, stop: int) -> Iterator[str]:
        """The lines of those images."""
        return itertools.islice(self._lines(), start, stop)

    def _lines(self) -> Iterator[str]:
        # Paths are bytes; those that are not UTF-8 survive as surrogates.
        with open(
            self._path, encoding=self._encoding, errors="surrogateescape", newline="\n"
        ) as file:
            for line in file:
                if stripped := line.rstrip("\r\n"):
                    yield stripped


class JsonLines(Source):
    """JSON objects, one per line, such as {"image": "a.jpg", "boxes": [[10, 20, 110, 220]]}.

    column: the key of an image's path; default: "image". id_column: of its id; default: the path is
    the id. box_column: of its boxes; default: images bring none. Encoding and empty lines as in
    lists of paths.
    """

    def __init__(self, path: Path, column: str, id_column: str, box_column: str) -> None:
        self._list = PathList(path)
        self._column = column or "image"
        self._id_column = id_column or self._column
        self._box_column = box_column
        self.has_boxes = bool(box_column)
        self._check(path)

    def _check(self, path: Path) -> None:
        """All of the lines: a job must not find out in its third day."""
        found = False
        for number, line in enumerate(self._list.lines(0, len(self)), 1):
            where = f"{path}, image {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BulkError(f"{where}: no JSON: {error}") from error
            if not isinstance(row, dict):
                raise BulkError(f"{where}: no JSON object, but {line[:60]}")
            for key in (self._column, self._id_column):
                if key not in row:
                    raise BulkError(f"{where}: no key {key}; it has {', '.join(row) or 'none'}")
            if not isinstance(row[self._column], str):
                raise BulkError(f"{where}: {self._column} is not the path of a picture")
            found = found or self._box_column in row
        if self.has_boxes and not found and len(self):
            raise BulkError(f"{path}: no line has the key {self._box_column}")

    def __len__(self) -> int:
        return len(self._list)

    def identity(self) -> dict[str, Any]:
        return {
            **self._list.identity(),
            "kind": "json lines",
            "column": self._column,
            "id_column": self._id_column,
            "box_column": self._box_column,
        }

    def read(self, start: int, stop: int) -> Iterator[Image]:
        for line in self._list.lines(start, stop):
            row = json.loads(line)
            boxes = row.get(self._box_column) if self.has_boxes else None
            path = self._list.full(row[self._column])
            yield with_boxes(Image(path, str(row[self._id_column])), boxes)
