"""As much HTTP/2 as it takes to be a bad client: frames by hand, headers as literals, replies not
decoded.
"""

from __future__ import annotations

import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_MESSAGE = b"\0\0\0\0\0"  # a gRPC message of no bytes


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
    )


def _string(text: bytes) -> bytes:
    """HPACK's string literal, not Huffman-coded."""
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, out = len(text) - 127, b"\x7f"
    while rest >= 128:
        out += bytes([rest % 128 + 128])
        rest //= 128
    return out + bytes([rest]) + text


def headers(pairs: list[tuple[str, str]]) -> bytes:
    return b"".join(
        b"\0" + _string(name.encode()) + _string(value.encode()) for name, value in pairs
    )


class Connection:
    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.ended = False  # by the peer
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self.stream = -1

    def call(self, path: str, *more: tuple[str, str], end: bool = True) -> int:
        """Begins a gRPC call, and unless told otherwise sends an empty message as all of it. Gives
        its stream.
        """
        self.stream += 2
        pairs = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "edge"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more,
        ]
        data = frame(HEADERS, END_HEADERS, self.stream, headers(pairs))
        if end:
            data += frame(DATA, END_STREAM, self.stream, EMPTY_MESSAGE)
        self.socket.sendall(data)
        return self.stream

    def reset(self, stream: int) -> None:
        self.socket.sendall(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))

    def read_frames(self):
        """Yields (kind, flags, stream) until the peer closes or nothing comes for a while."""
        buffer = b""
        while True:
            while len(buffer) < 9 or len(buffer) < 9 + int.from_bytes(buffer[:3], "big"):
                try:
                    part = self.socket.recv(65536)
                except TimeoutError:
                    return
                except OSError:
                    part = b""
                if not part:
                    self.ended = True
                    return
                buffer += part
            size = int.from_bytes(buffer[:3], "big")
            yield buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
            buffer = buffer[9 + size :]

    def wait_for_end(self, stream: int) -> bool:
        """Whether a call's reply has come to its end; not if the connection ends before."""
        for kind, flags, of in self.read_frames():
            if of == stream and (
                kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM)
            ):
                return kind != RST_STREAM
        return False

    def close(self) -> None:
        self.socket.close()
