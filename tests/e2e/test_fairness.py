"""What a caller with one ordinary call at a time sees beside one who floods the server with dear
work: its answers, each after about its usual time and one piece of that work.
"""

from __future__ import annotations

import statistics
import threading
import time

import grpc
import numpy as np
import pytest

from api import reason
from image_bytes import png

FLOOD_S = 8
DEADLINE_S = 3  # of the ordinary calls


class Caller:
    """Calls in a caller's name, one after another on a channel of its own."""

    def __init__(self, api, target: str, name: str) -> None:
        self.client = api.client(target)
        self.name = name
        self.seconds: list[float] = []  # of each answer
        self.refusals: list[str] = []

    def call(self, method: str, request, timeout: float) -> None:
        start = time.monotonic()
        try:
            getattr(self.client.stub, method)(
                request, timeout=timeout, metadata=[("x-caller", self.name)]
            )
            self.seconds.append(time.monotonic() - start)
        except ValueError:
            pass  # the channel was closed before the call
        except grpc.RpcError as error:
            self.refusals.append(f"{error.code().name} {reason(error)}: {error.details()}")

    def loop(self, until: threading.Event, method: str, request, timeout: float) -> None:
        while not until.is_set():
            before = len(self.refusals)
            self.call(method, request, timeout)
            until.wait(0.2 if len(self.refusals) > before else 0)


@pytest.fixture(scope="module")
def shared(start_server):
    return start_server("--caller-header", "x-caller")


@pytest.fixture(scope="module")
def ordinary(api, photos):
    data = next(path for name, path in photos.items() if name.endswith(".jpg")).read_bytes()
    return api.pb.ExtractFeaturesRequest(images=[api.pb.Image(encoded=data)])


def many_passes(client):
    """A tiny picture as large input, at two scales and mirrored: four passes of half a second."""
    pb = client.pb
    options = pb.InputOptions(input_height_px=400, scales=[4, 3.9], flip=True)
    picture = client.image(np.full((48, 48, 3), 80, np.uint8))
    return "ExtractFeatures", pb.ExtractFeaturesRequest(images=[picture], input_options=options)


def dear_heads(client):
    """Windows over most of a tensor, four thousand of them: a second."""
    pb = client.pb
    tensor = pb.Tensor(shape=[1, 1, 700, 700], values=np.zeros(700 * 700, np.float32))
    head = pb.Head(max_pool=pb.MaxPool(kernel_size=[512], stride=[3]))
    return "PoolTensor", pb.PoolTensorRequest(tensor=tensor, heads=[head])


def dear_files(client):
    """An interlaced PNG of 16 bits and 13 megapixels: half a second."""
    data = png(np.zeros((3600, 3600, 4), np.uint16), 16, 6, interlaced=True)
    return "ExtractFeatures", client.pb.ExtractFeaturesRequest(images=[client.image(data)])


def large_inputs(client):
    """Eight tiny pictures as larger inputs: a tenth of a second each, too short to leave a thread
    to others.
    """
    picture = client.image(np.full((48, 48, 3), 80, np.uint8))
    options = client.pb.InputOptions(input_height_px=900)
    return "ExtractFeatures", client.pb.ExtractFeaturesRequest(
        images=[picture] * 8, input_options=options
    )


# With the steps that a call takes, one after another, and how many of them the other caller's
# median may wait for: beside long ones a thread is left to it.
@pytest.mark.parametrize(
    ("dear", "steps", "most"),
    [(many_passes, 2, 0.25), (dear_heads, 1, 0.25), (dear_files, 1, 0.25), (large_inputs, 8, 2.5)],
)
def test_dear_work_of_a_caller_is_its_own(api, shared, ordinary, dear, steps, most):
    before, hog, modest = (Caller(api, shared.target, name) for name in ("modest", "hog", "modest"))
    for _ in range(12):
        before.call("ExtractFeatures", ordinary, DEADLINE_S)
    usual = statistics.median(before.seconds)
    method, request = dear(hog.client)
    hog.call(method, request, 60)  # what it takes is known from here on
    piece = hog.seconds.pop() / steps

    over = threading.Event()
    hogs = [Caller(api, shared.target, "hog") for _ in range(16)]
    threads = [threading.Thread(target=h.loop, args=(over, method, request, 60)) for h in hogs]
    for thread in threads:
        thread.start()
    time.sleep(1)
    end = time.monotonic() + FLOOD_S
    while time.monotonic() < end:
        modest.call("ExtractFeatures", ordinary, DEADLINE_S)
        time.sleep(0.05)
    answered = sum(len(h.seconds) for h in hogs)
    over.set()
    for h in hogs:
        h.client.channel.close()
    for thread in threads:
        thread.join()

    assert modest.refusals == []
    assert statistics.median(modest.seconds) <= usual + most * piece
    assert max(modest.seconds) <= usual + 2 * piece + 0.5
    assert answered > 0, "the other is served as well"
