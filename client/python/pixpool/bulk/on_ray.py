"""Does the parts of a job by Ray Data: a task a part, on an existing cluster or on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pixpool._extras import how_to_install
from pixpool.bulk.errors import BulkError
from pixpool.bulk.job import Job
from pixpool.bulk.parts import Part, Work, has_failed
from pixpool.bulk.report import Report


@dataclasses.dataclass(frozen=True)
class _DoPart:
    """Runs in Ray's workers. The job travels without its lock, which the driver holds."""

    job: Job

    def __call__(self, row: dict[str, Any]) -> dict[str, int]:
        number = int(row["item"])
        job = self.job
        with job.server.connect() as client:
            for _, results in job.results(client, [number], Report(None, len(job.source))):
                job.work.write(number, Part.of(results, job.layouts, job.by_region))
        return {
            "number": number,
            "images": len(results),
            "failed": sum(map(has_failed, results)),
        }


def run_parts(job: Job, numbers: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yields number, images and failed images of each part as it is done. BulkError without Ray."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BulkError(f"--ray needs Ray: {how_to_install('ray')}") from error
    if not numbers:
        return
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    elsewhere = Job(job.source, job.spec, Work(job.work.folder.absolute()), job.output, job.server)
    elsewhere.part_size, elsewhere.layouts = job.part_size, job.layouts
    # A block a part: what a task that is lost takes with it.
    parts = ray.data.from_items(numbers, override_num_blocks=len(numbers))
    for row in parts.map(_DoPart(elsewhere)).iter_rows():
        yield row["number"], row["images"], row["failed"]
