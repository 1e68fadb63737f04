"""Whether two builds of the server answer the same, byte for byte: for what must move nothing.

    scripts/py bench/same_answers.py BEFORE AFTER [--models models] [--engine openvino ...]

BEFORE and AFTER are pixpool-server programs. Every head, on the default layer and on an inner one,
with parameters, encodings and drawn maps, on the sample photographs at two input sizes; and what
GetModel says, space ids included. Times are left out of the comparison. Ends with 1 where an answer
differs. Needs the default model (./run --once) and, in a checkout, the generated code of the API
(scripts/py client/python/generate_api.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "client" / "python")]

from pixpool import Client, PixpoolError, parse_head  # noqa: E402
from pixpool.samples import sample_files  # noqa: E402
from pixpool.v1 import feature_service_pb2 as pb  # noqa: E402
from server_process import ServerProcess  # noqa: E402

MAPS = """global_avg global_max:l2 avg_max cat_avg_max gem:p=3.7,l2 gem:p=0.3 lse:r=5 lp:p=2 rmac
rmac:levels=5,overlap=0.2 crow spoc scda adaptive_avg:output_size=3x2
adaptive_max:output_size=3,return_indices spatial_pyramid spatial_pyramid:levels=1x3,pooling=avg
max_pool:kernel_size=3,stride=2,padding=1,return_indices avg_pool:kernel_size=2,ceil_mode
max_unpool:kernel_size=3,stride=1,padding=1 conv_pool:kernel_size=2,mean_filter
feature_map""".split()
OTHERS = """gem:encoding=int8 gem:encoding=binary gem:encoding=float16 class_scores:top_k=0
class_activation_map class_activation_map:format=png_overlay""".split()
SIDES = (None, 320)  # of the network's input; None: the recipe's
HEADS_PER_REQUEST = 8


def texts() -> list[str]:
    """All heads, the maps' on both layers."""
    inner = [f"{m}{',' if ':' in m else ':'}layer=stage5" for m in MAPS]
    heads = [*MAPS, *inner, *OTHERS]
    known = {head["name"] for head in json.loads((ROOT / "docs/heads.json").read_text())}
    assert {head.split(":")[0] for head in heads} == known, "a head is not compared"
    return heads


def answers(target: str) -> Iterator[tuple[str, Message]]:
    """What was asked, and the answer."""
    heads = texts()
    photographs = [path.read_bytes() for path in sample_files().values()]
    with Client(target) as client:
        client.wait_until_ready(60)
        yield "GetModel", client.model().message
        for start in range(0, len(heads), HEADS_PER_REQUEST):
            some = heads[start : start + HEADS_PER_REQUEST]
            for side in SIDES:
                request = pb.ExtractFeaturesRequest(heads=[parse_head(head) for head in some])
                for number, head in enumerate(request.heads):
                    head.head_id = str(number)
                if side:
                    request.input_options.input_height_px = side
                for data in photographs:
                    request.images.add().encoded = data
                yield f"{', '.join(some)}; side {side or 'of the recipe'}", asked(client, request)


def asked(client: Client, request: pb.ExtractFeaturesRequest) -> Message:
    """The answer without its times. A refusal would compare nothing, so it ends the run."""
    try:
        response = client.extract_features(request)
    except PixpoolError as error:
        raise SystemExit(f"refused: {error}") from error
    response.ClearField("stage_times")
    for result in response.results:
        if result.WhichOneof("outcome") != "features":
            raise SystemExit(f"an image failed: {result.status.message}")
        result.features.ClearField("stage_times")
    return response


def collect(server: Path, models: Path, engine: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        process = ServerProcess(
            server, models, Path(folder) / "log", ("--engine", engine, "--log-level", "error")
        )
        try:
            return {
                what: answer.SerializeToString(deterministic=True)
                for what, answer in answers(process.target)
            }
        finally:
            process.signal()
            process.process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--engine", nargs="+", default=["openvino", "torchscript"])
    args = parser.parse_args()
    differ = 0
    for engine in args.engine:
        before, after = (collect(s, args.models, engine) for s in (args.before, args.after))
        other = [what for what in before if before[what] != after[what]]
        size = sum(map(len, before.values()))
        print(
            f"{engine}: {len(before)} answers, {size:,} bytes, {len(other)} differ",
            *other,
            sep="\n  ",
        )
        differ += len(other)
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
