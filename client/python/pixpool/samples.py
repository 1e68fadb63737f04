"""The sample photographs: `python -m pixpool.samples DIR` writes cat, coffee, rocket, astronaut.

They come from the data folder of scikit-image's wheel, which is only read: the package itself,
with all it needs, is not imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

# Name to give, file in scikit-image.
SAMPLES = {
    "cat.png": "chelsea.png",
    "coffee.png": "coffee.png",
    "rocket.jpg": "rocket.jpg",
    "astronaut.png": "astronaut.png",
}


def sample_files() -> dict[str, Path]:
    """The photographs by name, where they lie. FileNotFoundError says what to install."""
    spec = importlib.util.find_spec("skimage")
    places = (spec.submodule_search_locations or []) if spec else []
    for place in places:
        files = {name: Path(place) / "data" / file for name, file in SAMPLES.items()}
        if all(path.is_file() for path in files.values()):
            return files
    raise FileNotFoundError(
        "the sample photographs come from the package scikit-image, which is not installed;"
        " `pip install --no-deps scikit-image` will do"
    )


def copy_samples(folder: Path) -> list[Path]:
    """Copies the photographs to `folder`, leaving files that are there; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for name, source in sample_files().items():
        target = folder / name
        if not target.is_file() or target.stat().st_size != source.stat().st_size:
            shutil.copyfile(source, target)
        copied.append(target)
    return copied


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pixpool.samples", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write the photographs")
    args = parser.parse_args(arguments)
    try:
        for path in copy_samples(args.folder):
            print(path)
    except OSError as error:
        print(f"pixpool.samples: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
