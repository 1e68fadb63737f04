"""Callers that do not wait: each call is cancelled, or its deadline passes, after a short time.

    python bench/give_up.py HOST:PORT METHOD REQUEST RATE COUNT SHORTEST LONGEST

Sends COUNT calls with the framed message of the file REQUEST, RATE a second whatever the server
does. One half has deadlines, the other is cancelled, SHORTEST to LONGEST seconds after it was sent.
Prints how the calls ended, as JSON.
"""

from __future__ import annotations

import asyncio
import collections
import json
import random
import sys
from pathlib import Path

import grpc

CHANNELS = 8
FRAME = 5  # bytes before the message


async def call(
    stub: grpc.aio.UnaryUnaryMultiCallable, data: bytes, cancel: bool, after: float
) -> str:
    sent = stub(data, timeout=5 if cancel else after)
    if cancel:
        asyncio.get_running_loop().call_later(after, sent.cancel)
    try:
        await sent
    except asyncio.CancelledError:
        return "CANCELLED"
    except grpc.RpcError:
        pass
    return (await sent.code()).name


async def main(
    target: str, method: str, file: str, rate: str, count: str, shortest: str, longest: str
) -> None:
    data = Path(file).read_bytes()[FRAME:]
    dice, options = random.Random(1), [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(CHANNELS)]
    stubs = [channel.unary_unary(method) for channel in channels]
    loop = asyncio.get_running_loop()
    begin, calls = loop.time(), []
    for i in range(int(count)):
        await asyncio.sleep(max(0.0, begin + i / float(rate) - loop.time()))
        after = dice.uniform(float(shortest), float(longest))
        calls.append(asyncio.create_task(call(stubs[i % CHANNELS], data, i % 2 == 1, after)))
    ends = collections.Counter(await asyncio.gather(*calls))
    for channel in channels:
        await channel.close()
    print(json.dumps(ends))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
