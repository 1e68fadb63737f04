"""The server's own spans reach a collector by OTLP over HTTP."""

from __future__ import annotations

import http.server
import io
import ssl
import threading
import time

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.trace.v1 import trace_pb2
from PIL import Image

from certificates import Authority
from exposition import total

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVICE = "pixpool.v1.FeatureService"


class Collector:
    """An OTLP endpoint that keeps what it gets; while `answers` is not set it answers nothing."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], otlp.ExportTraceServiceRequest]] = []
        self.answers = threading.Event()
        self.answers.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.answers.wait(60)
                message = otlp.ExportTraceServiceRequest.FromString(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                collector.requests.append((self.path, headers, message))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        scheme = "http" if tls is None else "https"
        self.port = self.server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def spans(self) -> list[trace_pb2.Span]:
        return [
            span
            for _, _, message in list(self.requests)
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.answers.set()
    collector.server.shutdown()


@pytest.fixture(scope="module")
def photo() -> bytes:
    sink = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(sink, "JPEG")
    return sink.getvalue()


def traced(start_server, collector, **variables: str):
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        **variables,
    }
    wrapper = ("env", *(f"{name}={value}" for name, value in environment.items()))
    return start_server(wrapper=wrapper)


def attributes(pairs) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def extract(api, server, photo, *, trace=TRACE, flags="01", model="", images=1, timeout=30):
    with grpc.insecure_channel(server.target) as channel:
        stub = api.rpc.FeatureServiceStub(channel)
        image = api.pb.Image(encoded=photo)
        stub.ExtractFeatures(
            api.pb.ExtractFeaturesRequest(images=[image] * images, model=model),
            timeout=timeout,
            metadata=[
                ("traceparent", f"00-{trace}-{SPAN}-{flags}"),
                ("tracestate", "vendor=1"),
                ("tracestate", "other=2"),
            ],
            wait_for_ready=True,
        )


def becomes(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_call_and_its_stages_are_spans_below_the_callers(start_server, collector, api, photo):
    server = traced(
        start_server,
        collector,
        OTEL_SERVICE_NAME="features",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
        OTEL_EXPORTER_OTLP_HEADERS="x-key=a%20b",
    )
    before = time.time_ns()
    extract(api, server, photo, images=3)
    with pytest.raises(grpc.RpcError):
        extract(api, server, photo, model="nope")
    assert becomes(lambda: sum(span.kind == 2 for span in collector.spans()) == 2)
    path, headers, message = collector.requests[0]
    assert path == "/v1/traces" and headers["x-key"] == "a b"
    assert headers["content-type"] == "application/x-protobuf"
    resource = attributes(message.resource_spans[0].resource.attributes)
    assert resource == {"service.name": "features", "deployment.environment": "test"}

    call, failed = (span for span in collector.spans() if span.kind == 2)
    for span in (call, failed):
        assert span.name == f"{SERVICE}/ExtractFeatures"
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
        assert span.trace_state == "vendor=1,other=2"
        assert before < span.start_time_unix_nano < span.end_time_unix_nano < time.time_ns()
    about = attributes(call.attributes)
    assert about["rpc.grpc.status_code"] == 0 and about["rpc.method"] == "ExtractFeatures"
    assert about["pixpool.model"] == "efficientnet-lite0" and about["pixpool.model_version"] == "1"
    assert attributes(failed.attributes)["error.type"] == "MODEL_NOT_FOUND"
    assert failed.status.code == 0  # the caller's fault, and not the server's

    stages = [span for span in collector.spans() if span.parent_span_id == call.span_id]
    names = {span.name for span in stages}
    assert {"decode", "preprocess", "backbone", "heads", "convert"} <= names
    assert len(stages) == len(names)
    for stage in stages:
        assert stage.trace_id == call.trace_id and stage.kind == 1
        assert stage.trace_state == call.trace_state
        assert call.start_time_unix_nano <= stage.start_time_unix_nano
        assert stage.start_time_unix_nano <= stage.end_time_unix_nano <= call.end_time_unix_nano
    ids = [span.span_id for span in collector.spans()]
    assert len(ids) == len(set(ids)) and b"\0" * 8 not in ids
    # The log's line is the span's.
    line = next(line for line in server.lines("request") if line["method"] == "ExtractFeatures")
    assert (line["trace_id"], line["span_id"]) == (TRACE, call.span_id.hex())
    assert becomes(lambda: total(server, "pixpool_spans_total", outcome="sent") == len(ids))


def test_a_call_that_its_caller_does_not_sample_has_no_span(start_server, collector, api, photo):
    server = traced(start_server, collector)
    extract(api, server, photo, flags="00")
    extract(api, server, photo, trace=TRACE[::-1])
    assert becomes(lambda: collector.spans())
    server.stop()
    assert {span.trace_id.hex() for span in collector.spans()} == {TRACE[::-1]}


def test_without_the_variables_nothing_is_sent(start_server):
    server = start_server()
    assert not server.lines("tracing")
    assert total(server, "pixpool_spans_total") == 0


def test_a_collector_that_hangs_holds_nothing_up(start_server, collector, api, photo):
    collector.answers.clear()
    server = traced(
        start_server,
        collector,
        OTEL_BSP_MAX_QUEUE_SIZE="20",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
        OTEL_EXPORTER_OTLP_TIMEOUT="300",
    )
    for _ in range(30):
        extract(api, server, photo)  # fails where it is held up
    assert becomes(lambda: total(server, "pixpool_spans_total", outcome="failed") > 0)
    assert becomes(lambda: server.lines("tracing_failed"))
    collector.answers.set()
    already = len(collector.spans())
    extract(api, server, photo)
    assert becomes(lambda: server.lines("tracing_goes_on")), server.log()
    assert len(collector.spans()) > already
    assert server.stop() == 0


def test_what_is_queued_is_sent_when_the_server_ends(start_server, collector, api, photo):
    server = traced(start_server, collector, OTEL_BSP_SCHEDULE_DELAY="600000")
    extract(api, server, photo)
    assert not collector.spans()
    assert server.stop() == 0
    assert [span.name for span in collector.spans() if span.kind == 2]


def test_a_wrong_variable_keeps_the_server_from_starting(start_server, api):
    server = start_server(wrapper=("env", "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"), wait=False)
    assert server.process.wait(60) == 1
    last = server.log().splitlines()[-1]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT must be http" in last


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(authority):
    """Starts a collector with TLS."""
    collectors = []

    def start(kind: str = "server", *, clients: bool = False) -> Collector:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*authority.issue(f"collector{len(collectors)}", kind))
        if clients:
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_verify_locations(authority.certificate)
        collectors.append(Collector(tls))
        return collectors[-1]

    yield start
    for collector in collectors:
        collector.server.shutdown()


def test_spans_go_by_mutual_tls(start_server, secure, authority, api, photo):
    collector = secure(clients=True)
    own = authority.issue("own", "client")
    server = traced(
        start_server,
        collector,
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.certificate),
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(own.certificate),
        OTEL_EXPORTER_OTLP_CLIENT_KEY=str(own.key),
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    traces = {TRACE, TRACE[::-1]}
    for trace in traces:
        extract(api, server, photo, trace=trace)
    assert becomes(lambda: {span.trace_id.hex() for span in collector.spans()} == traces), (
        server.log()
    )
    assert [line["collector"] for line in server.lines("tracing")] == [collector.url + "/v1/traces"]
    assert "OTEL_EXPORTER_OTLP_COMPRESSION" in server.lines("configuration")[-1]["message"]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("kind", "named", "why"),
    [
        ("server", False, "is not trusted: "),
        ("named server", True, "is not trusted: IP address mismatch"),
    ],
    ids=["unknown authority", "another host"],
)
def test_a_collector_that_is_not_who_it_should_be_gets_nothing(
    start_server, secure, authority, api, photo, kind, named, why
):
    collector = secure(kind)
    variables = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority.certificate)} if named else {}
    server = traced(start_server, collector, OTEL_EXPORTER_OTLP_HEADERS="x-key=secret", **variables)
    extract(api, server, photo)
    assert becomes(lambda: server.lines("tracing_failed")), server.log()
    assert why in server.lines("tracing_failed")[0]["message"]
    assert collector.requests == []


def test_files_of_tls_that_cannot_be_used_keep_the_server_from_starting(start_server, tmp_path):
    server = start_server(
        wrapper=(
            "env",
            "OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4318",
            f"OTEL_EXPORTER_OTLP_CERTIFICATE={tmp_path / 'none.pem'}",
        ),
        wait=False,
    )
    assert server.process.wait(60) == 1
    last = server.log().splitlines()[-1]
    assert f"OTEL_EXPORTER_OTLP_CERTIFICATE: {tmp_path / 'none.pem'} cannot be used" in last
