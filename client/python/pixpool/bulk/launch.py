"""The one call of this package: makes a job of what is asked for, and runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from pixpool._access import StrPath, Tls
from pixpool._api import pb
from pixpool._channel import DEFAULT_TARGET
from pixpool._head_base import HeadsLike
from pixpool._regions import RegionsLike
from pixpool._request import Options, OptionsOfRegions, Priority, RequestSpec
from pixpool.bulk.errors import writing
from pixpool.bulk.folders import Rules
from pixpool.bulk.job import Job, Server, Summary
from pixpool.bulk.on_ray import run_parts
from pixpool.bulk.outputs import open_output
from pixpool.bulk.parts import Work
from pixpool.bulk.sources import open_source


def run(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    heads: HeadsLike = None,
    *,
    target: str = DEFAULT_TARGET,
    model: str = "",
    model_version: str = "",
    input_options: Options = None,
    column: str = "",
    id_column: str = "",
    box_column: str = "",
    regions: RegionsLike = (),
    region_options: OptionsOfRegions = None,
    concurrency: int = 32,
    timeout: float = 300.0,
    priority: Priority | None = "bulk",
    round_robin: bool = False,
    tls: bool | Tls = False,
    token_file: StrPath | None = None,
    allow_plain_token: bool = False,
    metadata: Iterable[tuple[str, str]] = (),
    part_size: int = 512,
    progress: bool | TextIO = True,
    ray: bool = False,
    follow_links: bool = False,
    exclude: Sequence[str] = (),
) -> Summary:
    """Extracts features of all images of a source into a file; goes on where an earlier run ended.

    source: a folder of pictures, with all below it; a text file of paths, one per line; a Parquet
        file, or a folder of them, partitioned or not; a file of JSON objects, one per line, that
        ends in .jsonl or .ndjson. A folder that holds pictures and Parquet files is one of pictures
        unless a column is named. Hidden files and what programs keep beside pictures ("@eaDir",
        "__MACOSX") are left out; files without a suffix are looked into.
    output: `NAME.npy` (one head; of several, `NAME.<head_id>.npy`) with `NAME.index.json`, or
        `NAME.parquet`. Appears when it is complete; until then the work lies in `<output>.work`,
        which takes as much space.
    heads, model, model_version, input_options: as in `Client.extract`; heads must give vectors or
        maps of one size.
    column, id_column: of Parquet, the column of images (bytes, paths, or structs of them; default
        "image") and of ids (default: the row's position). Of JSON, the keys of paths and of ids
        (default: the path).
    box_column: of Parquet or JSON, the boxes of each image: lists of four numbers (left, top, right
        and bottom in pixels), or of structs or objects with the fields of `pixpool.Region`. The
        output then has a row a box; an image without boxes is not sent.
    regions, region_options: as in `Client.extract`; heads are applied to regions in place of
        images here, too. `include_image` needs the mode "crop".
    concurrency: images under way at once, 1 to 1024; fewer while the server sheds.
    timeout: seconds for an image, in which an overloaded or restarted server is waited for.
    priority: as in `Client.extract`; a job can be held back, so it is "bulk" unless told.
    round_robin: spreads calls over all addresses of the target.
    tls, token_file, allow_plain_token, metadata: as in `Client`; metadata are headers and no
        function. With Ray all nodes read the files, under the same paths.
    part_size: images in a part, 1 to 100000: what a kill may cost. Fixed when the job begins.
    progress: True: lines on standard error; False: none; or a text file.
    ray: whether Ray Data does the parts, on the cluster that RAY_ADDRESS names or on this machine;
        the folder of the output, and paths, must then be on storage that all nodes share.

    follow_links: whether links to folders are followed; one that leads back to a folder above it is
        left out. Links to files always are.
    exclude: patterns of what is left out of a folder (* ? [...]): of the names of files and
        folders; with a slash within it, of paths from the folder on; with one at the end, of
        folders only.

    An image that cannot be used has its error in the output and does not stop the job. Memory does
    not grow with the number of images. One run at a time works on an output.

    BulkError: the source, heads or options are others than those that the job was begun with; the
    server's vectors are of another space than those that are there; the server is gone for longer
    than the timeout; there is nothing to do; the output cannot be written. What is done is kept,
    and the same call goes on. Its `exit_code` is that of the command.
    """
    if not 1 <= part_size <= 100_000:
        raise ValueError(f"part_size must be 1 to 100000, is {part_size}")
    spec = RequestSpec.make(
        heads, model, model_version, input_options, priority, regions, region_options
    )
    _check_regions(spec, box_column)
    server = Server(
        target,
        timeout,
        concurrency,
        round_robin,
        tls,
        token_file,
        allow_plain_token,
        tuple(metadata),
    )
    server.check()
    rules = Rules(follow_links, tuple(exclude))
    out = sys.stderr if progress is True else progress or None
    result = open_output(Path(output))
    with writing(result.path):
        result.path.parent.mkdir(parents=True, exist_ok=True)
    work = Work(result.path.with_name(result.path.name + ".work"))
    work.lock()
    try:
        work.forget_if_empty()
        images = open_source(Path(source), work.listing, column, id_column, box_column, rules)
        job = Job(images, spec, work, result, server)
        return job.run(part_size, out, run_parts if ray else None)
    finally:
        work.unlock()


def _check_regions(spec: RequestSpec, box_column: str) -> None:
    """ValueError for options that have no regions, or that no output can hold."""
    options = spec.region_options or pb.RegionOptions()
    if options != pb.RegionOptions() and not spec.regions and not box_column:
        raise ValueError("region options say what becomes of regions; name some, or their column")
    if options.include_image and options.mode != pb.REGION_MODE_CROP:
        raise ValueError(
            "in the mode map, whole pictures are of another vector space than regions, so they must"
            " not share a file. Give each picture a box of all of it, which is of the regions'"
            " space; or take the mode crop, or a job for pictures alone"
        )
