"""The rules on words and bytes hold, and break when they should."""

import pathlib

import pytest

import hygiene


def test_tree():
    problems = hygiene.check_tree()
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("server/a.cc", "// TO" + "DO: more\n", "marks unfinished work"),
        ("README.md", "Good enough for n" + "ow.\n", "marks unfinished work"),
        ("docs/a.md", "Look in /ho" + "me/someone/x.\n", "path of one machine"),
        ("run", "cd /ro" + "ot/x\n", "path of one machine"),
        ("server/a.cc", "// caf\u00e9\n", "sources are ASCII"),
        ("server/a.cc", "// Used throughout:   - Sizes\n", "run together"),
        ("server/a.cc", "int a; \n", "white space at the end"),
        ("server/a.cc", "int a;", "no newline at the end"),
        ("server/a.h", "int a;\n", "no #pragma once"),
        ("server/a.cc", "int a;\n" * 401, "401 lines"),
        ("server/a.cc", "<" * 7 + " HEAD\n", "remains of a merge"),
        ("server/a.cc", "=" * 7 + "\n", "remains of a merge"),
        ("docs/a.md", ">" * 7 + " 0efc426 (Health checks)\n", "remains of a merge"),
        ("docs/a.md", "|" * 7 + " base\n", "remains of a merge"),
        ("docs/a.md", "\\<" + "\\<<" * 3 + " HEAD\n", "remains of a merge"),
        ("docs/a.md", "> " * 6 + "> 0efc426 (Health checks)\n", "remains of a merge"),
        ("docs/a.md", "\\=" + "=" * 6 + "\n", "remains of a merge"),
        ("tests/unit/base/a_test.cc", "std::this_thread::sleep_for(x);\n", "do not sleep"),
    ],
)
def test_breach_is_found(path, text, complaint):
    problems = list(hygiene.check_text(pathlib.PurePosixPath(path), text))
    assert len(problems) == 1
    assert complaint in problems[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/a.md", "caf\u00e9, for nowhere, https://example.org/home/page\n"),
        ("run", 'cd "$HOME/x" && ls build/root/x\n'),
        ("tests/unit/base/big_test.cc", "int a;\n" * 401),
        ("server/a.h", "// A.\n//   queue:  b\n#pragma once\n"),
        ("docs/a.md", "Title\n=====\n\n> > A quote.\n\n`<<< EOF`\n"),
    ],
)
def test_clean_text_passes(path, text):
    assert list(hygiene.check_text(pathlib.PurePosixPath(path), text)) == []
