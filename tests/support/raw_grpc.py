"""A gRPC client that does only what it is told: it sends what a call should not have, and reads an
answer only when asked to.
"""

from __future__ import annotations

import socket
import struct
import time
from types import TracebackType

import h2.config
import h2.connection
import h2.events
import h2.settings


def message(payload: bytes) -> bytes:
    """The payload as a gRPC message."""
    return b"\0" + struct.pack(">I", len(payload)) + payload


class RawGrpc:
    """One HTTP/2 connection. Never gives a stream more than its first window to send into."""

    def __init__(self, target: str, window: int = 65535) -> None:
        host, port = target.rsplit(":", 1)
        self.target = target
        self.socket = socket.create_connection((host, int(port)))
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.local_settings = h2.settings.Settings(
            client=True,
            initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window},
        )
        self.http.initiate_connection()
        self.headers: dict[int, dict[str, str]] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.resets: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self._flush()

    def __enter__(self) -> RawGrpc:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def start(self, method: str, *extra: tuple[str, str]) -> int:
        """Sends the headers of a call and gives its stream."""
        stream = self.http.get_next_available_stream_id()
        pairs = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", self.target),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self.http.send_headers(stream, [*pairs, *extra])
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, end: bool = False) -> int:
        """Sends as much of the data as the server's window allows, and says how much that was."""
        sent = 0
        while sent < len(data):
            room = min(
                self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size
            )
            if room <= 0:
                break
            self.http.send_data(stream, data[sent : sent + room])
            sent += room
            self._flush()
        if end and sent >= len(data):
            self.http.end_stream(stream)
            self._flush()
        return min(sent, len(data))

    def wait(self, stream: int, seconds: float = 10) -> dict[str, str]:
        """The trailers of a call; none where it was reset."""
        end = time.monotonic() + seconds
        while stream not in self.trailers and stream not in self.resets:
            left = end - time.monotonic()
            assert left > 0, "the call has not ended"
            self.poll(left)
        return self.trailers.get(stream, {})

    def poll(self, seconds: float) -> None:
        """Takes in what comes within this time, once. Gives no window back."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers[event.stream_id] = dict(event.headers)
                if "grpc-status" in self.headers[event.stream_id]:
                    self.trailers[event.stream_id] = self.headers[event.stream_id]
            elif isinstance(event, h2.events.TrailersReceived):
                self.trailers[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.StreamReset):
                self.resets[event.stream_id] = int(event.error_code)
            elif isinstance(event, h2.events.DataReceived):
                size = self.received.get(event.stream_id, 0)
                self.received[event.stream_id] = size + len(event.data)
        self._flush()

    def _flush(self) -> None:
        self.socket.sendall(self.http.data_to_send())
