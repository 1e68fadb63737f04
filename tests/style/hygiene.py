"""Rules on the text of the files: what a word or a byte can show."""

import re
import sys

from project_tree import ROOT, project_files

SOURCES = {".cc", ".h", ".proto", ".cmake", ".py", ".sh"}
MAX_LINES = 400
GENERATED = "do not edit"  # in the head of files that a program writes, whose length is its input's

# Marks of unfinished work, put together here so that this file does not find itself. By +, since
# the formatter joins adjacent literals.
MARKS = re.compile(
    r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "for n" + "ow")) + r")\b"
)
# Folders of one machine or one person.
HOMES = re.compile(r"(?<![\w.$}/-])/(root|home/\w|Users/\w)")
# What a formatter makes of a list in a comment that it takes for a paragraph.
RUN_TOGETHER = re.compile(r"^\s*// \S.*[.:;] {2,}\S")
SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|absl::SleepFor)\b|\btime\.sleep\(")

# What a merge leaves where it was not finished, as it is and as mdformat escapes it: each side's
# mark begins a line, and the one between them is alone on its line. "=" alone may underline a
# title, but not seven of them.
MERGE_REMAINS = re.compile(
    r"^\s*(\\?<(\\?<){6}|\\?>( ?\\?>){6}|\\?\|(\\?\|){6})(\s|$)|^\s*\\?={7}\s*$"
)


def check_text(path, text):
    """Yields "path:line: what is wrong" for the text of one file."""
    is_test = path.parts[0] == "tests"
    for number, line in enumerate(text.splitlines(), 1):
        if MERGE_REMAINS.search(line):
            yield f"{path}:{number}: remains of a merge"
        if found := MARKS.search(line):
            yield f"{path}:{number}: '{found[0]}' marks unfinished work: finish it or open an issue"
        if found := HOMES.search(line):
            yield f"{path}:{number}: {found[0]} is a path of one machine"
        if path.suffix in SOURCES and not line.isascii():
            yield f"{path}:{number}: sources are ASCII"
        if line != line.rstrip() and path.suffix != ".md":
            yield f"{path}:{number}: white space at the end of the line"
        if path.suffix in {".cc", ".h", ".proto"} and RUN_TOGETHER.search(line):
            yield f"{path}:{number}: a comment whose lines were run together"
        if path.parts[:2] == ("tests", "unit") and SLEEP.search(line):
            yield (
                f"{path}:{number}: unit tests do not sleep; "
                "time is a parameter (server/base/clock.h)"
            )
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end"
    if path.suffix == ".h" and "\n#pragma once\n" not in "\n" + text:
        yield f"{path}: no #pragma once"
    count = text.count("\n")
    is_written = not is_test and GENERATED not in text[:1000]
    if path.suffix in SOURCES - {".proto"} and is_written and count > MAX_LINES:
        yield (
            f"{path}: {count} lines; would two files with two names be clearer? "
            f"({MAX_LINES} are the limit)"
        )


def check_tree(root=ROOT):
    problems = []
    for path in project_files(root):
        data = (root / path).read_bytes()
        if b"\0" not in data and path.name != "LICENSE":
            try:
                problems += check_text(path, data.decode())
            except UnicodeDecodeError:
                problems.append(f"{path}: neither text in UTF-8 nor binary")
    return problems


if __name__ == "__main__":
    found_problems = check_tree()
    print(*found_problems, sep="\n")
    sys.exit(bool(found_problems))
