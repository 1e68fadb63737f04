"""The memory of a server under test, and a cgroup that bounds it."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1 << 20


def status_bytes(pid: int, field: str) -> int:
    """A field of /proc/PID/status: VmRSS is what is resident, VmHWM the most that ever was."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise KeyError(field)


class MemoryCgroup:
    """A cgroup (v1) below this process's own, with a limit; removed at the end.

    `make` gives None where none can be made: no right to, or cgroup v2, which allows no process
    beside child groups.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, limit: int) -> MemoryCgroup | None:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers != "memory":
                continue
            own = Path("/sys/fs/cgroup/memory") / path.lstrip("/")
            folder = own / f"pixpool-test-{os.getpid()}-{limit}"
            try:
                folder.mkdir()
            except OSError:
                return None
            group = cls(folder)
            try:
                (folder / "memory.limit_in_bytes").write_text(str(limit))
            except OSError:
                group.remove()
                return None
            return group
        return None

    def prefix(self) -> tuple[str, ...]:
        """The beginning of a command line that runs the rest of it in this group."""
        enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        return ("/bin/sh", "-c", enter, str(self.folder))

    def most(self) -> int:
        return int((self.folder / "memory.max_usage_in_bytes").read_text())

    def remove(self) -> None:
        """No process may be in it any more."""
        self.folder.rmdir()
