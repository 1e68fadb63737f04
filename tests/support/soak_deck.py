"""The calls of the soak: every method of both protocols, all heads, pictures of many sizes and
formats, and calls that must fail. Each is made once, as bytes, so that sending it costs little.
"""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2 as kserve

from api import Api
from image_bytes import picture

ROOT = Path(__file__).resolve().parents[2]
OURS, KSERVE = "/pixpool.v1.FeatureService/", "/inference.GRPCInferenceService/"
SIZES = [(16, 16), (17, 40), (60, 40), (90, 60), (160, 120), (33, 200)]
LARGE = [(600, 400), (900, 1200)]  # sent rarely
SIDES = [0, 0, 0, 16, 24, 48, 96]  # of the network's input; 0: the recipe's
LAYERS = ["", "early", "late"]
# Shares of the good calls.
SHARES = {
    "ExtractFeatures": 45,
    "ModelInfer": 25,
    "StreamFeatures": 8,
    "ModelStreamInfer": 5,
    "PoolTensor": 5,
    "other": 12,
}


@dataclasses.dataclass(frozen=True)
class Call:
    method: str  # "/package.Service/Method"
    messages: tuple[bytes, ...]
    stream: bool = False
    bad: bool = False

    @property
    def name(self) -> str:
        return self.method.rsplit("/", 1)[1]


def heads() -> list[str]:
    """Each kind of head that a CNN's map or classifier is enough for, in its shortest form."""
    out = []
    for head in json.loads((ROOT / "docs" / "heads.json").read_text()):
        if head["reads"] not in ("map", "classifier"):
            continue
        required = ",".join(f"{p['name']}=1" for p in head["parameters"] if p["required"])
        if head["name"] == "conv_pool":  # its filter is one of two parameters
            required = "kernel_size=1,mean_filter=true"
        out.append(f"{head['name']}:{required}" if required else head["name"])
    return out


def needs_classifier(head: str) -> bool:
    return head.startswith("class_")


