"""A client process of the rolling restart.

    python rolling_client.py '{"target": ..., "calls": N, "requests": FILE}'

Calls again and again, some calls at a time and RATE a second at most, with the service config that
deploy/client ships; with "edge": true, the one for clients of the edge. Says `enough` when N calls
have ended, goes on until its input is closed, and prints how the calls ended as JSON.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
from pathlib import Path
from typing import Any

import grpc

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "deploy" / "client"
IN_FLIGHT = 8
RATE = 600  # below what the edge lets through
PATIENCE = 30  # seconds


async def main(options: dict[str, Any]) -> None:
    requests = [
        (method, bytes.fromhex(data))
        for method, data in json.loads(Path(options["requests"]).read_text())
    ]
    ends: collections.Counter[str] = collections.Counter()
    stop = asyncio.Event()
    config = CONFIGS / ("service_config_edge.json" if options["edge"] else "service_config.json")
    channel = grpc.aio.insecure_channel(
        options["target"], [("grpc.service_config", config.read_text())]
    )
    loop = asyncio.get_running_loop()
    turn = loop.time()

    async def caller(number: int) -> None:
        nonlocal turn
        while not stop.is_set():
            turn = max(turn + 1 / RATE, loop.time() - 0.1)  # what was missed is not made up for
            await asyncio.sleep(max(0.0, turn - loop.time()))
            method, data = requests[number % len(requests)]
            number += 1
            try:
                await channel.unary_unary(method)(data, timeout=PATIENCE)
                ends["OK"] += 1
            except grpc.RpcError as error:
                ends[f"{error.code().name}: {error.details()}"] += 1
            if sum(ends.values()) == options["calls"]:
                print("enough", flush=True)

    async def watch() -> None:
        await asyncio.to_thread(sys.stdin.read)
        stop.set()

    await asyncio.gather(watch(), *(caller(i) for i in range(IN_FLIGHT)))
    await channel.close()
    print(json.dumps(ends))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
