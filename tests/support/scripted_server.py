"""A gRPC server in this process whose failures follow a script: for what the real one does not do
on command.

Features are a function of the image's bytes alone, and of a region's edges, so that a test knows
them; `expected` and `expected_of_region` are these functions.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from pixpool.v1 import feature_service_pb2 as pb
from pixpool.v1 import feature_service_pb2_grpc as rpc

DIMENSIONS = 6
HEIGHT, WIDTH = 40, 30  # of every image


def expected(data: bytes) -> np.ndarray:
    """The vector of an image: its length, its first bytes, and a checksum."""
    row = np.zeros(DIMENSIONS, np.float32)
    row[0] = len(data)
    row[1:4] = np.frombuffer(data[:3].ljust(3, b"\0"), np.uint8)
    row[4] = sum(data) % 251
    row[5] = 0.5
    return row


def expected_of_region(data: bytes, box: tuple[float, ...]) -> np.ndarray:
    """The vector of a region of an image: the image's length and checksum, and the edges."""
    whole = expected(data)
    return np.array([whole[0], *box, whole[4]], np.float32)


@dataclass(frozen=True)
class Failure:
    """A call that fails, or with alone=True an image of it."""

    code: grpc.StatusCode
    message: str = "as scripted"
    reason: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    retry_after_s: float | None = None
    pushback: str | None = None
    alone: bool = False

    def status(self) -> status_pb2.Status:
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        if self.reason:
            status.details.append(
                _pack(error_details_pb2.ErrorInfo(reason=self.reason, metadata={"limit": "7"}))
            )
        if self.fields:
            bad = error_details_pb2.BadRequest()
            for name, description in self.fields:
                bad.field_violations.add(field=name, description=description)
            status.details.append(_pack(bad))
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(int(self.retry_after_s * 1000))
            status.details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
        return status


SHED = Failure(
    grpc.StatusCode.UNAVAILABLE, "too many requests in flight", "OVERLOADED", retry_after_s=0.01
)
# What a script gives: an answer, a failure, or an answer once the event is set.
Act = Failure | threading.Event | None


@dataclass
class Script:
    """act(image_id, attempt from 1) says what happens; the rest is what the server saw."""

    act: Callable[[str, int], Act] = lambda name, attempt: None
    space_id: str = "0" * 32
    knows_regions: bool = True  # a server that does not leaves them out
    warnings: dict = field(default_factory=dict)  # of images, by their ids
    models: list = field(default_factory=list)  # pb.Model; the first is the default one
    attempts: Counter = field(default_factory=Counter)
    requests: list = field(default_factory=list)
    metadata: list = field(default_factory=list)
    asked_models: list = field(default_factory=list)  # names; "" for the default one
    most_running: int = 0
    ended: int = 0  # calls that have had their answer or were cancelled

    def settle(self, quiet_s: float = 0.3) -> None:
        """Waits until no call has begun for a while: one that its client has cancelled may still be
        on its way.
        """
        seen = -1
        while seen != (seen := len(self.requests)):
            time.sleep(quiet_s)


class Servicer(rpc.FeatureServiceServicer):
    def __init__(self, script: Script) -> None:
        self.script = script
        self._lock = threading.Lock()
        self._running = 0

    def ExtractFeatures(self, request, context):
        script, image = self.script, request.images[0]
        with self._lock:
            script.attempts[image.image_id] += 1
            attempt = script.attempts[image.image_id]
            script.requests.append(request)
            script.metadata.append(dict(context.invocation_metadata()))
            self._running += 1
            script.most_running = max(script.most_running, self._running)
        context.add_callback(self._count_ended)
        try:
            act = script.act(image.image_id, attempt)
            if isinstance(act, threading.Event):
                act.wait(30)
                act = None
            if act is not None and not act.alone:
                _abort(context, act)
            return self._answer(request, act)
        finally:
            with self._lock:
                self._running -= 1

    def ListModels(self, request, context):
        return pb.ListModelsResponse(models=self.script.models)

    def GetModel(self, request, context):
        self.script.asked_models.append(request.model)
        for model in self.script.models:
            if request.model in ("", model.name):
                return pb.GetModelResponse(model=model)
        _abort(context, Failure(grpc.StatusCode.NOT_FOUND, "no such model", "MODEL_NOT_FOUND"))

    def _count_ended(self) -> None:
        with self._lock:
            self.script.ended += 1

    def _answer(self, request, failure: Failure | None):
        response = pb.ExtractFeaturesResponse(model=pb.ModelReference(name="scripted", version="1"))
        image = request.images[0]
        result = response.results.add(image_id=image.image_id)
        if failure is not None:
            result.status.CopyFrom(failure.status())
            return response
        data = image.encoded or image.raw.pixels
        features = result.features
        features.height_px, features.width_px = HEIGHT, WIDTH
        features.stage_times.backbone.nanos = 5_000_000
        features.warnings.extend(self.script.warnings.get(image.image_id, []))
        regions = image.regions if self.script.knows_regions else []
        for sent in regions:
            wide, high = (WIDTH, HEIGHT) if sent.relative else (1, 1)
            box = (sent.left * wide, sent.top * high, sent.right * wide, sent.bottom * high)
            region = features.regions.add(
                region_id=sent.region_id,
                left_px=box[0],
                top_px=box[1],
                right_px=box[2],
                bottom_px=box[3],
            )
            self._add_heads(region.head_results, request, expected_of_region(data, box))
        if not regions or request.region_options.include_image:
            self._add_heads(features.head_results, request, expected(data))
        return response

    def _add_heads(self, results, request, values):
        for head in request.heads or [pb.Head(global_avg=pb.GlobalAvg())]:
            results.add(
                head_id=head.head_id or head.WhichOneof("kind"),
                kind=head.WhichOneof("kind"),
                layer="features",
                space_id=self.script.space_id,
                shape=[DIMENSIONS],
                encoding=pb.ENCODING_FLOAT32,
                values=values,
            )


class ScriptedServer:
    """`with ScriptedServer(Script(...)) as server`: serves at server.target."""

    def __init__(self, script: Script) -> None:
        self.script = script
        # Messages of any size: the limits that it describes are the client's to keep.
        self._server = grpc.server(
            ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1)]
        )
        rpc.add_FeatureServiceServicer_to_server(Servicer(script), self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> ScriptedServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()


def _abort(context, failure: Failure) -> None:
    trailers = [("grpc-status-details-bin", failure.status().SerializeToString())]
    if failure.pushback is not None:
        trailers.append(("grpc-retry-pushback-ms", failure.pushback))
    context.set_trailing_metadata(trailers)
    context.abort(failure.code, failure.message)


def _pack(message) -> any_pb2.Any:
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail
