"""`pixpool-bulk`, or `python -m pixpool.bulk`: see --help."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pixpool._channel import DEFAULT_TARGET
from pixpool._errors import PixpoolError
from pixpool._options import InputOptions
from pixpool.bulk.access_flags import add_access_flags, headers_of, tls_of
from pixpool.bulk.errors import EXIT_CODE_HELP, BulkError, ExitCode, exit_code_for
from pixpool.bulk.job import Summary, advice_line
from pixpool.bulk.launch import run
from pixpool.bulk.region_flags import add_region_flags, region_options, size

EPILOG = """\
SOURCE is a folder of pictures (with all below it), a text file of paths (one per line), a Parquet
file or folder of them, or a .jsonl file of objects (one per line). Hidden files, and folders that
programs keep beside pictures (@eaDir, __MACOSX, .thumbnails and the like), are left out. FILE ends
in .npy (an index of rows and failed images is written beside it) or in .parquet (id, one column per
head, its space id, and errors; with boxes a row a box).

  %(prog)s photos/ --output features.npy --head gem:l2
  %(prog)s list.txt --output features.parquet --head gem --head rmac:encoding=float16
  %(prog)s images.parquet --column image --id-column id --output features.parquet
  %(prog)s detections.jsonl --box-column boxes --crop none --output features.parquet

A run that was stopped or killed goes on with the same command. Until a job is done, its work lies
in FILE.work.

