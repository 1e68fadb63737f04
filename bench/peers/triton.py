"""Peer: Triton with its Python backend (nvidia-pytriton), gRPC, bytes of pictures in, float32
values out.

python bench/peers/triton.py PORT BUNDLE PRECISION INSTANCES BATCH [scaled]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from backbone import Backbone, Bundle
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main() -> None:
    port, folder, precision = sys.argv[1:4]
    instances, size = map(int, sys.argv[4:6])
    scaled = "scaled" in sys.argv[6:]
    bundle = Bundle(Path(folder), precision)
    # Instances of one thread each; a batch goes through one picture after the other, which is
    # faster than as one.
    backbone = Backbone(bundle, instances, 1, 1)

    @batch
    def infer(image: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "embedding": np.concatenate(
                [backbone(bundle.prepare(data, scaled)[None]) for data in image[:, 0]]
            )
        }

    number = int(port)
    config = TritonConfig(
        grpc_port=number,
        grpc_address="127.0.0.1",
        allow_http=True,
        http_port=number + 1,
        http_address="127.0.0.1",
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="backbone",
            infer_func=[infer] * instances,
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="embedding", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(
                max_batch_size=size, batcher=DynamicBatcher(max_queue_delay_microseconds=0)
            ),
            strict=False,
        )
        triton.serve()


if __name__ == "__main__":
    main()
