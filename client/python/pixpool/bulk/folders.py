"""What is in a folder: the files that a job takes, and, counted by kind, those that it leaves out.

`pixpool extract` (client/cli/folder.cc) takes the same files in the same order.
"""

from __future__ import annotations

import dataclasses
import errno
import fnmatch
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pixpool._files import begins_as_picture, open_file, special_kind
from pixpool._picture_files import JUNK_FOLDERS
from pixpool._picture_suffixes import PICTURE_SUFFIXES

# Kinds of what is left out; what has another suffix is counted by that.
HIDDEN, EXCLUDED, JUNK, LINKS = "hidden", "excluded", "junk folders", "links to folders"
NO_SUFFIX, OWN_RESULTS = "without suffix", "results of pixpool"
_KINDS_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Rules:
    """follow_links: whether links to folders are followed; links to files always are.

    exclude: patterns of what is left out, as the shell has them (* ? [...]): of names, or, with a
    slash in it, of paths from the folder on; with a slash at the end, of folders only.
    """

    follow_links: bool = False
    exclude: tuple[str, ...] = ()

    def excludes(self, path: str, is_folder: bool) -> bool:
        """`path`: from the folder on."""
        return any(_matches(pattern, path, is_folder) for pattern in self.exclude)

    def settings(self) -> dict[str, Any]:
        """What differs from the default."""
        found: dict[str, Any] = {"follow_links": True} if self.follow_links else {}
        return found | ({"exclude": list(self.exclude)} if self.exclude else {})


