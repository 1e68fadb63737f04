"""What a device gives in process, without a server: PyTorch eager, TorchScript and AOTInductor, by
precision and batch.

    python bench/gpu.py [--model resnet50 ...] [--batch 1 4 16 64] [--seconds 1] [--json FILE]

In the environment of `./test`, with client/python on the path. Not yet run on a GPU. Without a CUDA
device it says so and ends with 2; `--device cpu` measures float32 on the CPU instead. Images/s of
the whole network, its input already on the device, so no decode is in it; the cosine is that of the
worst picture with eager float32.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import models
from pixpool.export.models import load_model

Run = Callable[[], Tensor]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", nargs="+", choices=list(models.MODELS), default=list(models.MODELS)
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--seconds", type=float, default=1, help="of each measurement, of which there are three"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            "bench/gpu.py: no CUDA device, or a PyTorch without CUDA: nothing to measure "
            "(--device cpu?)",
            file=sys.stderr,
        )
        return 2
    name = (
        torch.cuda.get_device_name()
        if args.device == "cuda"
        else f"{torch.get_num_threads()} threads"
    )
    print(f"PyTorch {torch.__version__} on {name}")
    print(
        f"{'model':<20} {'precision':<9} {'engine':<12} {'batch':>5} "
        f"{'images/s':>10} {'ms':>9} {'cosine':>9}"
    )
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        rows = [row for model in args.model for row in measure(model, Path(folder), args)]
    if args.json:
        args.json.write_text(
            json.dumps({"device": name, "torch": torch.__version__, "rows": rows}) + "\n"
        )
    return 0


def measure(model: str, folder: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    network = load_model(models.MODELS[model][0]).module.to(
        args.device, memory_format=torch.channels_last
    )
    generator = torch.Generator().manual_seed(0)
    for batch in args.batch:
        pictures = torch.randn(batch, 3, 224, 224, generator=generator).to(
            args.device, memory_format=torch.channels_last
        )
        exact: Tensor | None = None
        for precision in ("float32", "tf32", "float16") if args.device == "cuda" else ("float32",):
            # Before AOTInductor compiles, which chooses its kernels by it.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
                precision == "tf32"
            )
            kind = torch.float16 if precision == "float16" else torch.float32
            for engine, run in engines(copy.deepcopy(network).to(kind), pictures.to(kind), folder):
                got = run().float()
                exact = got if exact is None else exact
                cosine = nn.functional.cosine_similarity(got, exact, dim=1).min().item()
                rate = batch / timed(run, args.seconds)
                print(
                    f"{model:<20} {precision:<9} {engine:<12} {batch:>5} "
                    f"{rate:10.1f} {1e3 * batch / rate:9.3f} {cosine:9.6f}",
                    flush=True,
                )
                yield {
                    "model": model,
                    "precision": precision,
                    "engine": engine,
                    "batch": batch,
                    "images_per_second": rate,
                    "cosine": cosine,
                }


def engines(network: nn.Module, pictures: Tensor, folder: Path) -> Iterator[tuple[str, Run]]:
    yield "eager", lambda: network(pictures)
    script = torch.jit.freeze(torch.jit.trace(network, pictures))
    yield "torchscript", lambda: script(pictures)
    program = torch.export.export(network, (pictures,))
    package = torch._inductor.aoti_compile_and_package(
        program, package_path=str(folder / "network.pt2"), inductor_configs={"freezing": True}
    )
    compiled = torch._inductor.aoti_load_package(package)
    yield "aotinductor", lambda: compiled(pictures)


def timed(run: Run, seconds: float) -> float:
    """Seconds of a run: the best of three measurements, each until the device is done."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for _ in range(5):
        run()
    wait()
    best = float("inf")
    for _ in range(3):
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            for _ in range(5):
                run()
            wait()
            count += 5
        best = min(best, (time.perf_counter() - start) / count)
    return best


if __name__ == "__main__":
    sys.exit(main())
