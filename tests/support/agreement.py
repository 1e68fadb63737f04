#!/usr/bin/env python3
"""Holds our decoders against Pillow: what Pillow reads with its default settings we read, with the
same pixels, turned upright as exif_transpose does, and what it refuses we refuse. Where they part,
the reason must be in EXCEPTIONS.

usage: agreement.py DECODE_STREAM [--formats FORMAT ...] [--count 50000] [--seed 1] [--forever]
                    [--files FOLDER ...] [--keep FOLDER]

Without --files: every edit of a part of small pictures, and --count damaged copies of them
(mutants.py); with --forever then as many with the next seed, and so on until something differs.
With --files: all files of these formats below the folders.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import io
import itertools
import pathlib
import pickle
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps

from agreement_exceptions import EXCEPTIONS
from mutants import BASES, edits, mutants

# What Pillow calls a format, where that is another name than ours.
PILLOW = {"heic": "HEIF"}


@dataclass
class Answer:
    """What a decoder makes of a file."""

    read: bool
    size: tuple[int, int] = (0, 0)
    digest: str = ""
    reason: str = ""  # of a refusal
    message: str = ""
    damages: tuple[str, ...] = ()


class Ours:
    """The program decode_stream."""

    def __init__(self, program: pathlib.Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, data: bytes) -> Answer:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(struct.pack("<I", len(data)) + data)
        process.stdin.flush()
        line = process.stdout.readline().decode("utf-8", "replace").rstrip("\n")
        verdict, *rest = line.split("\t")
        if verdict == "ok":
            width, height, digest, damages = rest
            named = () if damages == "-" else tuple(damages.split(","))
            return Answer(True, (int(width), int(height)), digest, damages=named)
        if verdict == "no":
            return Answer(False, reason=rest[0], message=rest[1])
        raise RuntimeError(f"decode_stream says: {line or process.wait()}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def upright(image: Image.Image) -> Image.Image:
    """The picture turned; as it is stored where Pillow stumbles over what says how to turn it."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


class Apart:
    """Pillow in a process of its own, which may crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, data: bytes) -> Answer:
        if self._process is None:
            program = pathlib.Path(__file__).with_name("pillow_apart.py")
            self._process = subprocess.Popen(
                [sys.executable, "-B", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(struct.pack("<I", len(data)) + data)
            process.stdin.flush()
            (size,) = struct.unpack("<I", process.stdout.read(4))
            answer: Answer = pickle.loads(process.stdout.read(size))
        except (OSError, struct.error, EOFError):
            process.kill()
            process.wait()
            self._process = None
            return Answer(False, reason="crash", message="the decoder crashed")
        return answer


_apart = Apart()


def pillow(data: bytes) -> Answer:
    """What Pillow makes of a file. A crash is a refusal: damage may bring pillow-heif's decoder to
    one.
    """
    is_heif = data[4:8] == b"ftyp" and data[8:10] != b"av"
    return _apart(data) if is_heif else pillow_here(data)


def pillow_here(data: bytes) -> Answer:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(
                io.BytesIO(data), formats=[PILLOW.get(name, name.upper()) for name in BASES]
            )
            image.load()
            image = upright(image)
            if image.mode.startswith("I;16"):  # the upper byte, as documented
                grey = (np.asarray(image) >> 8).astype(np.uint8)
                pixels = np.repeat(grey[:, :, None], 3, axis=2).tobytes()
            else:
                pixels = image.convert("RGB").tobytes()
    except Exception as error:  # every way to refuse counts
        return Answer(False, reason=type(error).__name__, message=str(error))
    return Answer(True, image.size, hashlib.sha256(pixels).hexdigest())


def differ(ours: Answer, theirs: Answer) -> bool:
    return (ours.read, ours.size, ours.digest) != (theirs.read, theirs.size, theirs.digest)


@dataclass
class Result:
    files: int = 0
    read: int = 0
    damaged: int = 0
    limits: int = 0
    exceptions: collections.Counter[str] = field(default_factory=collections.Counter)
    unexplained: list[tuple[str, Answer, Answer, bytes]] = field(default_factory=list)

    @property
    def agreed(self) -> int:
        return self.files - sum(self.exceptions.values()) - len(self.unexplained)

    def __str__(self) -> str:
        lines = [
            f"{self.files} files: {self.agreed / max(self.files, 1):.3%} agree"
            f" ({self.read} read, {self.damaged} of them with a warning)"
        ]
        lines += [f"  {count} {reason}" for reason, count in self.exceptions.most_common()]
        for name, ours, theirs, _ in self.unexplained[:20]:
            lines.append(f"  unexplained: {name}\n    ours   {ours}\n    Pillow {theirs}")
        return "\n".join(lines)


def compare(ours: Callable[[bytes], Answer], files: Iterable[tuple[str, bytes]]) -> Result:
    result = Result()
    for name, data in files:
        our = ours(data)
        if our.reason == "LIMIT_EXCEEDED":
            result.limits += 1
            continue
        their = pillow(data)
        result.files += 1
        result.read += our.read
        result.damaged += bool(our.damages)
        if not differ(our, their):
            continue
        for reason, applies in EXCEPTIONS.items():
            if applies(our, their, data):
                result.exceptions[reason] += 1
                break
        else:
            result.unexplained.append((name, our, their, data))
    return result


def is_compared(data: bytes) -> bool:
    """Whether a file begins as one of the formats above."""
    riff = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    heif = data[4:8] == b"ftyp" and data[8:11] in (b"avi", b"hei", b"hev", b"mif", b"msf")
    return (
        riff
        or heif
        or data.startswith(
            (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
        )
    )


def files_below(folders: Iterable[pathlib.Path]) -> Iterable[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and is_compared(data := path.read_bytes()):
                yield str(path), data


def runs(options: argparse.Namespace) -> Iterator[tuple[str, Iterable[tuple[str, bytes]]]]:
    """Names, and the files under them."""
    if options.files:
        yield "files", files_below(options.files)
        return
    for fmt in options.formats:
        yield f"{fmt}, edits", edits(fmt)
    for seed in itertools.count(options.seed) if options.forever else (options.seed,):
        for fmt in options.formats:
            yield f"{fmt}, damage, seed {seed}", mutants(fmt, options.count, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--formats", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--count", type=int, default=50_000, help="damaged copies of each format")
    parser.add_argument("--seed", type=int, default=1, help="others give other damage")
    parser.add_argument("--forever", action="store_true", help="seed after seed")
    parser.add_argument("--files", nargs="+", type=pathlib.Path, help="folders, instead")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for files that differ")
    options = parser.parse_args()
    ours = Ours(options.program)
    differing = 0
    for name, files in runs(options):
        result = compare(ours, files)
        print(f"{name}: {result}", flush=True)
        differing += len(result.unexplained)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for label, _, _, data in result.unexplained:
                (options.keep / label.replace("/", "_").replace(" ", "_")).write_bytes(data)
        if differing and options.forever:
            break
    ours.close()
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