class Deck:
    """Makes the calls. `real` names a second model, to which a share of the inference goes."""

    def __init__(self, api: Api, model: str, real: str = "", real_share: float = 0.0) -> None:
        self.api, self.pb = api, api.pb
        self.spell = api.client("127.0.0.1:1")  # only makes messages
        self.model, self.real, self.real_share = model, real, real_share
        self.dice = random.Random(16)
        self.pictures = list(self._pictures(SIZES))
        self.large = list(self._pictures(LARGE))
        self.heads = heads()
        self.good = {name: self._made(name, 160 if "Stream" not in name else 60) for name in SHARES}
        self.bad = list(self._bad())

    def draw(self, dice: random.Random, bad: float) -> Call:
        if dice.random() < bad:
            return dice.choice(self.bad)
        (name,) = dice.choices(list(SHARES), list(SHARES.values()))
        return dice.choice(self.good[name])

    def calls(self) -> Iterator[Call]:
        for made in self.good.values():
            yield from made
        yield from self.bad

    def _pictures(self, sizes: list[tuple[int, int]]) -> Iterator[bytes]:
        for seed, (width, height) in enumerate(sizes):
            for kind in ("JPEG", "PNG", "WEBP"):
                sink = io.BytesIO()
                Image.fromarray(picture(width, height, seed=seed)).save(sink, kind)
                yield sink.getvalue()

    def _picture(self) -> bytes:
        return self.dice.choice(self.large if self.dice.random() < 0.01 else self.pictures)

    def _made(self, name: str, count: int) -> list[Call]:
        make = {
            "ExtractFeatures": self._extract,
            "ModelInfer": self._infer,
            "StreamFeatures": self._stream,
            "ModelStreamInfer": self._infer_stream,
            "PoolTensor": self._pool,
        }
        if name == "other":
            return list(self._others())
        return [make[name](i) for i in range(count)]

    def _target(self) -> tuple[str, bool]:
        real = bool(self.real) and self.dice.random() < self.real_share
        return (self.real, True) if real else (self.model, False)

    def _some_heads(self, i: int, real: bool) -> list[Any]:
        """Number `i` of all heads, so that each has its turn, and up to two more."""
        out = []
        names = [self.heads[i % len(self.heads)], *self.dice.choices(self.heads, k=i % 3)]
        for number, name in enumerate(names):
            head = self.spell.head(name)
            head.head_id = str(number)
            if not real and not needs_classifier(name):
                head.layer = self.dice.choice(LAYERS)
            out.append(head)
        return out

    def _options(self, real: bool) -> Any:
        options = self.pb.InputOptions()
        if side := 0 if real else self.dice.choice(SIDES):
            options.input_height_px = side
        if self.dice.random() < 0.3:
            options.decode = self.pb.DECODE_MODE_SCALED
        return options

    def _priority(self) -> int:
        return self.dice.choice(self.pb.Priority.values())

    def _extract(self, i: int) -> Call:
        model, real = self._target()
        request = self.pb.ExtractFeaturesRequest(
            model=model,
            heads=self._some_heads(i, real),
            input_options=self._options(real),
            priority=self._priority(),
        )
        for _ in range(1 if real else self.dice.choice([1, 1, 1, 2, 4])):
            request.images.add().encoded = self._picture()
        return Call(OURS + "ExtractFeatures", (request.SerializeToString(),))

    def _stream(self, i: int) -> Call:
        model, real = self._target()
        config = self.pb.StreamConfig(
            model=model, heads=self._some_heads(i, real), input_options=self._options(real)
        )
        messages = [self.pb.StreamFeaturesRequest(config=config)]
        for _ in range(self.dice.randint(2, 6)):
            messages.append(self.pb.StreamFeaturesRequest(image={"encoded": self._picture()}))
        return Call(
            OURS + "StreamFeatures", tuple(m.SerializeToString() for m in messages), stream=True
        )

    def _pool(self, i: int) -> Call:
        head = self.spell.head(
            [h for h in self.heads if not needs_classifier(h)][i % (len(self.heads) - 2)]
        )
        shape = [self.dice.randint(1, 2), 3, 6, 6]
        values = np.random.default_rng(i).random(int(np.prod(shape)), np.float32)
        request = self.pb.PoolTensorRequest(
            tensor={"shape": shape, "values": values.tolist()}, heads=[head]
        )
        return Call(OURS + "PoolTensor", (request.SerializeToString(),))

    def _infer_message(self, i: int, data: list[bytes]) -> bytes:
        model, real = self._target()
        request = kserve.ModelInferRequest(model_name=model)
        request.inputs.add(name="image", datatype="BYTES", shape=[len(data), 1])
        request.raw_input_contents.append(b"".join(len(d).to_bytes(4, "little") + d for d in data))
        request.outputs.add(name=self.heads[i % len(self.heads)])
        if priority := self.dice.choice([0, 1, 2]):  # Triton's numbers
            request.parameters["priority"].uint64_param = priority
        if not real and (side := self.dice.choice(SIDES)):
            for name in ("input_height_px", "input_width_px"):
                request.parameters[name].int64_param = side
        return request.SerializeToString()

    def _infer(self, i: int) -> Call:
        data = [self._picture() for _ in range(self.dice.choice([1, 1, 1, 3]))]
        return Call(KSERVE + "ModelInfer", (self._infer_message(i, data),))

    def _infer_stream(self, i: int) -> Call:
        messages = tuple(
            self._infer_message(i + k, [self._picture()]) for k in range(self.dice.randint(1, 5))
        )
        return Call(KSERVE + "ModelStreamInfer", messages, stream=True)

    def _others(self) -> Iterator[Call]:
        def call(prefix: str, name: str, request: Any) -> Call:
            return Call(prefix + name, (request.SerializeToString(),))

        yield call(OURS, "ListModels", self.pb.ListModelsRequest())
        yield call(OURS, "GetModel", self.pb.GetModelRequest(model=self.model))
        yield call(KSERVE, "ServerLive", kserve.ServerLiveRequest())
        yield call(KSERVE, "ServerReady", kserve.ServerReadyRequest())
        yield call(KSERVE, "ServerMetadata", kserve.ServerMetadataRequest())
        yield call(KSERVE, "ModelReady", kserve.ModelReadyRequest(name=self.model))
        yield call(KSERVE, "ModelMetadata", kserve.ModelMetadataRequest(name=self.model))
        yield call(KSERVE, "ModelConfig", kserve.ModelConfigRequest(name=self.model))
        yield call(KSERVE, "ModelStatistics", kserve.ModelStatisticsRequest())
        yield call(KSERVE, "RepositoryIndex", kserve.RepositoryIndexRequest())

    def _bad(self) -> Iterator[Call]:
        """Calls that fail as a whole, and calls of which a picture does."""

        def call(prefix: str, name: str, *requests: Any, stream: bool = False) -> Call:
            data = tuple(r.SerializeToString() for r in requests)
            return Call(prefix + name, data, stream, bad=True)

        pb, good = self.pb, self.pictures[0]
        broken = [b"", b"no picture", good[: len(good) // 2], self.pictures[1][:40]]

        def extract(**fields: Any) -> Call:
            fields = {"images": [{"encoded": good}], "model": self.model} | fields
            return call(OURS, "ExtractFeatures", pb.ExtractFeaturesRequest(**fields))

        for data in broken:
            images = [{"encoded": data}, {"encoded": good}]
            yield extract(images=images)
            yield call(
                OURS,
                "StreamFeatures",
                pb.StreamFeaturesRequest(config={"model": self.model}, image={"encoded": data}),
                stream=True,
            )
            yield Call(KSERVE + "ModelInfer", (self._infer_message(0, [data]),), bad=True)
            yield Call(
                KSERVE + "ModelStreamInfer",
                (self._infer_message(0, [data]), self._infer_message(0, [good])),
                stream=True,
                bad=True,
            )
        yield extract(images=[])
        yield extract(images=[{"encoded": good}] * 33)
        yield extract(model="no-such-model")
        yield extract(model_version="99")
        yield extract(heads=[self.spell.head("gem:p=-1")])
        yield extract(heads=[self.spell.head("global_avg:layer=no-such-layer")])
        yield extract(input_options={"input_height_px": 1 << 20})
        yield extract(request_id="\n")
        yield call(OURS, "GetModel", pb.GetModelRequest(model="no-such-model"))
        yield call(OURS, "PoolTensor", pb.PoolTensorRequest(tensor={"shape": [1, 2]}))
        yield call(
            OURS,
            "StreamFeatures",
            pb.StreamFeaturesRequest(config={"model": "no-such-model"}, image={"encoded": good}),
            stream=True,
        )
        yield call(KSERVE, "ModelInfer", kserve.ModelInferRequest(model_name=self.model))
        yield call(KSERVE, "ModelReady", kserve.ModelReadyRequest(name="no-such-model"))
        yield call(KSERVE, "ModelMetadata", kserve.ModelMetadataRequest(name="no-such-model"))
