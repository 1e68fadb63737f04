"""Peer: a plain Python gRPC server, bytes of a picture in, float32 values out; no protobuf on its
way.

python bench/peers/plain.py PORT BUNDLE PRECISION WORKERS STREAMS THREADS [scaled]
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from backbone import Backbone, Bundle


def main() -> None:
    port, folder, precision = sys.argv[1:4]
    workers, streams, threads = map(int, sys.argv[4:7])
    scaled = "scaled" in sys.argv[7:]
    bundle = Bundle(Path(folder), precision)
    backbone = Backbone(bundle, streams, threads, 1)

    def extract(data: bytes, context: grpc.ServicerContext) -> bytes:
        return backbone(bundle.prepare(data, scaled)[None])[0].tobytes()

    server = grpc.server(
        ThreadPoolExecutor(workers), options=[("grpc.max_receive_message_length", -1)]
    )
    handler = grpc.unary_unary_rpc_method_handler(extract)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("bench.Peer", {"Extract": handler})]
    )
    assert server.add_insecure_port(f"127.0.0.1:{port}") == int(port)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
