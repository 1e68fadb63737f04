"""Formatting of C++ sources and of shell scripts, by the tools."""

import re
import shutil
import subprocess

import pytest

from project_tree import ROOT, project_files


def run(command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def is_shell_program(path):
    with open(path, "rb") as file:
        return re.fullmatch(rb"#!.*\b(ba)?sh\n", file.readline(100)) is not None


def test_clang_format():
    sources = [str(path) for path in project_files() if path.suffix in (".cc", ".h")]
    assert sources
    done = run([tool("clang-format"), "--dry-run", "--Werror", "--style=file", *sources])
    wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if ": error:" in line})
    assert not wrong, "run: clang-format -i " + " ".join(wrong)
    assert done.returncode == 0, done.stderr


def test_clang_format_finds_a_badly_formatted_file(tmp_path):
    (tmp_path / ".clang-format").write_text((ROOT / ".clang-format").read_text())
    (tmp_path / "a.cc").write_text("int  a ;\n")
    assert run(
        [tool("clang-format"), "--dry-run", "--Werror", "--style=file", str(tmp_path / "a.cc")]
    ).returncode


# Files that others source share variables, which looks like use without assignment, and the other
# way round.
@pytest.mark.parametrize("options", [["-x"], ["-e", "SC2034,SC2154"]], ids=["programs", "parts"])
def test_shellcheck(options):
    files = project_files()
    parts = [str(path) for path in files if path.suffix == ".sh"]
    programs = [str(path) for path in files if is_shell_program(ROOT / path)]
    assert parts and programs
    done = run([tool("shellcheck"), *options, *(programs if options == ["-x"] else parts)])
    assert done.returncode == 0, done.stdout
