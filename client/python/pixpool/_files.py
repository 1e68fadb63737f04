"""Files of pictures, opened so that nothing can hang: a FIFO, a socket or a device is none."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from pixpool._picture_files import PICTURE_SIGNATURES

_SPECIAL = {
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
# A FIFO may take the file's place between a look and the opening, which then must not wait.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class NotAFileError(OSError):
    """What the path names is a FIFO, a socket or a device."""


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, to be read. OSError; NotAFileError and IsADirectoryError for what is none."""
    _check(os.stat(path).st_mode, path)  # opening a device may already do something
    handle = os.open(path, _FLAGS)
    try:
        _check(os.fstat(handle).st_mode, path)
    except OSError:
        os.close(handle)
        raise
    return open(handle, "rb")


def special_kind(mode: int) -> str | None:
    """ "FIFO", "socket" or "device"; None for a file or a folder."""
    return _SPECIAL.get(stat.S_IFMT(mode))


def begins_as_picture(first: bytes) -> bool:
    """Whether a file that begins like this is a picture by its signature; 16 bytes are enough."""
    return any(_begins(first, signature) for signature in PICTURE_SIGNATURES)


def _begins(first: bytes, signature: bytes) -> bool:
    pairs = zip(signature, first, strict=False)
    return len(first) >= len(signature) and all(w in (ord("?"), b) for w, b in pairs)


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if (kind := special_kind(mode)) is not None:
        raise NotAFileError(errno.EINVAL, f"it is a {kind}, not a file", os.fspath(path))
