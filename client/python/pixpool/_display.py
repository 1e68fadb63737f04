"""Short forms of large things, for consoles and notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray


def clipped(text: str, length: int = 80) -> str:
    """The text, or its beginning and "..." if it is longer."""
    return text if len(text) <= length else text[: length - 3] + "..."


def first_values(array: NDArray[Any], count: int = 4) -> str:
    """ "0.1, 2.5, 0, 1, ...": the first values of an array of any shape, which is not copied."""
    shown = [f"{float(value):.4g}" for value in array.flat[:count]]
    return ", ".join(shown + ["..."] * (array.size > count))


def shape_and_type(array: NDArray[Any]) -> str:
    """ "float32 [1280]"."""
    return f"{array.dtype} {list(array.shape)}"


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose texts are escaped and cut to a length that a cell holds."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    title = f"<p>{html.escape(caption)}</p>" if caption else ""
    lines = [f"{title}<table><thead><tr>{head}</tr></thead><tbody>"]
    for row in rows:
        cells = "".join(f"<td>{html.escape(clipped(str(cell)))}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</tbody></table>"])