@dataclasses.dataclass
class LeftOut:
    """What a search left out.

    kinds: by kind, how many. loops: links that lead back to a folder which they are in.
    unreadable: folders and links that nothing could be learnt of, by path, with the reason.
    """

    kinds: Counter[str] = dataclasses.field(default_factory=Counter)
    loops: list[str] = dataclasses.field(default_factory=list)
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people: what there is to say."""
        lines = [f"left out {path}: {why}" for path, why in _first(self.unreadable.items())]
        lines += [f"left out {path}: it leads back to a folder above" for path in self.loops[:20]]
        more = max(0, len(self.unreadable) - 20) + max(0, len(self.loops) - 20)
        if more:
            lines.append(f"left out {more:,} more of these")
        if self.kinds:
            lines.append(f"left out: {self.counts()}")
        return lines

    def counts(self) -> str:
        """ ".txt 12, hidden 2": the most frequent first."""
        ranked = sorted(self.kinds.items(), key=lambda item: (-item[1], item[0]))
        texts = [f"{kind} {count:,}" for kind, count in ranked[:_KINDS_SHOWN]]
        if rest := sum(count for _, count in ranked[_KINDS_SHOWN:]):
            texts.append(f"others {rest:,}")
        return ", ".join(texts)

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "kinds": dict(self.kinds)}

    @staticmethod
    def from_json(values: dict[str, Any]) -> LeftOut:
        return LeftOut(Counter(values["kinds"]), values["loops"], values["unreadable"])


# Whether a file is taken: (path, name). OSError where it cannot be told.
Takes = Callable[[str, str], bool]


@dataclasses.dataclass
class _Level:
    """A folder that is being read. above: device and inode of it and of those that it is in."""

    entries: Iterator[os.DirEntry[str]]
    prefix: str
    above: frozenset[tuple[int, int]]


def walk(
    folder: str, rules: Rules, takes: Takes, left_out: LeftOut, skip: Path | None = None
) -> Iterator[str]:
    """The files in and below a folder, as paths from there on: of each folder by name, in bytes.

    Hidden ones and junk are left out. skip: a folder that is not looked at, nor counted.
    OSError where the folder itself cannot be read.
    """
    top = os.stat(folder)
    levels = [_Level(_entries(folder), "", frozenset({(top.st_dev, top.st_ino)}))]
    while levels:
        level = levels[-1]
        entry = next(level.entries, None)
        if entry is None:
            levels.pop()
            continue
        path = level.prefix + entry.name
        try:
            mode = _mode(entry)
        except OSError as error:
            if (kind := _kind_by_name(entry.name, path, rules)) is None:
                left_out.unreadable[path] = _why(error, entry)
            else:
                left_out.kinds[kind] += 1
            continue
        try:
            if not stat.S_ISDIR(mode):
                if (kind := _file_kind(entry, path, mode, rules, takes)) is None:
                    yield path
            elif skip is not None and Path(os.path.abspath(entry.path)) == skip:
                continue
            elif (kind := _folder_kind(entry, path, rules)) is None:
                status = entry.stat()
                here = (status.st_dev, status.st_ino)
                if here in level.above:
                    left_out.loops.append(path)
                else:
                    levels.append(_Level(_entries(entry.path), path + "/", level.above | {here}))
        except OSError as error:
            left_out.unreadable[path] = _why(error, entry)
        else:
            if kind is not None:
                left_out.kinds[kind] += 1


def takes_picture(path: str, name: str) -> bool:
    """By the suffix; without one the content decides."""
    suffix = suffix_of(name)
    return suffix in PICTURE_SUFFIXES if suffix else has_picture_signature(path)


def has_picture_signature(path: str) -> bool:
    """Whether a file begins as a picture does."""
    with open_file(path) as file:
        return begins_as_picture(file.read(16))


def suffix_of(name: str) -> str:
    """The end of a name from its last dot on, in lower case; "" where there is none."""
    stem, dot, end = name.rpartition(".")
    # A dot in front hides a file, and one at the end says nothing.
    return f".{_lower(end)}" if dot and stem and end else ""


def _lower(text: str) -> str:
    """Of ASCII, as the `pixpool` command has it."""
    return "".join(c.lower() if c.isascii() else c for c in text)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return iter(sorted(found, key=lambda entry: os.fsencode(entry.name)))


def _mode(entry: os.DirEntry[str]) -> int:
    """Of what a link leads to; without asking for what the folder already says."""
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return entry.stat().st_mode


def _folder_kind(entry: os.DirEntry[str], path: str, rules: Rules) -> str | None:
    """Why a folder is left out; None where it is not."""
    if rules.excludes(path, True):
        return EXCLUDED
    if entry.name in JUNK_FOLDERS:
        return JUNK
    if entry.name.startswith("."):
        return HIDDEN
    return LINKS if entry.is_symlink() and not rules.follow_links else None


def _file_kind(
    entry: os.DirEntry[str], path: str, mode: int, rules: Rules, takes: Takes
) -> str | None:
    """Why what is no folder is left out; None where it is not."""
    if rules.excludes(path, False):
        return EXCLUDED
    if entry.name.startswith("."):
        return HIDDEN
    if not stat.S_ISREG(mode):
        return f"{special_kind(mode) or 'device'}s"
    return None if takes(entry.path, entry.name) else suffix_of(entry.name) or NO_SUFFIX


def _kind_by_name(name: str, path: str, rules: Rules) -> str | None:
    """Of what nothing but the name is known; None where it could be a picture or a folder."""
    if rules.excludes(path, False):
        return EXCLUDED
    if name.startswith("."):
        return HIDDEN
    suffix = suffix_of(name)
    return suffix if suffix and suffix not in PICTURE_SUFFIXES else None


def _why(error: OSError, entry: os.DirEntry[str]) -> str:
    if error.errno == errno.ELOOP:
        return "a link that leads to itself"
    if error.errno == errno.ENOENT and entry.is_symlink():
        return "a link that leads nowhere"
    return error.strerror or str(error)


def _matches(pattern: str, path: str, is_folder: bool) -> bool:
    if pattern.endswith("/"):
        if not is_folder:
            return False
        pattern = pattern[:-1]
    wanted = pattern.removeprefix("/").split("/")
    names = path.split("/") if "/" in pattern else [path.rpartition("/")[2]]
    return len(wanted) == len(names) and all(map(_name_matches, wanted, names))


def _name_matches(pattern: str, name: str) -> bool:
    # Bytes, and [^a] for [!a], as the C library has it for the `pixpool` command.
    glob = os.fsencode(pattern).replace(b"[^", b"[!")
    return fnmatch.fnmatchcase(os.fsencode(name), glob)


def _first(items: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return (item for _, item in zip(range(20), items, strict=False))
