"""A server of its own for the figures and the measurements of docs/heads.md, and what both need.

The scripts run from anywhere, with the project's build and default bundle (`./run --once` makes
both) and the Python environment of `./test` with client/python on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from api import Api, Client, as_array  # noqa: E402, F401
from server_process import ServerProcess  # noqa: E402


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build" / "release", help="folder that holds bin/"
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="model repository")


@contextlib.contextmanager
def server(args: argparse.Namespace, *flags: str) -> Iterator[tuple[Client, str]]:
    """A client of a server with these flags on free loopback ports, and its address; it ends with
    the block."""
    with tempfile.TemporaryDirectory() as folder:
        stubs = Path(folder, "stubs")
        stubs.mkdir()
        api = Api(ROOT / "proto", stubs)
        binary = args.build / "bin" / "pixpool-server"
        process = ServerProcess(binary, args.models, Path(folder, "log"), flags)
        try:
            process.wait_ready()
            yield api.client(process.target), process.target
        finally:
            process.stop()


@functools.cache
def samples() -> dict[str, Image.Image]:
    """The four sample photographs (scikit-image's) by name, in RGB."""
    from pixpool.samples import sample_files

    return {Path(n).stem: Image.open(path).convert("RGB") for n, path in sample_files().items()}


def as_input(picture: Image.Image | np.ndarray, client: Client, heads: tuple[str, ...]):
    """Results of heads on a picture that is the network's input as it is: no resize, no crop."""
    options = client.pb.InputOptions(
        resize=client.pb.RESIZE_MODE_NONE, crop=client.pb.CROP_MODE_NONE
    )
    return client.features(np.asarray(picture), *heads, input_options=options)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.float64(a).ravel(), np.float64(b).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
