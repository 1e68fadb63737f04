"""The bundles that the benchmark runs, made where they are missing.

    python bench/models.py --model efficientnet-lite0 resnet50 --precision float32 int8

Each lies in a repository of its own, build/bench/models/MODEL-PRECISION, so that a server loads no
other. The bundle of int8 holds float32 as well. Needs the environment of `./test`: torchvision for
the models besides the default one, NNCF for int8.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))

import learnt_models  # noqa: E402

BENCH = ROOT / "build" / "bench"
# What the exporter is asked for.
MODELS = {
    "efficientnet-lite0": ["efficientnet-lite0"],
    "efficientnet-lite1": ["efficientnet-lite1"],
    "efficientnet-lite2": ["efficientnet-lite2"],
    "open-nsfw": learnt_models.open_nsfw(),
    "mobilenetv2": ["module:random_networks:mobilenetv2", "--license", "BSD-3-Clause"],
    "resnet50": ["module:random_networks:resnet50", "--license", "BSD-3-Clause"],
    "dinov2-small": [
        "timm:vit_small_patch14_dinov2",
        "--random-weights",
        "--input-size",
        "224",
        "--resize-size",
        "256",
        "--crop",
        "center",
    ],
    "vit-base-16": ["timm:vit_base_patch16_224", "--random-weights"],
}
# The weights of the others are learnt.
RANDOM = {"mobilenetv2", "resnet50", "dinov2-small", "vit-base-16"}
LEARNT = MODELS.keys() - RANDOM
# Not for comparisons: overhead.py's.
NOTHING = [
    "module:random_networks:nothing",
    "--layers",
    "features=1",
    "--input-size",
    "28",
    "--resize-size",
    "28",
]
PRECISIONS = ["float32", "int8"]


def repository(model: str, precision: str) -> Path:
    """The --models-dir that holds this model alone."""
    return BENCH / "models" / f"{model}-{precision}"


def bundle(model: str, precision: str) -> Path:
    return repository(model, precision) / model / "1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", nargs="+", choices=list(MODELS), default=["efficientnet-lite0"])
    add(
        "--precision",
        nargs="+",
        choices=PRECISIONS,
        default=["float32"],
        help="ours; both are compared with one another, too",
    )
    add(
        "--photos",
        type=Path,
        help="photographs to calibrate int8 on and to judge it (default: see photos.py)",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    parser.add_argument("--nothing", action="store_true", help="only the model of overhead.py")
    args, _ = parser.parse_known_args()  # the rest is compare.py's
    if args.nothing:
        make("nothing", "float32", NOTHING)
        return
    for model in args.model:
        make(model, "float32", MODELS[model])
        if "int8" in args.precision:
            make_int8(model, args.photos)


def make(model: str, precision: str, what: list[str]) -> None:
    if not (bundle(model, precision) / "manifest.json").is_file():
        export = [sys.executable, str(ROOT / "bench" / "export.py")]
        command = [*export, *what, "--name", model, "--version", "1"]
        done = subprocess.run(
            [*command, "--out", str(repository(model, precision))], cwd=ROOT / "bench"
        )
        if done.returncode:
            raise SystemExit(done.returncode)


def make_int8(model: str, photos: Path | None) -> None:
    if (bundle(model, "int8") / "manifest.json").is_file():
        return
    import photos as pictures

    folder = BENCH / "photos"
    if photos or not folder.is_dir():
        BENCH.mkdir(parents=True, exist_ok=True)
        pictures.make(folder, photos)
    what = [
        f"bundle:{bundle(model, 'float32')}",
        "--int8",
        str(folder / "calibrate"),
        "--int8-judge",
        str(folder / "judge"),
    ]
    # A random network is here for its speed: its fidelity is reported and not held to the promise.
    make(model, "int8", what if model in LEARNT else [*what, "--accept-worse-int8"])


if __name__ == "__main__":
    main()
