"""Photographs for int8: some to calibrate on, and others to judge on.

    PYTHONPATH=client/python python bench/photos.py OUT [--photos FOLDER] [--crops 7]

Writes crops to OUT/calibrate and OUT/judge. Two of three photographs give all their crops to the
first and the rest to the second: crops of one photograph on both sides would flatter. Without
--photos they are what scikit-image's wheel and some Debian packages of wallpapers carry
(downloaded, not installed; what cannot be had is left out with a remark). Better ones are those
that will be served.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from pixpool._picture_suffixes import PICTURE_SUFFIXES

SKIMAGE = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
# Their JPEGs are photographs; their PNGs are drawn.
DEBIAN = (
    "mate-backgrounds",
    "ukui-wallpapers",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
)
SIDE = 384  # of a crop, more than any recipe here asks for


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, help="photographs in and below this folder")
    parser.add_argument("--crops", type=int, default=7, help="of each photograph")
    args = parser.parse_args()
    make(args.out, args.photos, args.crops)


def make(out: Path, photos: Path | None = None, count: int = 7) -> None:
    """The two folders, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        scratch = Path(name)
        found = (
            photographs(photos) if photos else [*from_skimage(), *from_debian(scratch / "packages")]
        )
        # By digest and not in order, so that a folder sorted by subject is split evenly.
        found.sort(key=lambda path: hashlib.sha256(path.read_bytes()).digest())
        new = scratch / "new"
        for part in ("calibrate", "judge"):
            (new / part).mkdir(parents=True)
        for at, path in enumerate(found):
            part = new / ("judge" if at % 3 == 0 else "calibrate")
            for number, crop in enumerate(crops(path, count, seed=at)):
                crop.save(part / f"{at:03d}-{number}.jpg", quality=92)
        if out.exists():
            shutil.rmtree(out)
        new.rename(out)
    print(f"{count} crops each of {len(found)} photographs in {out}")


def photographs(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    ]


def from_skimage() -> list[Path]:
    spec = importlib.util.find_spec("skimage")
    places = (spec.submodule_search_locations or []) if spec else []
    return [
        path
        for place in places
        for name in SKIMAGE
        if (path := Path(place) / "data" / name).is_file()
    ]


def from_debian(folder: Path) -> list[Path]:
    found = []
    for package in DEBIAN:
        target = folder / package
        target.mkdir(parents=True)
        try:
            subprocess.run(
                ["apt-get", "download", package],
                cwd=target,
                check=True,
                capture_output=True,
                timeout=300,
            )
            (archive,) = target.glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, target], check=True, capture_output=True)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"remark: {package} is left out: {error}")
            continue
        found += [
            path
            for path in photographs(target)
            if path.suffix.lower() != ".png" and not path.is_symlink()
        ]
    return found


def crops(path: Path, count: int, seed: int) -> list[Image.Image]:
    """The largest square, and squares of half to all of the shorter side, some mirrored."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((4 * SIDE, 4 * SIDE), Image.Resampling.BICUBIC)
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        short = min(image.size)
        side = short if number == 0 else round(short * rng.uniform(0.5, 1))
        left, top = (round((length - side) * rng.uniform()) for length in image.size)
        crop = image.resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
        made.append(
            crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.uniform() < 0.5 else crop
        )
    return made


if __name__ == "__main__":
    main()
