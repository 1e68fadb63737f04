"""Peer: a plain Python gRPC server, bytes of a picture in, float32 values out; no protobuf on its way.

    python bench/peers/plain.py PORT BACKBONE.xml WORKERS STREAMS THREADS [scaled]
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from backbone import Backbone, prepare


def main() -> None:
    port, path, workers, streams, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    scaled = "scaled" in sys.argv[6:]
    backbone = Backbone(path, streams, threads, 1)

    def extract(data: bytes, context: grpc.ServicerContext) -> bytes:
        return backbone(prepare(data, scaled)[None])[0].tobytes()

    server = grpc.server(ThreadPoolExecutor(workers), options=[("grpc.max_receive_message_length", -1)])
    handler = grpc.unary_unary_rpc_method_handler(extract)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Peer", {"Extract": handler})])
    assert server.add_insecure_port(f"127.0.0.1:{port}") == int(port)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
