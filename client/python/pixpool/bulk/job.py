"""One job: the images of a source through a server into an output."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import grpc
from google.protobuf.json_format import MessageToDict

from pixpool._access import StrPath, Tls
from pixpool._api import pb
from pixpool._channel import DEFAULT_TARGET
from pixpool._client import Client
from pixpool._errors import PixpoolError
from pixpool._images import Image, NotSent
from pixpool._request import RequestSpec
from pixpool._results import ImageResult
from pixpool._retry import RetryPolicy
from pixpool.bulk.errors import BulkError, ExitCode, exit_code_for
from pixpool.bulk.folders import LeftOut
from pixpool.bulk.outputs import About, Output
from pixpool.bulk.parts import HeadLayout, Part, Work, has_failed, nothing_asked, rows_of
from pixpool.bulk.report import Report
from pixpool.bulk.source import Source

# Failures that say nothing about the image: the job stops, and a later run goes on there.
_STOPS = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAUTHENTICATED,
)
# Of a pixpool server these name a reason and concern the image; of a proxy in between they do not.
_STOPS_UNEXPLAINED = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
# A server that is restarted or overloaded is waited for, as long as the timeout of an image allows.
_PATIENT = RetryPolicy(max_attempts=100_000, max_backoff_s=5.0)


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a finished job holds.

    images: all of the source. failed: those without features. resumed: those that earlier runs had
    done. space_ids: by head id; empty where every image failed. model: "name/version".
    files: those with features that were written; none where every image failed and the output is
    .npy. left_out: of a folder's files, how many the search left out, by kind, such as ".txt" or
    "hidden". unreadable: folders and links in it that could not be read, by path, with the reason.
    advice: what images had to remark on the options of the job, each once. regions: of all images,
    those that have features. without_regions: images of a job of regions that had none.
    """

    images: int
    failed: int
    resumed: int
    space_ids: dict[str, str]
    model: str
    files: tuple[Path, ...] = ()
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unreadable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    advice: tuple[str, ...] = ()
    regions: int = 0
    without_regions: int = 0


@dataclasses.dataclass(frozen=True)
class Server:
    """How to reach the server, as plain values that can be sent to other processes.

    timeout: seconds for an image, waits for an overloaded or restarted server included.
    """

    target: str = DEFAULT_TARGET
    timeout: float = 300.0
    concurrency: int = 32
    round_robin: bool = False
    tls: bool | Tls = False
    token_file: StrPath | None = None
    allow_plain_token: bool = False
    metadata: tuple[tuple[str, str], ...] = ()

    def connect(self) -> Client:
        return Client(
            self.target,
            timeout=self.timeout,
            retry=_PATIENT,
            round_robin=self.round_robin,
            tls=self.tls,
            token_file=self.token_file,
            allow_plain_token=self.allow_plain_token,
            metadata=self.metadata,
        )

    def check(self) -> None:
        """ValueError where no call could be made; nothing is sent."""
        self.connect().close()


# Does the missing parts elsewhere: (job, numbers) gives (number, images, failed) as they finish.
Runner = Callable[["Job", list[int]], Iterator[tuple[int, int, int]]]


