"""As much HTTP/2 as it takes to be a bad client, or to see what a server sends."""

from __future__ import annotations

import socket
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


class RawConnection:
    """A connection that sends what it is told, and of itself nothing but answers to pings."""

    def __init__(
        self, target: str, first: bytes = PREFACE + frame(SETTINGS), *, answers_pings: bool = True
    ) -> None:
        host, port = target.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.sendall(first)
        self.answers_pings = answers_pings
        self.closed = False
        self.goaway: str | None = None  # what the server said in its GOAWAY
        self._unread = b""

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def read(self, seconds: float) -> None:
        """Reads for that long, or until the server closes."""
        end = time.monotonic() + seconds
        while not self.closed and (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return
            except OSError:
                data = b""
            self.closed = not data
            self._unread += data
            self._take_frames()

    def _take_frames(self) -> None:
        while len(self._unread) >= 9:
            length = int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < 9 + length:
                return
            kind, flags, payload = self._unread[3], self._unread[4], self._unread[9 : 9 + length]
            self._unread = self._unread[9 + length :]
            if kind == PING and not flags & ACK and self.answers_pings:
                self.send(frame(PING, ACK, payload=payload))
            if kind == GOAWAY:
                self.goaway = payload[8:].decode(errors="replace")