"""

EXIT_CODES = EXIT_CODE_HELP + "  130  interrupted\n"


def _prog() -> str:
    """The name by which this was called: that of the console script, or of the module."""
    script = "pixpool-bulk"
    return script if Path(sys.argv[0]).stem == script else "python -m pixpool.bulk"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_prog(),
        description="Features of any number of images into one file.",
        epilog=EPILOG + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--head",
        action="append",
        metavar="HEAD",
        help="kind[:parameter=value,...]; repeatable; default: global_avg",
    )
    parser.add_argument(
        "--target",
        default=os.environ.get("PIXPOOL_TARGET", DEFAULT_TARGET),
        help="server; default: PIXPOOL_TARGET, now %(default)s",
    )
    add_access_flags(parser)
    parser.add_argument("--model", default="", help="model; default: the server's")
    parser.add_argument("--model-version", default="", metavar="VERSION")
    parser.add_argument(
        "--column",
        default="",
        help="column of images in Parquet, key of paths in JSON lines; default: image",
    )
    parser.add_argument(
        "--id-column",
        default="",
        help="column or key of ids; default: the row's position in Parquet, the path in JSON lines",
    )
    parser.add_argument(
        "--follow-links", action="store_true", help="follow links to folders, but not in circles"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out files and folders of this name, such as '*_small.jpg', or with a slash in"
        " it of this path in the folder, such as 2019/raw; repeatable",
    )
    parser.add_argument("--resize", choices=("shorter_side", "exact", "none"))
    parser.add_argument("--crop", choices=("center", "none"))
    parser.add_argument("--input-size", type=size, metavar="HxW", help="in pixels, or N for both")
    parser.add_argument("--resize-size", type=int, metavar="PIXELS")
    parser.add_argument(
        "--decode",
        choices=("exact", "scaled"),
        help="JPEG files in full, or faster at a scale that keeps twice what is needed; default:"
        " exact",
    )
    parser.add_argument(
        "--damaged",
        choices=("accept", "refuse"),
        help="image files that are damaged and can be read; default: the server's, accept as a"
        " rule",
    )
    parser.add_argument(
        "--background",
        type=_color,
        metavar="R,G,B",
        help="colour under transparent pixels, such as 255,255,255; default: the stored colour"
        " shows as if it were opaque",
    )
    parser.add_argument("--no-exif", action="store_true", help="do not turn pictures upright")
    parser.add_argument("--scales", type=_scales, default=(), metavar="S,S,...")
    parser.add_argument("--flip", action="store_true")
    parser.add_argument(
        "--concurrency", type=int, default=32, metavar="N", help="images under way; default: 32"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="for an image; an overloaded or restarted server is waited for so long; default: 300",
    )
    parser.add_argument(
        "--priority",
        choices=("interactive", "bulk"),
        default="bulk",
        help="whether others go first under load; default: bulk, they do",
    )
    parser.add_argument(
        "--round-robin", action="store_true", help="use all addresses of the target"
    )
    parser.add_argument(
        "--part-size", type=int, default=512, metavar="N", help="images in a part; default: 512"
    )
    parser.add_argument("--ray", action="store_true", help="do the parts by Ray Data")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_region_flags(parser)
    return parser


def _color(text: str) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in text.split(","))
    if not all(0 <= level <= 255 for level in (red, green, blue)):
        raise ValueError(text)
    return red, green, blue


def _scales(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        options = InputOptions(
            resize=args.resize,
            crop=args.crop,
            input_size=args.input_size,
            resize_size=args.resize_size,
            decode=args.decode,
            damaged=args.damaged,
            background=args.background,
            apply_exif=False if args.no_exif else None,
            scales=args.scales,
            flip=args.flip,
        )
        summary = run(
            args.source,
            args.output,
            args.head,
            target=args.target,
            model=args.model,
            model_version=args.model_version,
            input_options=options,
            column=args.column,
            id_column=args.id_column,
            box_column=args.box_column,
            regions=args.box,
            region_options=region_options(args),
            concurrency=args.concurrency,
            timeout=args.timeout,
            priority=args.priority,
            round_robin=args.round_robin,
            tls=tls_of(args),
            token_file=args.token_file,
            allow_plain_token=args.allow_plain_token,
            metadata=headers_of(args),
            part_size=args.part_size,
            progress=not args.quiet,
            ray=args.ray,
            follow_links=args.follow_links,
            exclude=args.exclude,
        )
    except (ValueError, TypeError) as error:
        return _failed(error, ExitCode.USAGE)
    except BulkError as error:
        return _failed(error, error.exit_code)
    except PixpoolError as error:
        return _failed(error, exit_code_for(error.code))
    except OSError as error:
        return _failed(error, ExitCode.INTERNAL)
    except KeyboardInterrupt:
        print("\npixpool.bulk: interrupted; the same command goes on", file=sys.stderr)
        return ExitCode.INTERRUPTED
    if args.quiet:  # else it has been said
        for path, why in summary.unreadable.items():
            print(f"pixpool.bulk: left out {path}: {why}", file=sys.stderr)
        for line in summary.advice:
            print(f"pixpool.bulk: {advice_line(line)}", file=sys.stderr)
    print(_told(summary, args.output))
    return ExitCode.SOME_FAILED if summary.failed or summary.unreadable else ExitCode.OK


def _failed(error: Exception, code: ExitCode) -> int:
    print(f"pixpool.bulk: {error}", file=sys.stderr)
    return code


def _told(summary: Summary, output: Path) -> str:
    """What was done, in a line."""
    if summary.files:
        names = ", ".join(str(output.with_name(path.name)) for path in summary.files)
        spaces = ", ".join(f"{head} {space}" for head, space in summary.space_ids.items())
        text = f"{names}: {summary.images:,} images, {summary.failed:,} failed"
        if summary.regions or summary.without_regions:
            text += f", {summary.regions:,} regions, {summary.without_regions:,} images without"
        text += f"; {spaces}"
    else:
        text = f"{output} was not written: all {summary.images:,} images failed"
        if summary.without_regions:
            text += f" ({summary.failed:,}) or have no regions"
        text += f"; {output.with_suffix('.index.json')} says why"
    if summary.unreadable:
        text += f"; left out {len(summary.unreadable):,} folders or links that cannot be read"
    return text


if __name__ == "__main__":
    sys.exit(main())
