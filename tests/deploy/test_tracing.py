"""The edge's spans reach an OTLP collector; the server's log lines belong to the same traces."""

from __future__ import annotations

import concurrent.futures
import threading
import time

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc

from deploy_files import DEPLOY, load

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(otlp_grpc.TraceServiceServicer):
    """An OTLP endpoint that keeps the spans it gets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[tuple[str, object]] = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        otlp_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def Export(self, request, context):  # noqa: N802
        with self._lock:
            for resource in request.resource_spans:
                (service,) = (
                    a.value.string_value
                    for a in resource.resource.attributes
                    if a.key == "service.name"
                )
                self._spans += [
                    (service, span) for scope in resource.scope_spans for span in scope.spans
                ]
        return otlp.ExportTraceServiceResponse()

    def spans(self, trace: str, seconds: float = 15) -> list[tuple[str, object]]:
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                found = [
                    (service, span) for service, span in self._spans if span.trace_id.hex() == trace
                ]
            if found or time.monotonic() > end:
                return found
            time.sleep(0.1)


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.server.stop(1).wait()


@pytest.fixture(scope="module")
def server(start_server):
    return start_server()


@pytest.fixture(scope="module")
def edge(start_edge, server, collector):
    return start_edge(
        server, tracing=load(DEPLOY / "envoy" / "tracing.yaml"), collector=collector.target
    )


def logged(server, count: int) -> list[dict]:
    end = time.monotonic() + 10
    while True:
        lines = [line for line in server.lines("request") if line["method"] == "GetModel"]
        if len(lines) >= count or time.monotonic() > end:
            return lines
        time.sleep(0.05)


def call(edge, api, headers=()):
    with grpc.insecure_channel(edge.target) as channel:
        stub = api.rpc.FeatureServiceStub(channel)
        stub.GetModel(api.pb.GetModelRequest(), timeout=20, metadata=headers, wait_for_ready=True)


def test_a_sampled_call_is_one_trace_through_edge_and_server(edge, server, collector, api):
    before = len(logged(server, 0))
    call(edge, api, [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "vendor=1")])
    line = logged(server, before + 1)[before]
    ((service, span),) = collector.spans(TRACE)
    assert service == "pixpool-edge"
    assert span.parent_span_id.hex() == SPAN
    assert line["trace_id"] == TRACE and line["trace_flags"] == "01"
    # The server is called in the edge's span, which is what it logs.
    assert line["span_id"] == span.span_id.hex()
    assert span.end_time_unix_nano > span.start_time_unix_nano


def test_a_call_that_its_caller_does_not_sample_is_not_sent(edge, server, collector, api):
    trace = TRACE[::-1]
    before = len(logged(server, 0))
    call(edge, api, [("traceparent", f"00-{trace}-{SPAN}-00")])
    line = logged(server, before + 1)[before]
    assert line["trace_id"] == trace and line["trace_flags"] == "00"
    # Spans go out in order, so one that comes later shows that none is on its way.
    later = TRACE.replace("0", "1")
    call(edge, api, [("traceparent", f"00-{later}-{SPAN}-01")])
    assert collector.spans(later)
    assert not collector.spans(trace, seconds=0)


def test_of_calls_without_a_trace_few_are_sampled_and_all_are_logged_with_one(
    edge, server, collector, api
):
    before = len(logged(server, 0))
    for _ in range(40):
        call(edge, api)
    lines = logged(server, before + 40)[before:]
    assert len({line["trace_id"] for line in lines}) == 40
    assert (
        sum(line["trace_flags"] == "01" for line in lines) <= 5
    )  # one in a hundred: more is as likely as 3 in a million
