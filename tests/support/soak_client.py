"""A client process of the soak.

    python soak_client.py '{"target": ..., "calls": N, "seed": S, ...}'

Sends that many calls, drawn from the deck, some tens at a time, and prints as JSON how they ended:
`kept` by method and code, and `given_up`, a row for each call that it cancelled or that got a
deadline too short: its trace id, method and code. The server's log has the trace id, so what became
of each of these is known exactly, although both sides may end them at the same time.
"""

from __future__ import annotations

import asyncio
import collections
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc

from api import Api
from soak_deck import ROOT, Call, Deck

CHANNELS = 2
IN_FLIGHT = 12
PATIENCE = 60  # seconds; the deadline of calls that are not given up
PRIORITIES = ["", "interactive", "bulk"]
SHORTEST, LONGEST = 0.0, 0.03  # seconds after which a call is given up
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),  # each call of the tally is one on the server
]

Metadata = list[tuple[str, str]]


class Client:
    def __init__(self, deck: Deck, options: dict[str, Any]) -> None:
        self.deck, self.options = deck, options
        self.dice = random.Random(options["seed"])
        self.left = options["calls"]
        self.kept: collections.Counter[str] = collections.Counter()
        self.given_up: list[tuple[str, str, str]] = []
        self.surprises: collections.Counter[str] = collections.Counter()

    async def run(self) -> dict[str, Any]:
        # Of this loop, so not made before it runs.
        target = self.options["target"]
        self.channels = [grpc.aio.insecure_channel(target, OPTIONS) for _ in range(CHANNELS)]
        await asyncio.gather(*(self.caller() for _ in range(IN_FLIGHT)))
        for channel in self.channels:
            await channel.close()
        return {"kept": self.kept, "given_up": self.given_up, "surprises": self.surprises}

    async def caller(self) -> None:
        while self.left > 0:
            self.left -= 1
            call = self.deck.draw(self.dice, self.options["bad"])
            channel = self.dice.choice(self.channels)
            priority = self.dice.choice(PRIORITIES)
            metadata = [("pixpool-priority", priority)] if priority else []
            if self.dice.random() < self.options["given_up"]:
                await self.give_up(channel, call, metadata)
            else:
                code = await self.finish(channel, call, metadata)
                self.kept[f"{call.name} {code}"] += 1

    async def finish(self, channel: grpc.aio.Channel, call: Call, metadata: Metadata) -> str:
        """Waits for the end, and looks whether as much was answered as was asked for."""
        answers, how = 0, {"timeout": PATIENCE, "metadata": metadata}
        if call.stream:
            sent = channel.stream_stream(call.method)(iter(call.messages), **how)
            try:
                async for _ in sent:
                    answers += 1
            except grpc.RpcError:
                pass
        else:
            sent = channel.unary_unary(call.method)(call.messages[0], **how)
            try:
                answers = bool(await sent)
            except grpc.RpcError:
                pass
        code = (await sent.code()).name
        if not call.bad and code != "OK":
            self.surprises[f"{call.name} {code}: {await sent.details()}"] += 1
        # The first message of a stream of ours says what is wanted.
        wanted = len(call.messages) - (call.name == "StreamFeatures")
        if not call.bad and code == "OK" and call.stream and answers != wanted:
            self.surprises[f"{call.name}: {answers} answers of {wanted}"] += 1
        return code

    async def give_up(self, channel: grpc.aio.Channel, call: Call, metadata: Metadata) -> None:
        trace, after = f"{self.dice.getrandbits(128):032x}", self.dice.uniform(SHORTEST, LONGEST)
        cancels = self.dice.random() < 0.7
        how: dict[str, Any] = {
            "metadata": [*metadata, ("traceparent", f"00-{trace}-00000000000000aa-01")],
            "timeout": PATIENCE if cancels else after,
        }
        if call.stream:
            sent = channel.stream_stream(call.method)(iter(call.messages), **how)
        else:
            sent = channel.unary_unary(call.method)(call.messages[0], **how)
        if cancels:
            asyncio.get_running_loop().call_later(after, sent.cancel)
        try:
            if call.stream:
                async for _ in sent:
                    pass
            else:
                await sent
        except (grpc.RpcError, asyncio.CancelledError):
            pass
        self.given_up.append((trace, call.name, (await sent.code()).name))


def main(options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as stubs:
        deck = Deck(
            Api(ROOT / "proto", Path(stubs)),
            options["model"],
            options.get("real", ""),
            options.get("real_share", 0.0),
        )
    print(json.dumps(asyncio.run(Client(deck, options).run())))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
