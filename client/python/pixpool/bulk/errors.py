"""The one error of this package, and the exit codes of its command."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from pathlib import Path

import grpc


class ExitCode(enum.IntEnum):
    """Those of the `pixpool` command: the same mistake has the same code in both."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    REFUSED = 4
    DEADLINE = 5
    INTERNAL = 6
    INTERRUPTED = 130


# Word for word what `pixpool --help` says of those that both commands have.
EXIT_CODE_HELP = """\
Exit codes:
  0  all went well
  1  some images failed, or a folder could not be read; the others have their results
  2  bad command line, a path that does not exist, or no images there
  3  server not reached, not ready or overloaded
  4  the server refused the request: invalid, not found, not allowed
  5  out of time (--timeout)
  6  output could not be written, or an internal error of server or client
"""

_CODES = {
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNAVAILABLE,
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.REFUSED,
    grpc.StatusCode.NOT_FOUND: ExitCode.REFUSED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExitCode.REFUSED,
    grpc.StatusCode.UNIMPLEMENTED: ExitCode.REFUSED,
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.REFUSED,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.DEADLINE,
}


def exit_code_for(code: grpc.StatusCode) -> ExitCode:
    """For a call that failed with `code` and ended the job."""
    return _CODES.get(code, ExitCode.INTERNAL)


class BulkError(Exception):
    """The job cannot go on, with what to do about it. What is done so far is kept.

    exit_code: with which the command ends for it.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message, exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes an OSError a BulkError that names the output: the system's own names no file."""
    try:
        yield
    except OSError as error:
        raise BulkError(
            f"cannot write {path}: {error.strerror or error}. What is done is kept; once that is"
            " mended, the same command goes on",
            ExitCode.INTERNAL,
        ) from error
