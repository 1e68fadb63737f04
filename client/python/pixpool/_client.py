"""The client of a pixpool server, for threads; `_aio` has the one for asyncio."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Unpack

import grpc
import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._base import (
    ClassifyOptions,
    ClientBase,
    HeatmapOptions,
    MapForm,
    Plan,
    ScoreForm,
    scores_of,
)
from pixpool._call import Answer, Attempts, Call, Readiness
from pixpool._errors import PixpoolError
from pixpool._head_base import HeadsLike
from pixpool._images import ImageSource, image_name, list_images
from pixpool._models import Limits, ModelInfo
from pixpool._not_given import NOT_GIVEN, NotGiven
from pixpool._progress import Progress, ProgressLike
from pixpool._regions import RegionsLike
from pixpool._request import (
    OnError,
    Options,
    OptionsOfRegions,
    Priority,
    RealArray,
    heatmaps_of,
    image_failure,
    map_head,
    scores_head,
)
from pixpool._results import ClassScore, Extraction, Heatmap, ImageResult
from pixpool._window import Window


class Client(ClientBase):
    """A connection to a server, or with round_robin to several.

        with pixpool.Client("127.0.0.1:50051") as client:
            vectors = client.extract(["a.jpg", "b.jpg"], heads="gem:p=3,l2").array

    Thread-safe: one client for a process is enough. Does not connect until the first call. After a
    fork, make a new one: gRPC does not survive it.

    Errors: `PixpoolError` for a call that failed, `ImageError` for one image of it; both carry
    code, reason, fields and message. UNAVAILABLE without a reason means that no server was reached.
    ValueError and TypeError for arguments that cannot be sent.
    """

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; calls that are under way fail with CANCELLED."""
        self._channel.close()

    def extract(
        self,
        images: ImageSource | Iterable[ImageSource],
        heads: HeadsLike = None,
        *,
        model: str = "",
        model_version: str = "",
        input_options: Options = None,
        on_error: OnError = "raise",
        concurrency: int = 16,
        timeout: float | None | NotGiven = NOT_GIVEN,
        priority: Priority | None = None,
        progress: ProgressLike = False,
        regions: RegionsLike = (),
        region_options: OptionsOfRegions = None,
    ) -> Extraction:
        """Features of some images, held in memory; for more see `stream` and `pixpool.bulk`.

        images: one image or several: paths, bytes of encoded files, uint8 arrays [H, W, 3]
            in RGB order, PIL images, `pixpool.Image(source, name)`. One is a list of one.
        heads: one or several, as texts ("gem:p=3,layer=stage5,l2"), `pixpool.heads` objects or
            messages; several cost one backbone pass. Default: global_avg on the last layer.
        model, model_version: default: the server's default model, its loaded version.
        input_options: default: the model's own recipe.
        on_error: "raise": the first image in order that has no features raises its `ImageError`;
            "return": its result holds the error, and its rows of arrays are NaN.
        concurrency: images under way at once, 1 to 1024; the server makes batches of them.
        timeout: seconds for each image; default: the client's.
        priority: who waits: "interactive", a person, or "bulk", a job, which the server holds back
            in favour of others under load. None: what the client's metadata say
            (`pixpool-priority`), else interactive.
        progress: True for a tqdm bar (if tqdm is installed), or a function of (done, total).
        regions: parts of each image to which the heads are applied, such as boxes of a detector:
            `pixpool.Region`, or four numbers, left, top, right and bottom in pixels. Regions that
            differ from image to image come with them: `pixpool.Image(source, regions=boxes)`.
        region_options: how regions are looked at (`pixpool.RegionOptions`), and whether the whole
            picture is as well.

        Returns results in input order: `.array` is float32 [N, D] of a vector head, `["gem"]` that
        of one of several heads, `[0]` the `ImageResult` of an image with space id, model and times.
        Those of regions are `[0].regions`, and `[0].region_values()` is float32 [R, D].

        Raises ImageError, and PixpoolError where every image would fail: INVALID_ARGUMENT
        (HEAD_INVALID, LIMIT_EXCEEDED), NOT_FOUND (MODEL_NOT_FOUND, LAYER_NOT_FOUND), UNAVAILABLE.
        """
        plan = self._plan(
            heads,
            model,
            model_version,
            input_options,
            on_error,
            concurrency,
            timeout,
            priority,
            regions,
            region_options,
        )
        sources = list_images(images)
        if isinstance(sources, list) and len(sources) == 1 and not progress:
            # A single image needs no thread.
            return Extraction([plan.kept(self._extract_one(plan, sources[0], 0))])
        return Extraction(list(self._stream(plan, sources, True, progress)))

    def stream(
        self,
        images: Iterable[ImageSource],
        heads: HeadsLike = None,
        *,
        model: str = "",
        model_version: str = "",
        input_options: Options = None,
        on_error: OnError = "return",
        ordered: bool = True,
        concurrency: int = 16,
        timeout: float | None | NotGiven = NOT_GIVEN,
        priority: Priority | None = "bulk",
        progress: ProgressLike = False,
        regions: RegionsLike = (),
        region_options: OptionsOfRegions = None,
    ) -> Iterator[ImageResult]:
        """Features of any number of images, in bounded memory, as they finish.

        images: an iterable, such as a generator; it is read on a thread of its own, and never more
            than `concurrency` images ahead of what the caller has taken.
        ordered: whether results come in the order of the images, or each as soon as it is there
            (`ImageResult.index` says which it is).
        on_error: "return": an image that failed has its error in its result, and raises it where
            its features are asked for; "raise": it ends the stream.

        Everything else as in `extract`, but that a stream is bulk unless told. Shed images are sent
        again within their timeout, and fewer are under way while the server sheds. A connection
        that ends, as servers let them from time to time, is replaced, and what it had not answered
        is sent again. A closed generator cancels what is under way.
        """
        plan = self._plan(
            heads,
            model,
            model_version,
            input_options,
            on_error,
            concurrency,
            timeout,
            priority,
            regions,
            region_options,
        )
        # Not a generator itself: what is wrong with the arguments is said at once.
        return self._stream(plan, list_images(images), ordered, progress)

    def classify(
        self,
        images: ImageSource | Iterable[ImageSource],
        top_k: int | None = None,
        *,
        score_type: ScoreForm | None = None,
        **options: Unpack[ClassifyOptions],
    ) -> list[list[ClassScore]]:
        """The highest scores of each image, highest first; 0 means all, in class order. None is the
        server's default (`pixpool.heads.ClassScores` says which).

        One list per image, for one image too. Options, except heads, and errors as in `extract`; an
        image that fails under on_error="return" has an empty list.
        """
        return scores_of(self.extract(images, scores_head(top_k, score_type), **options))

    def heatmap(
        self,
        images: ImageSource | Iterable[ImageSource],
        class_index: int | None = None,
        *,
        layer: str | None = None,
        format: MapForm = "png_overlay",
        **options: Unpack[HeatmapOptions],
    ) -> list[Heatmap]:
        """Where the evidence for a class lies in each image; a `Heatmap` an image, in order.

        class_index: default: of each image the class with the highest score.
        layer: shows the mean over this layer's channels in place of a class: "attention" of a
            transformer is where its class token looks.
        format: a PNG laid over the picture, a PNG alone, or the map as float32 [H, W].
        Options, except heads and on_error, and errors as in `extract`.
        """
        return heatmaps_of(self.extract(images, map_head(class_index, layer, format), **options))

    def pool(
        self,
        tensor: RealArray,
        heads: HeadsLike,
        *,
        indices: NDArray[np.integer[Any]] | None = None,
        timeout: float | None | NotGiven = NOT_GIVEN,
        priority: Priority | None = None,
    ) -> Extraction:
        """Heads applied to feature maps of the caller's; no model is involved.

        tensor: [N, C, H, W], sent as float32. indices: for max_unpool, of the same shape; sent as
        int64. priority: as in `extract`.
        Returns a result a map. PixpoolError INVALID_ARGUMENT with the field path.
        """
        return self._do(self._pooling(tensor, heads, indices, timeout, priority))

    def extract_features(
        self,
        request: pb.ExtractFeaturesRequest,
        *,
        timeout: float | None | NotGiven = NOT_GIVEN,
    ) -> pb.ExtractFeaturesResponse:
        """The API's own call: a message in, a message out, with the client's retries."""
        return self._do(self._extracting(request, timeout))

    def models(self) -> list[ModelInfo]:
        """All models of the server, without labels."""
        return self._do(self._listing())

    def model(self, name: str = "", version: str = "") -> ModelInfo:
        """One model in full: layers, heads, labels, limits. Default: the server's default model.

        PixpoolError NOT_FOUND, reason MODEL_NOT_FOUND, where unknown.
        """
        return self._do(self._describing(name, version))

    def health(self, service: str = "", *, timeout: float | None | NotGiven = NOT_GIVEN) -> bool:
        """Whether the server (""), a service or a model by its name serves now; never retries.

        PixpoolError NOT_FOUND where the name is unknown, UNAVAILABLE where nothing answers.
        """
        return self._do(self._checking(service, timeout))

    def wait_until_ready(self, timeout: float = 60.0, service: str = "") -> None:
        """Blocks until `health` says serving. PixpoolError DEADLINE_EXCEEDED after `timeout` s."""
        waiting = Readiness(timeout)
        while True:
            failure = None
            try:
                if self.health(service, timeout=waiting.timeout()):
                    return
            except PixpoolError as error:
                failure = error
            time.sleep(waiting.pause_after(failure))

    @staticmethod
    def _open_channel(
        target: str,
        credentials: grpc.ChannelCredentials | None,
        settings: Sequence[tuple[str, Any]],
    ) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(target, settings)
        return grpc.secure_channel(target, credentials, settings)

    def _do(self, call: Call[Answer]) -> Answer:
        """Blocks until the answer is there; retries within the timeout."""
        headers = self._headers()
        attempts = Attempts(call, self.target)
        while True:
            try:
                response = call.method(call.request, timeout=attempts.timeout(), metadata=headers)
                return call.result(response)
            except grpc.RpcError as failure:
                wait = attempts.wait_after(failure)
            time.sleep(wait)

    def _extract_one(self, plan: Plan, source: ImageSource, index: int) -> ImageResult:
        try:
            ask = functools.partial(self._ask_limits, plan)
            return self._do(self._extracting_one(plan, source, index, ask))
        except PixpoolError as error:
            return image_failure(error, image_name(source, index), index)

    def _ask_limits(self, plan: Plan) -> Limits | None:
        """None where the server does not say."""
        if self._limits.stale:
            try:
                limits = self._do(self._asking_limits(plan))
            except PixpoolError:
                self._limits.put(None)
            else:
                self._limits.put(limits)
        return self._limits.limits

    def _stream(
        self, plan: Plan, sources: Iterable[ImageSource], ordered: bool, progress: ProgressLike
    ) -> Iterator[ImageResult]:
        total = len(sources) if isinstance(sources, Sized) else None
        headers = self._headers()  # here, since the generator may run in another thread

        def start(request: pb.ExtractFeaturesRequest, left: float | None) -> Any:
            return self._methods.extract_features.future(request, timeout=left, metadata=headers)

        ask = functools.partial(self._ask_limits, plan)
        window = Window(
            start, plan.spec, self._retry, plan.timeout, plan.concurrency, ask, self.target
        )

        def results() -> Iterator[ImageResult]:
            bar = Progress(progress, total)
            try:
                for result in window.run(sources, ordered):
                    yield plan.kept(result)
                    bar.update()
            finally:
                bar.close()

        return results()