class Job:
    """The parts of a source, those that are there and those to be done.

    by_region: whether rows are of regions of images, in place of images.
    """

    def __init__(
        self, source: Source, spec: RequestSpec, work: Work, output: Output, server: Server
    ) -> None:
        self.source = source
        self.spec = spec
        self.work = work
        self.output = output
        self.server = server
        self.by_region = bool(source.has_boxes or spec.regions)
        self.part_size = 0
        self.layouts: list[HeadLayout] = []
        self.advice: list[str] = []

    def run(self, part_size: int, out: TextIO | None, runner: Runner | None) -> Summary:
        if (summary := self._complete()) is not None:
            return summary
        self._begin(part_size)
        count = -(-len(self.source) // self.part_size)
        done = sorted(self.work.done())
        failed = self._check_done(done)
        missing = sorted(set(range(count)) - set(done))
        resumed = sum(self._size(number) for number in done)
        report = Report(out, len(self.source), resumed, failed)
        for line in self.source.left_out.lines():
            report.say(line)
        if resumed:
            report.say(f"{resumed:,} of {len(self.source):,} images are done; going on")
        for line in self.advice:
            report.say(advice_line(line))
        try:
            if runner is None:
                self._run_here(missing, report)
            else:
                for _, images, bad in runner(self, missing):
                    for i in range(images):
                        report.add(i < bad)
                self._check_done(missing, report)
        finally:
            report.close()
        return self._finish(count, report.failed, resumed)

    def _settings(self) -> dict[str, Any]:
        """What must be the same in all runs of a job."""
        heads = [MessageToDict(h, preserving_proto_field_name=True) for h in self.spec.heads]
        options = MessageToDict(self.spec.options, preserving_proto_field_name=True)
        return {
            "source": self.source.identity(),
            "heads": heads,
            "model": self.spec.model,
            "model_version": self.spec.model_version,
            "input_options": options,
            "regions": self._region_settings() if self.by_region else None,
        }

    def _region_settings(self) -> dict[str, Any]:
        options = self.spec.region_options or pb.RegionOptions()
        return {
            "of_all": [
                MessageToDict(r, preserving_proto_field_name=True) for r in self.spec.regions
            ],
            "options": MessageToDict(options, preserving_proto_field_name=True),
        }

    def _complete(self) -> Summary | None:
        """The summary of an output that is there already, after checking that it is this job's."""
        begun = self.work.settings() is not None
        if begun and not self.work.merged:
            return None  # what may be there under the output's name is not complete
        about = self.output.about()
        if about is None:
            return None
        _check_settings(about["settings"], self._settings(), self.output.path)
        self.work.remove()
        return self._summary(about, about["images"])

    def _summary(self, about: About, resumed: int) -> Summary:
        left_out = LeftOut.from_json(about["left_out"])
        return Summary(
            about["images"],
            about["failed"],
            resumed,
            about["space_ids"],
            about["model"],
            tuple(self.output.path.with_name(name) for name in about["files"]),
            dict(left_out.kinds),
            left_out.unreadable,
            tuple(about.get("advice", ())),
            about.get("regions", 0),
            about.get("without_regions", 0),
        )

    def _begin(self, part_size: int) -> None:
        settings = self._settings()
        begun = self.work.settings()
        if begun is None:
            begun = {"part_size": part_size, "settings": settings}
            self.work.begin(begun)
        _check_settings(begun["settings"], settings, self.work.folder)
        self.part_size = begun["part_size"]

    def _check_done(self, numbers: list[int], report: Report | None = None) -> int:
        """Reads parts that are there; returns how many images failed in them."""
        failed = 0
        for number in numbers:
            part = self.work.read(number, rows=False)
            failed += len(part.failed)
            self._take_advice(part, report)
            if part.layouts:
                self._check_layouts(part.layouts)
        return failed

    def _check_layouts(self, layouts: list[HeadLayout]) -> None:
        """All rows must be of one space and shape; the first decide."""
        if not self.layouts:
            self.output.check(layouts, self.by_region)
            self.layouts = layouts
        for here, new in zip(self.layouts, layouts, strict=True):
            if here.space_id != new.space_id:
                raise BulkError(
                    f"head {new.head_id}: the server's vectors are of space {new.space_id}, those"
                    f" in {self.work.folder} of {here.space_id}, and must not share a file: the"
                    " model or its options have changed. Run the server as it was, or name another"
                    " output",
                    ExitCode.INTERNAL,
                )
            if here.shape != new.shape:
                raise BulkError(
                    f"head {new.head_id} gives {list(new.shape)} for one image and"
                    f" {list(here.shape)} for another: take a head of fixed size, or an input of"
                    " fixed size",
                    ExitCode.INTERNAL,
                )

    def _take_advice(self, part: Part, report: Report | None) -> None:
        for line in part.advice:
            if line not in self.advice:
                self.advice.append(line)
                if report is not None:
                    report.say(advice_line(line))

    def _size(self, number: int) -> int:
        return min(self.part_size, len(self.source) - number * self.part_size)

    def _run_here(self, missing: list[int], report: Report) -> None:
        with self.server.connect() as client:
            for number, results in self.results(client, missing, report):
                part = Part.of(results, self.layouts, self.by_region)
                self.work.write(number, part)
                self._take_advice(part, report)

    def results(
        self, client: Client, numbers: list[int], report: Report
    ) -> Iterator[tuple[int, list[ImageResult]]]:
        """The results of each part as it fills; images of the next are under way meanwhile."""
        spec = self.spec
        stream = client.stream(
            self._images(numbers),
            spec.heads,
            model=spec.model,
            model_version=spec.model_version,
            input_options=spec.options,
            concurrency=self.server.concurrency,
            priority=spec.priority,
            regions=spec.regions,
            region_options=spec.region_options,
        )
        for number in numbers:
            results: list[ImageResult] = []
            try:
                while len(results) < self._size(number):
                    result = next(stream)
                    self._check(result)
                    results.append(result)
                    report.add(has_failed(result))
            except StopIteration:
                raise BulkError(
                    "the source ended early: it has lost images since it was counted"
                ) from None
            except PixpoolError as error:
                raise BulkError(
                    _stopped(error, self.server.target), exit_code_for(error.code)
                ) from error
            yield number, results

    def _images(self, numbers: list[int]) -> Iterator[Image]:
        """The images of these parts; neighbours are read in one go."""
        at = 0
        while at < len(numbers):
            end = at + 1
            while end < len(numbers) and numbers[end] == numbers[end - 1] + 1:
                end += 1
            start = numbers[at] * self.part_size
            stop = min((numbers[end - 1] + 1) * self.part_size, len(self.source))
            try:
                yield from map(self._asked, self.source.read(start, stop))
            except (OSError, ValueError) as error:
                raise BulkError(
                    f"cannot read the source: {error}. What is done is kept; the same command goes"
                    " on"
                ) from error
            at = end

    def _asked(self, image: Image) -> Image:
        """The image; of one that has no regions where only these are wanted, nothing is asked."""
        if not self.by_region or isinstance(image, NotSent):
            return image
        if len(image.regions) or self.spec.regions or self._with_pictures:
            return image
        return NotSent(b"", image.name, error=nothing_asked())

    @property
    def _with_pictures(self) -> bool:
        options = self.spec.region_options
        return options is not None and options.include_image

    def _check(self, result: ImageResult) -> None:
        if result.error is not None:
            code, reason = result.error.code, result.error.reason
            unexplained = code in _STOPS_UNEXPLAINED and not reason
            if code in _STOPS or result.error.shed or unexplained:
                raise result.error
            return
        if self.by_region and result.head_results and not self._with_pictures:
            raise BulkError(
                "the server gives features of the pictures in place of their regions: it is older"
                " than these. Run a newer one",
                ExitCode.REFUSED,
            )
        for row in rows_of(result):
            self._check_layouts([HeadLayout.of(r) for r in row])

    def _finish(self, count: int, failed: int, resumed: int) -> Summary:
        rows = regions = without = 0
        model = ""
        for part in self.work.read_all(count, rows=False):
            rows += int(part.counts.sum())
            model = model or part.model
            if part.regions is not None:
                regions += int((~part.regions.whole).sum())
                without += part.regions.bare - len(part.failed)
        layouts = self.layouts or HeadLayout.wanted(self.spec.heads)
        about: About = {
            "images": len(self.source),
            "failed": failed,
            "rows": rows,
            "regions": regions,
            "without_regions": without,
            "space_ids": {layout.head_id: layout.space_id for layout in self.layouts},
            "model": model,
            "files": [path.name for path in self.output.files(layouts, rows)],
            "left_out": self.source.left_out.to_json(),
            "advice": self.advice,
            "settings": self._settings(),
        }
        self.output.write(self.work, count, layouts, about)
        self.work.mark_merged()
        self.work.remove()
        return self._summary(about, resumed)


def advice_line(text: str) -> str:
    """What a job says of advice, once."""
    return f"of some images: {text}"


def _check_settings(begun: dict[str, Any], now: dict[str, Any], where: Path) -> None:
    changed = [name for name in now if begun.get(name) != now[name]]
    if changed:
        what = "; ".join(f"{name} was {begun.get(name)}, is {now[name]}" for name in changed)
        raise BulkError(f"{where} is of another job ({what}): name another output, or remove it")


def _stopped(error: PixpoolError, target: str) -> str:
    text = f"stopped: {error}. What is done is kept; the same command goes on"
    if error.code is grpc.StatusCode.UNAVAILABLE and not error.reason:
        text += f" when a server answers at {target}"
    return text
