"""Bulk jobs that are killed: by the kernel at moments that differ, or at one exact place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def slowly(act):
    """What a scripted server does, a little later, so that a job lasts for several kills."""

    def wrapped(name, attempt):
        time.sleep(0.01)
        return act(name, attempt)

    return wrapped


def run_killing(arguments: Sequence[object], output: Path) -> tuple[int, int]:
    """Runs a job in a process that gets SIGKILL again and again, until a run gets through.

    Gives the number of kills, and the exit code.
    """
    stubs = Path(sys.modules["pixpool.v1.feature_service_pb2"].__file__).parents[1]
    # The generated code lies elsewhere than the package, as conftest.py has it.
    program = (
        f"import pixpool, sys; pixpool.__path__.insert(0, {str(stubs)!r});"
        "from pixpool.bulk.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *map(str, arguments), "--output", str(output)]
    command += ["--part-size", "5", "--concurrency", "2"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "client" / "python")}
    work = work_of(output)
    kills = 0
    while True:
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        before = count_parts(work)
        end = time.monotonic() + 60
        # A few parts later, and not always at the same place within one.
        while process.poll() is None and (
            kills >= 40 or count_parts(work) < before + 9 + kills % 3
        ):
            assert time.monotonic() < end
            time.sleep(0.0005 * (1 + kills % 5))
        if process.poll() is not None:
            print(process.stderr.read())
            process.stderr.close()
            return kills, process.returncode
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        kills += 1
        assert not output.exists() or (work / "job.json").exists()


def work_of(output: Path) -> Path:
    return output.with_name(output.name + ".work")


def count_parts(work: Path) -> int:
    try:
        return sum(name.endswith(".npz") for name in os.listdir(work))
    except FileNotFoundError:  # not there yet, or removed
        return 0


class Killed(BaseException):
    """Stands for a SIGKILL at one exact place."""


def killing(function, at):
    """The function, until its call number `at`."""
    calls = 0

    def wrapped(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed
        return function(*arguments, **options)

    return wrapped
