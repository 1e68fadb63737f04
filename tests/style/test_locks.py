"""The locks hold the pins of requirements/, with hashes, and a lock that does not is found."""

import importlib.util
import re

import pytest

from project_tree import ROOT

_spec = importlib.util.spec_from_file_location("lock", ROOT / "scripts" / "lock.py")
lock = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lock)

HASH = "--hash=sha256:" + "0" * 64


def test_locks_agree_with_the_pins():
    assert not list(lock.problems(ROOT / "requirements"))


def test_every_requirement_is_pinned():
    """One exact version a line, in every file."""
    for path in (ROOT / "requirements").glob("*.txt"):
        if path.name.startswith(("apt", "lock-")):
            continue
        lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
        loose = [
            line
            for line in lines
            if line and not lock.PIN.fullmatch(re.sub(r"\[[a-z-]+\]", "", line))
        ]
        assert not loose, f"{path.name}: {loose}"


@pytest.fixture(name="write")
def small_folder(tmp_path):
    """Writes a folder of requirements in which only the lock of CPUs is what is given; returns its
    problems.
    """
    (tmp_path / "runtime.txt").write_text("torch==2.0  # a comment\nfoo_bar==1.5\n")
    (tmp_path / "nodeps.txt").write_text("plain==3\n")
    head = "# Platform: Python 3.11, x86_64, Linux\n"
    cuda = f"torch==2.0 \\\n    {HASH}\nfoo-bar==1.5 {HASH}\nplain==3 {HASH}\n"
    (tmp_path / "lock-cuda.txt").write_text(head + cuda)

    def write(*lines, head=head):
        (tmp_path / "lock-cpu.txt").write_text(head + "".join(line + "\n" for line in lines))
        return list(lock.problems(tmp_path))

    return write


GOOD = [f"torch==2.0+cpu {HASH}", f"foo-bar==1.5 {HASH}", f"other==7 {HASH}", f"plain==3 {HASH}"]


def test_a_right_lock_passes(write):
    assert write(*GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (GOOD[0], f"torch==2.0 {HASH}", "torch is 2.0, not 2.0+cpu"),
        (GOOD[1], f"foo-bar==1.4 {HASH}", "foo-bar is 1.4, not 1.5"),
        (GOOD[3], "", "plain is none, not 3"),
        (GOOD[2], "other==7", "other has no SHA-256"),
        (GOOD[2], "other==7 --hash=sha256:123", "other has no SHA-256"),
    ],
)
def test_a_wrong_lock_is_found(write, old, new, complaint):
    problems = write(*[new if line == old else line for line in GOOD])
    assert len(problems) == 1 and complaint in problems[0]


def test_a_lock_without_a_platform_is_found(write):
    assert "names no platform" in write(*GOOD, head="")[0]
