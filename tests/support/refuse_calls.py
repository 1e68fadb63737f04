"""Runs a command that the kernel refuses some system calls, as a container's profile does.

refuse_calls.py memfd_create prctl_seccomp -- COMMAND ...
"""

import ctypes
import os
import platform
import struct
import sys

NUMBERS = {
    "x86_64": {"memfd_create": 319, "prctl": 157, "seccomp": 317},
    "aarch64": {"memfd_create": 279, "prctl": 167, "seccomp": 277},
}[platform.machine()]
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, EPERM = 0x7FFF0000, 0x00050001
NUMBER, FIRST_ARGUMENT = 0, 16


def step(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, k)


def refuse(call: str) -> bytes:
    """Returns EPERM for a call; of prctl_seccomp for prctl(PR_SET_SECCOMP)."""
    if call == "prctl_seccomp":
        return b"".join(
            [
                step(LOAD, NUMBER),
                step(EQUAL, NUMBERS["prctl"], 0, 3),
                step(LOAD, FIRST_ARGUMENT),
                step(EQUAL, PR_SET_SECCOMP, 0, 1),
                step(RETURN, EPERM),
            ]
        )
    return step(LOAD, NUMBER) + step(EQUAL, NUMBERS[call], 0, 1) + step(RETURN, EPERM)


def main() -> None:
    end = sys.argv.index("--")
    code = b"".join(refuse(call) for call in sys.argv[1:end]) + step(RETURN, ALLOW)
    steps = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(program), 0, 0),
    ):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    os.execv(sys.argv[end + 1], sys.argv[end + 1 :])


if __name__ == "__main__":
    main()
