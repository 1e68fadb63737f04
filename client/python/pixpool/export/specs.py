"""What `--pca` and `--filter` ask for, without PyTorch."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from pixpool.export.errors import ExportError

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
MAX_WINDOW = 1024  # sides and steps of a filter


@dataclasses.dataclass(frozen=True)
class PcaSpec:
    """A PCA-whitening to fit on the pictures of a folder."""

    name: str
    folder: Path
    head: str = "global_avg"  # in the grammar of all heads, see HeadSpec.parse
    layer: str | None = None  # None: the default layer
    dimensions: int | None = None  # None: all that can be fitted

    @staticmethod
    def parse(text: str) -> PcaSpec:
        """`NAME=FOLDER[,head=HEAD][,layer=LAYER][,dimensions=N]`; HEAD goes on to the next of these
        three options, so that its own commas belong to it."""
        usage = "NAME=FOLDER[,head=HEAD][,layer=LAYER][,dimensions=N]"
        name, folder, options = _split("--pca", text, usage, ("head", "layer", "dimensions"))
        dimensions = options.get("dimensions")
        if dimensions is not None and not (dimensions.isdecimal() and int(dimensions) > 0):
            raise ExportError(f"--pca {name}: dimensions is '{dimensions}'; it must be 1 or more")
        return PcaSpec(
            name,
            Path(folder),
            options.get("head", "global_avg"),
            options.get("layer"),
            None if dimensions is None else int(dimensions),
        )


@dataclasses.dataclass(frozen=True)
class FilterSpec:
    """A trained convolution to store."""

    name: str
    file: Path
    layer: str | None = None  # None: the default layer
    stride: tuple[int, int] | None = None  # None: the window's size, as of pooling

    @staticmethod
    def parse(text: str) -> FilterSpec:
        """`NAME=FILE[,layer=LAYER][,stride=N|HxW]`."""
        usage = "NAME=FILE[,layer=LAYER][,stride=N|HxW]"
        name, file, options = _split("--filter", text, usage, ("layer", "stride"))
        stride = None
        if "stride" in options:
            match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", options["stride"], re.ASCII)
            stride = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if not (1 <= min(stride) and max(stride) <= MAX_WINDOW):
                raise ExportError(
                    f"--filter {name}: stride is '{options['stride']}'; write 2 or 2x2 (height"
                    f" first), each 1 to {MAX_WINDOW}"
                )
        return FilterSpec(name, Path(file), options.get("layer"), stride)


def _split(
    flag: str, text: str, usage: str, keys: tuple[str, ...]
) -> tuple[str, str, dict[str, str]]:
    """Name, path and options. A comma that no known option follows belongs to what is before."""
    name, _, rest = text.partition("=")
    path, *pairs = re.split(rf",(?=(?:{'|'.join(keys)})=)", rest)
    if not path:
        raise ExportError(f"{flag} '{text}' is not understood; write {usage}")
    if not _PLAIN_NAME.fullmatch(name):
        raise ExportError(
            f"{flag}: name '{name}' is not allowed; use letters, digits, '.', '_' and '-', at most"
            " 128, and begin with a letter, digit or '_'"
        )
    options: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key in options or not value:
            raise ExportError(f"{flag} {name}: give {key} once and with a value; write {usage}")
        options[key] = value
    return name, path, options
