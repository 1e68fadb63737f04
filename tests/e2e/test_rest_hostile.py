"""The HTTP API against clients that are slow, rude, or two requests in one."""

from __future__ import annotations

import time

import pytest

from raw_http import RawHttp, chunked, request, requests_counted
from server_process import free_port

FEATURES = "/v1/features"
JPEG = "Content-Type: image/jpeg"
LIMIT = 64 << 10


@pytest.fixture(scope="module", name="door")
def door_fixture(start_server):
    address = f"127.0.0.1:{free_port()}"
    server = start_server(
        *("--rest-listen", address, "--max-message-bytes", str(LIMIT)),
        *("--max-image-bytes", str(LIMIT), "--default-deadline-ms", "2000"),
    )
    server.rest = address
    return server


@pytest.fixture(scope="module", autouse=True, name="slow_head")
def slow_head_fixture(door):
    """A connection that never ends its header, begun before all other tests."""
    with RawHttp(door.rest) as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\nHost: t")
        yield connection, time.monotonic()


@pytest.fixture(scope="module", name="picture")
def picture_fixture(photos):
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.open(photos["cat.png"]).convert("RGB").resize((64, 64)).save(out, "JPEG")
    return out.getvalue()


def head(*lines: str) -> bytes:
    return (
        "\r\n".join(["POST /v1/features HTTP/1.1", "Host: t", JPEG, *lines]).encode() + b"\r\n\r\n"
    )


SMUGGLED = b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    {
        "length and chunks": (
            head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
            400,
        ),
        "two lengths": (head("Content-Length: 0", "Content-Length: 36"), 400),
        "one length twice": (head("Content-Length: 0", "Content-Length: 0"), 400),
        "list of lengths": (head("Content-Length: 0, 0"), 400),
        "negative length": (head("Content-Length: -1"), 400),
        "signed length": (head("Content-Length: +0"), 400),
        "blank before colon": (head("Content-Length : 0"), 400),
        "folded": (head("A: b", " Content-Length: 0"), 400),
        "bare line feed": (head("A: b\nContent-Length: 0"), 400),
        "bare return": (head("A: b\rContent-Length: 0"), 400),
        "nul": (head("A: b\0c"), 400),
        "two hosts": (head("Host: u"), 400),
        "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
        "other coding": (head("Transfer-Encoding: gzip, chunked"), 501),
        "hidden coding": (head("Transfer-Encoding: xchunked"), 501),
        "two codings": (head("Transfer-Encoding: chunked", "Transfer-Encoding: x"), 400),
        "coding of 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        "chunk size": (head("Transfer-Encoding: chunked") + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
        "chunk sign": (head("Transfer-Encoding: chunked") + b"-1\r\nabc\r\n0\r\n\r\n", 400),
        "chunk overflow": (
            head("Transfer-Encoding: chunked") + b"10000000000000003\r\nabc\r\n0\r\n\r\n",
            400,
        ),
        "chunk end": (head("Transfer-Encoding: chunked") + b"3\r\nabcd\r\n0\r\n\r\n", 400),
        "no length": (head(), 411),
        "http 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        "http 0.9": (b"GET /\r\n\r\n", 400),
        "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        "many fields": (head(*(f"A{i}: b" for i in range(200))), 431),
        "long field": (head("A: " + "b" * 20000), 431),
        "long line": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n", 431),
        "expectation": (head("Expect: x", "Content-Length: 1"), 417),
    }.values(),
)
def test_what_is_no_clear_request_ends_the_connection(door, data, status):
    with RawHttp(door.rest) as connection:
        connection.send(data)
        connection.send(SMUGGLED)
        reply = connection.reply()
        assert (reply.status, reply.json()["status"]) == (status, status)
        assert reply.fields["connection"] == "close" and connection.closed()


def test_a_body_over_the_limit_is_refused_before_it_comes(door):
    with RawHttp(door.rest) as connection:
        reply = connection.send(head(f"Content-Length: {LIMIT + 1}")).reply()
        assert (reply.status, reply.json()["reason"]) == (413, "LIMIT_EXCEEDED")
        assert "--max-message-bytes" in reply.json()["detail"] and connection.closed()
    with RawHttp(door.rest) as connection:
        reply = connection.send(head("Content-Length: 999999999999", "Expect: 100-continue"))
        assert connection.reply().status == 413


