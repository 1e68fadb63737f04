"""Sends a server pictures of its own making at a steady rate: several formats and sizes, several
heads, some broken pictures.

    python load.py --target 127.0.0.1:50051 --rate 20 --seconds 60
    python load.py --target localhost:50051 --ca ca.crt --token-file token

It goes straight to the server, whatever proxy the environment names: they are on one machine, or in
one network of Compose, whose names no proxy knows. For dashboards to have something to show, not
for measuring: bench/run does that. Needs the stubs of the API on its path.
"""

import argparse
import collections
import concurrent.futures
import io
import pathlib
import random
import signal
import threading
import time

import grpc
import numpy as np
from PIL import Image

from pixpool.v1 import feature_service_pb2 as pb
from pixpool.v1 import feature_service_pb2_grpc as rpc

SIZES = [(320, 240), (640, 480), (1280, 720)]
STRAIGHT = [("grpc.enable_http_proxy", 0)]


def pictures():
    """Encoded pictures with smooth colours, as JPEG, PNG and WebP in several sizes."""
    rng = np.random.default_rng(7)
    out = []
    for size in SIZES:
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture = small.resize(size, Image.Resampling.BICUBIC)
        for kind in ("JPEG", "JPEG", "PNG", "WEBP"):
            sink = io.BytesIO()
            picture.save(sink, kind)
            out.append(pb.Image(encoded=sink.getvalue()))
    return out


def heads():
    return [
        pb.Head(global_avg=pb.GlobalAvg()),
        pb.Head(gem=pb.Gem(p=3), l2_normalized=True),
        pb.Head(rmac=pb.Rmac()),
        pb.Head(class_scores=pb.ClassScores(top_k=5)),
    ]


def one_request(rng, images, kinds):
    chosen = [rng.choice(images) for _ in range(rng.choice((1, 1, 1, 4)))]
    if rng.random() < 0.02:
        chosen[0] = pb.Image(encoded=chosen[0].encoded[:200])  # cut off
    return pb.ExtractFeaturesRequest(images=chosen, heads=rng.sample(kinds, rng.randint(1, 2)))


def connect(target, ca=None, token_file=None):
    """A channel in plain text, or in TLS with a token for every call."""
    if not ca:
        return grpc.insecure_channel(target, STRAIGHT)
    credentials = grpc.ssl_channel_credentials(pathlib.Path(ca).read_bytes())
    if token_file:
        token = pathlib.Path(token_file).read_text().strip()
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.access_token_call_credentials(token)
        )
    return grpc.secure_channel(target, credentials, STRAIGHT)


def run(channel, rate, seconds, stop):
    """Sends until `seconds` are over or `stop` is set; returns the number of calls by code."""
    codes = collections.Counter()
    images, kinds, rng = pictures(), heads(), random.Random(11)
    with channel, concurrent.futures.ThreadPoolExecutor(16) as pool:
        stub = rpc.FeatureServiceStub(channel)

        def call(request):
            try:
                stub.ExtractFeatures(request, timeout=5)
                codes["OK"] += 1
            except grpc.RpcError as error:
                codes[error.code().name] += 1

        due = start = time.monotonic()
        while not stop.is_set() and time.monotonic() - start < seconds:
            pool.submit(call, one_request(rng, images, kinds))
            due += rng.expovariate(rate)  # as independent clients come
            stop.wait(max(0.0, due - time.monotonic()))
    return codes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="127.0.0.1:50051")
    parser.add_argument("--rate", type=float, default=20, help="calls per second")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--ca", help="who signed the server's certificate; without it plain text")
    parser.add_argument("--token-file", help="with --ca")
    options = parser.parse_args()
    if options.token_file and not options.ca:
        parser.error("--token-file needs --ca: a token does not go out in plain text")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    channel = connect(options.target, options.ca, options.token_file)
    print(dict(run(channel, options.rate, options.seconds, stop)))


if __name__ == "__main__":
    main()
