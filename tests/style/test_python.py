"""Format and lint of everything in Python, by ruff."""

import subprocess
import sys

import pytest

from project_tree import ROOT, project_files

CHECKS = {"format": ["format", "--check"], "lint": ["check"]}


def ruff(*arguments):
    command = [sys.executable, "-m", "ruff", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("check", CHECKS)
def test_tree(check):
    sources = [path for path in project_files() if path.suffix == ".py"]
    assert sources
    # A cache would be written into the checkout.
    done = ruff(*CHECKS[check], "--no-cache", *sources)
    assert done.returncode == 0, done.stdout + done.stderr


BAD = {
    "format": ("x = {  'a':1 }\n", "would be reformatted"),
    "lint": ("import os\n", "F401"),
}


@pytest.mark.parametrize("check", CHECKS)
def test_breach_is_found(tmp_path, check):
    text, complaint = BAD[check]
    (tmp_path / "bad.py").write_text(text)
    done = ruff(*CHECKS[check], "--no-cache", "--config", ROOT / "pyproject.toml", tmp_path)
    assert done.returncode == 1 and complaint in done.stdout, done.stdout + done.stderr


def test_the_settings_are_those_of_the_project(tmp_path):
    """A line of 101 columns is too long, one of 100 is not."""
    for length, status in ((100, 0), (101, 1)):
        text = 'x = "' + "a " * 60
        (tmp_path / "a.py").write_text(text[: length - 1] + '"\n')
        done = ruff("check", "--no-cache", "--config", ROOT / "pyproject.toml", tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