def test_chunks_over_the_limit_are_refused_as_they_come(door):
    with RawHttp(door.rest) as connection:
        connection.send(head("Transfer-Encoding: chunked"))
        try:
            for _ in range(3):
                connection.send(b"8000\r\n" + b"a" * 0x8000 + b"\r\n")
        except OSError:
            pass
        assert connection.reply().status == 413


def test_a_header_that_does_not_end_before_the_limit(door):
    with RawHttp(door.rest) as connection:
        try:
            for _ in range(64):
                connection.send(b"A: " + b"b" * 1000 + b"\r\n")
        except OSError:
            pass
        assert connection.reply().status == 431


def test_chunks_of_any_size_make_one_body(door, picture):
    small = [picture[i : i + 1] for i in range(len(picture))]
    uneven = [picture[:7], picture[7:500], picture[500:]]
    whole = None
    with RawHttp(door.rest) as connection:
        connection.send(request("POST", FEATURES, picture, JPEG))
        whole = connection.reply()
        assert whole.status == 200
        for chunks in (small, uneven):
            connection.send(chunked("POST", FEATURES, chunks, JPEG))
            assert connection.reply().body == whole.body
        # An extension, and fields after the last chunk, which say nothing.
        data = chunked("POST", FEATURES, [picture], JPEG).replace(
            b"\r\n0\r\n\r\n", b"\r\n0;a=b\r\n"
        )
        connection.send(data + b"Host: evil\r\nAuthorization: Bearer x\r\n\r\n")
        assert connection.reply().body == whole.body


def test_what_comes_at_once_is_answered_in_its_order(door, picture):
    one = request("POST", FEATURES, picture, JPEG)
    with RawHttp(door.rest) as connection:
        connection.send((one + SMUGGLED + b"\r\n") * 5 + request("GET", "/none"))
        statuses = []
        for _ in range(5):
            first, second = connection.reply(), connection.reply()
            assert "results" in first.json() and "models" in second.json()
            statuses += [first.status, second.status]
        assert statuses == [200] * 10 and connection.reply().status == 404


def test_expect_is_answered_before_the_body(door, picture):
    fields = [JPEG, "Expect: 100-continue", f"Content-Length: {len(picture)}"]
    with RawHttp(door.rest) as connection:
        connection.send(request("POST", FEATURES, None, *fields))
        assert connection.reply().status == 100
        assert connection.send(picture).reply().status == 200
        # Refused before: there is nothing to continue with.
        connection.send(request("POST", FEATURES + "?a=%", None, "Content-Type: a/b", *fields[1:]))
        assert connection.reply().status == 415


def test_a_byte_at_a_time_is_a_request(door, picture):
    data = request("POST", FEATURES, picture[:2000], JPEG)
    with RawHttp(door.rest) as connection:
        for i in range(200):
            connection.send(data[i : i + 1])
        connection.send(data[200:])
        assert connection.reply().status in (200, 400)


def test_a_body_that_does_not_come_ends_with_the_deadline(door):
    with RawHttp(door.rest) as connection:
        began = time.monotonic()
        connection.send(head("Content-Length: 1000") + b"abc")
        reply = connection.reply()
        assert reply.status == 408 and connection.closed()
        assert time.monotonic() - began > 1.5


def test_clients_that_leave_within_a_body_leave_nothing_behind(door):
    for _ in range(20):
        with RawHttp(door.rest) as connection:
            connection.send(head("Content-Length: 30000") + b"a" * 20000)
    with RawHttp(door.rest) as connection:
        assert connection.send(SMUGGLED).reply().status == 200
    end = time.monotonic() + 20
    cancelled = ('method="/v1/features"', 'code="CANCELLED"')
    while requests_counted(door.get("/metrics")[1], *cancelled) < 20:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_header_that_does_not_end_is_given_up(slow_head):
    connection, began = slow_head
    reply = connection.reply()
    assert reply.status == 408 and connection.closed()
    assert time.monotonic() - began > 4
