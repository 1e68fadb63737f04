"""What to do where a package of an extra is missing."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """pixpool is on no index, so `pip install pixpool[...]` would not find it."""
    return (
        f"pip install './client/python[{extra}]' in a checkout of pixpool, or"
        f" 'pixpool-VERSION.whl[{extra}]' with its wheel"
    )
