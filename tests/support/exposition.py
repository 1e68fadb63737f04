"""The server's metrics as a test reads them, whatever labels they have besides those it knows."""

from __future__ import annotations

import re
from typing import Any

LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def samples(server: Any) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of every series."""
    return [
        (name, dict(LABEL.findall(labels)), float(value))
        for name, labels, value in LINE.findall(server.get("/metrics")[1])
    ]


def total(server: Any, name: str, **labels: str) -> float:
    """The sum of the series of a name that have these labels, of which there must be some."""
    found = [
        value
        for series, own, value in samples(server)
        if series == name and labels.items() <= own.items()
    ]
    assert found, (name, labels)
    return sum(found)
