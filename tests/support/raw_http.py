"""As much HTTP/1.1 as it takes to be a bad client, and to read what a server answers."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass


@dataclass
class Reply:
    status: int
    fields: dict[str, str]  # by their names in lower case
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)


def requests_counted(scrape: str, *labels: str) -> float:
    """Of a text of metrics, the requests whose labels are all of these, each as `name="value"`."""
    rows = re.findall(r"^pixpool_requests_total\{(.*)\} (\S+)$", scrape, re.MULTILINE)
    return sum(float(count) for found, count in rows if all(one in found for one in labels))


class RawHttp:
    """A connection that sends what it is told, and reads one answer after the other."""

    def __init__(self, address: str, seconds: float = 30) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=seconds)
        self._unread = b""

    def __enter__(self) -> RawHttp:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> RawHttp:
        self.socket.sendall(data)
        return self

    def _more(self) -> bool:
        data = self.socket.recv(65536)
        self._unread += data
        return bool(data)

    def reply(self, *, to_head: bool = False) -> Reply:
        """The next answer; `to_head` says that it is to HEAD and has no body."""
        while b"\r\n\r\n" not in self._unread:
            assert self._more(), f"closed after {self._unread!r}"
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        fields = {name.lower(): value for name, value in pairs}
        size = 0 if to_head else int(fields.get("content-length", 0))
        while len(self._unread) < size:
            assert self._more(), "closed within a body"
        body, self._unread = self._unread[:size], self._unread[size:]
        return Reply(int(first.split()[1]), fields, body)

    def rest(self) -> bytes:
        """What comes until the server closes."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        return self._unread

    def closed(self) -> bool:
        """Whether the server closes, with nothing more to say."""
        return self.rest() == b""


def request(
    method: str, path: str, body: bytes | None = None, /, *fields: str, host: str = "test"
) -> bytes:
    """A request's bytes; `fields` as "Name: value"."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def chunked(method: str, path: str, chunks: list[bytes], /, *fields: str) -> bytes:
    """The same with a body of chunks."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Transfer-Encoding: chunked", *fields]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body + b"0\r\n\r\n"


def form(*parts: tuple[str, str | bytes] | tuple[str, bytes, str]) -> tuple[bytes, str]:
    """A body of multipart/form-data and its Content-Type; parts are name, value and file name."""
    boundary = "pixpool-test-boundary"
    body = b""
    for name, value, *file in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{file[0]}"' if file else "")
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        body += head + (value.encode() if isinstance(value, str) else value) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
