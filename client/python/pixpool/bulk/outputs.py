"""Puts the parts of a finished job together: NumPy files with an index, or a Parquet file."""

from __future__ import annotations

import abc
import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from pixpool._extras import how_to_install
from pixpool.bulk.errors import BulkError, ExitCode, writing
from pixpool.bulk.parts import HeadLayout, Part, RegionRows, Work, publish, removed_on_failure

# Columns of a Parquet file beside the heads'.
_OTHER_COLUMNS = ("id", "error_code", "error_reason", "error")
_EDGES = ("left", "top", "right", "bottom")
_REGION_COLUMNS = ("region", "region_id", *_EDGES)


class About(TypedDict):
    """What an output says about itself; `settings` are those of the job that made it.

    files: names of those that hold features. left_out: as `LeftOut.to_json` gives it. rows: those
    with features. regions, without_regions: as in `Summary`.
    """

    images: int
    failed: int
    rows: int
    regions: int
    without_regions: int
    space_ids: dict[str, str]
    model: str
    files: list[str]
    left_out: dict[str, Any]
    advice: list[str]
    settings: dict[str, Any]


class Output(abc.ABC):
    """A file to be made; appears under its name when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abc.abstractmethod
    def about(self) -> About | None:
        """What `write` was given, of an output that is there and complete; else None."""

    @abc.abstractmethod
    def check(self, layouts: list[HeadLayout], by_region: bool) -> None:
        """BulkError where these heads cannot share this output."""

    @abc.abstractmethod
    def files(self, layouts: list[HeadLayout], rows: int) -> list[Path]:
        """Those that `write` writes features to where `rows` rows have some."""

    @abc.abstractmethod
    def write(self, work: Work, parts: int, layouts: list[HeadLayout], about: About) -> None:
        """Reads one part at a time, so needs the memory of one.

        layouts: where no image has features, what `HeadLayout.wanted` gives. BulkError where it
        cannot be written; then nothing of it is left, and all of the work.
        """


class NpyOutput(Output):
    """As `pixpool extract --format npy` writes them; the index alone where no image has features.

    One head to `features.npy`, several to `features.<head_id>.npy`, [N, ...]: float32, float16, or
    packed bits; and `features.index.json` with the image of each row, space ids, and the images
    that failed and so have no row. In a job of regions it has the box of each row (null: the whole
    picture) and, where there are any, the region ids.
    """

    @property
    def _stem(self) -> Path:
        return self.path.with_suffix("")

    @property
    def _index(self) -> Path:
        return self._stem.with_name(self._stem.name + ".index.json")

    def about(self) -> About | None:
        try:
            with open(self._index) as file:
                # The first line is the object's opening, the second holds what is wanted.
                file.readline()
                line = file.readline().strip().rstrip(",")
            return cast(About, dict(json.loads("{" + line + "}")["about"]))
        except FileNotFoundError:
            if self.path.exists():
                raise BulkError(f"{self.path} is of another program; name another output") from None
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise BulkError(f"{self._index} is of another program; name another output") from error

    def check(self, layouts: list[HeadLayout], by_region: bool) -> None:
        paths = self.files(layouts, 1)
        if len(set(paths)) < len(paths):
            raise BulkError(
                "two heads would share a file; give them head ids of plain letters",
                ExitCode.INTERNAL,
            )

    def files(self, layouts: list[HeadLayout], rows: int) -> list[Path]:
        return [self._path(layout, len(layouts)) for layout in layouts] if rows else []

    def _path(self, layout: HeadLayout, heads: int) -> Path:
        if heads == 1:
            return self.path
        safe = "".join(
            c if c.isascii() and c.isalnum() or c in "-_" else "_" for c in layout.head_id
        )
        return self._stem.with_name(f"{self._stem.name}.{safe}.npy")

    def write(self, work: Work, parts: int, layouts: list[HeadLayout], about: About) -> None:
        count = about["rows"]
        paths = self.files(layouts, count)
        with removed_on_failure(*map(_part, (*paths, self._index))):
            for i, path in enumerate(paths):
                with writing(path), open(_part(path), "wb") as file:
                    _write_array(file, work.read_all(parts), i, layouts[i], count)
            with writing(self._index):
                self._write_index(work, parts, layouts, paths, about)
            # The index comes last: where it is, all is.
            for path in (*paths, self._index):
                with writing(path):
                    publish(_part(path), path)

    def _write_index(
        self,
        work: Work,
        parts: int,
        layouts: list[HeadLayout],
        paths: list[Path],
        about: About,
    ) -> None:
        count = about["rows"]
        heads = []
        for layout, path in zip(layouts, paths, strict=False):  # no paths where there are no rows
            entry = dataclasses.asdict(layout)
            entry |= {"file": path.name, "shape": [count, *layout.row_shape]}
            heads.append(entry | ({"bits": layout.bits} if layout.bits else {}))

        def all_parts() -> Iterator[Part]:
            return work.read_all(parts, rows=False)

        lists: dict[str, Callable[[Part], Iterable[Any]]] = {"images": _row_ids}
        if about["settings"]["regions"] is not None:
            lists["boxes"] = _row_boxes
            if any(any(_row_names(part)) for part in all_parts()):
                lists["region_ids"] = _row_names
        lists["failed"] = _failures
        with open(_part(self._index), "w", encoding="ascii") as file:
            file.write(
                f'{{\n "about": {json.dumps(about)},\n "model": {json.dumps(about["model"])},'
            )
            file.write(f'\n "heads": {json.dumps(heads)}')
            for name, items in lists.items():
                file.write(f',\n "{name}": [')
                _write_items(file, itertools.chain.from_iterable(map(items, all_parts())))
                file.write("]")
            file.write("\n}\n")
            _sync(file)


class ParquetOutput(Output):
    """One row per image, failed ones too; in a job of regions one per region.

    Columns: `id`; of each head `<head_id>`, a list of always as many values (float32, float16, or
    uint8 of packed bits), null where the image failed, and `<head_id>_space_id`; `error_code`,
    `error_reason` and `error`, null where it did not. In a job of regions `region`, the position of
    the row's region in its picture, `region_id`, and `left`, `top`, `right`, `bottom`; all are null
    in the row of a whole picture, and in the only row of one that failed or has no regions. Shapes,
    model and settings are in the file's metadata under "pixpool".
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise BulkError(f"Parquet needs pyarrow: {how_to_install('bulk')}") from error
        self._arrow = pyarrow

    def about(self) -> About | None:
        if not self.path.exists():
            return None
        try:
            metadata = self._arrow.parquet.read_metadata(self.path).metadata or {}
            return cast(About, dict(json.loads(metadata[b"pixpool"])["about"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BulkError(f"{self.path} is of another program; name another output") from error

    def check(self, layouts: list[HeadLayout], by_region: bool) -> None:
        names = [n for h in layouts for n in (h.head_id, f"{h.head_id}_space_id")]
        others = _OTHER_COLUMNS + (_REGION_COLUMNS if by_region else ())
        if len({*names, *others}) < len(names) + len(others):
            raise BulkError(
                f"head ids must differ from each other and {', '.join(others)}",
                ExitCode.INTERNAL,
            )

    def files(self, layouts: list[HeadLayout], rows: int) -> list[Path]:
        return [self.path]

    def write(self, work: Work, parts: int, layouts: list[HeadLayout], about: About) -> None:
        pa = self._arrow
        text = pa.string()
        fields = [pa.field("id", text)]
        if about["settings"]["regions"] is not None:
            fields += [pa.field("region", pa.int32()), pa.field("region_id", text)]
            fields += [pa.field(name, pa.float32()) for name in _EDGES]
        for layout in layouts:
            values = pa.from_numpy_dtype(layout.dtype)
            fields += [
                pa.field(layout.head_id, pa.list_(values)),
                pa.field(f"{layout.head_id}_space_id", pa.dictionary(pa.int32(), text)),
            ]
        fields += [pa.field(name, text) for name in _OTHER_COLUMNS[1:]]
        # Without a result, shapes and spaces are not known.
        heads = [
            {name: value for name, value in dataclasses.asdict(layout).items() if value}
            for layout in layouts
        ]
        metadata = {"pixpool": json.dumps({"about": about, "heads": heads})}
        schema = pa.schema(fields, metadata=metadata)
        with removed_on_failure(_part(self.path)), writing(self.path):
            with open(_part(self.path), "wb") as file:
                # Embeddings are noise to a compressor.
                with pa.parquet.ParquetWriter(file, schema, compression="none") as writer:
                    for part in work.read_all(parts):
                        writer.write_table(self._table(part, layouts, schema))
                _sync(file)
            publish(_part(self.path), self.path)

    def _table(self, part: Part, layouts: list[HeadLayout], schema: Any) -> Any:
        pa = self._arrow
        # An image without features has a row, too.
        owners = np.repeat(np.arange(len(part.ids)), np.maximum(part.counts, 1))
        good = np.repeat(part.counts > 0, np.maximum(part.counts, 1))
        columns = [pa.array([_utf8(part.ids[at]) for at in owners], pa.string())]
        if part.regions is not None:
            columns += self._region_columns(part.regions, good)
        for i, layout in enumerate(layouts):
            values = part.rows[i].ravel() if part.rows else np.empty(0, layout.dtype)
            # Where a row begins; null where the row is null, and such rows have no values.
            starts = np.append(0, np.cumsum(good * int(np.prod(layout.row_shape))))
            offsets = pa.array(starts, pa.int32(), mask=np.append(~good, False))
            space = [layout.space_id if ok else None for ok in good]
            columns += [
                pa.ListArray.from_arrays(offsets, pa.array(values)),
                pa.array(space, pa.string()).dictionary_encode(),
            ]
        failed = [part.failed.get(at) for at in owners.tolist()]
        for name in ("code", "reason", "message"):
            columns.append(pa.array([getattr(f, name) if f else None for f in failed], pa.string()))
        return pa.Table.from_arrays(columns, schema=schema)

    def _region_columns(self, regions: RegionRows, good: NDArray[np.bool_]) -> list[Any]:
        """good: which rows of the table are rows of the part."""
        pa = self._arrow
        null = np.ones(len(good), bool)
        null[good] = regions.whole

        def spread(values: NDArray[Any], fill: Any) -> NDArray[Any]:
            column = np.full(len(good), fill, values.dtype)
            column[good] = values
            return column

        names = spread(np.array(regions.names, object), "")
        return [
            pa.array(spread(regions.numbers, 0), pa.int32(), mask=null),
            pa.array([_utf8(name) or None for name in names], pa.string()),
            *(pa.array(spread(edge, 0), mask=null) for edge in regions.boxes.T),
        ]


def open_output(path: Path) -> Output:
    """The output that a path means, by its extension. BulkError for any but .npy and .parquet."""
    if path.suffix == ".parquet":
        return ParquetOutput(path)
    if path.suffix == ".npy":
        return NpyOutput(path)
    raise BulkError(f"the output must end in .npy or .parquet, not {path.name}")


def _write_array(
    file: IO[bytes], parts: Iterable[Part], head: int, layout: HeadLayout, count: int
) -> None:
    header = {
        "descr": layout.dtype.str,
        "fortran_order": False,
        "shape": (count, *layout.row_shape),
    }
    np.lib.format.write_array_header_1_0(file, header)
    for part in parts:
        for rows in part.rows[head : head + 1]:
            file.write(np.ascontiguousarray(rows).tobytes())
    _sync(file)


def _row_ids(part: Part) -> Iterator[str]:
    """The image of each row."""
    for name, count in zip(part.ids, part.counts, strict=True):
        yield from itertools.repeat(name, count)


def _row_boxes(part: Part) -> Iterator[list[float] | None]:
    """The box of each row; None: the whole picture."""
    if part.regions is not None:
        for box, whole in zip(part.regions.boxes.tolist(), part.regions.whole, strict=True):
            yield None if whole else box


def _row_names(part: Part) -> list[str]:
    """The region id of each row."""
    return part.regions.names if part.regions is not None else []


def _failures(part: Part) -> Iterator[dict[str, str]]:
    for at, failed in part.failed.items():
        row = {"path": part.ids[at], "error": str(failed)}
        yield row | {"code": failed.code, "reason": failed.reason}


def _write_items(file: IO[str], items: Iterable[Any]) -> None:
    """The items of a JSON list, one per line."""
    comma = ""
    for item in items:
        file.write(f"{comma}\n  {json.dumps(item)}")
        comma = ","


def _utf8(name: str) -> str:
    # Paths may hold any bytes, and JSON half a pair of surrogates; Parquet's strings may not.
    try:
        data = name.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        data = name.encode(errors="surrogatepass")
    return data.decode(errors="replace")


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
