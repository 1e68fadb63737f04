"""Workflows, issue forms and hooks call what exists, and a check says so where they do not."""

import pathlib

import pytest

import repository_files
from project_tree import ROOT, project_files

WORKFLOW = """\
name: test
on:
  push:
    paths: [scripts/**]
permissions:
  contents: read
jobs:
  test:
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    steps:
      - uses: actions/checkout@v4
      - run: ./test style tidy
      - run: |
          scripts/go --from "scripts/when.txt"  # says when
"""
FORM = """\
name: Bug
description: Something fails.
body:
  - type: markdown
    attributes:
      value: Read this.
  - type: input
    id: version
    attributes:
      label: Version
"""
HOOKS = """\
repos:
  - repo: local
    hooks:
      - id: style
        language: system
        entry: scripts/go
"""
PAGE = """\
# Hacking

Run `./test style && scripts/go`, or `else`:

```sh
scripts/go  # goes
```
"""
FILES = {
    "HACKING.md": PAGE,
    ".github/workflows/test.yml": WORKFLOW,
    ".github/ISSUE_TEMPLATE/bug.yml": FORM,
    ".pre-commit-config.yaml": HOOKS,
}


@pytest.fixture(name="check")
def small_tree(tmp_path):
    """Checks a file in a tree that has ./test, scripts/go and a file that cannot be run."""
    (tmp_path / "scripts").mkdir()
    for name, mode in (
        ("test", 0o755),
        ("scripts/go", 0o755),
        ("scripts/ready", 0o644),
        ("scripts/when.txt", 0o644),
    ):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)

    def check(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return list(repository_files.check_file(tmp_path, pathlib.PurePosixPath(name)))

    return check


def test_tree():
    problems = repository_files.check_tree()
    assert not problems, "\n" + "\n".join(problems)


def test_the_tree_has_what_is_checked():
    names = {str(path) for path in project_files(ROOT)}
    assert set(FILES) <= names
    assert {".github/workflows/image.yml", ".github/PULL_REQUEST_TEMPLATE.md"} <= names


@pytest.mark.parametrize("name", FILES)
def test_a_right_file_passes(check, name):
    assert check(name, FILES[name]) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("HACKING.md", "./test style", "./test stile", "no suite is called stile"),
        ("HACKING.md", "scripts/go ", "scripts/gone ", "gone does not exist"),
        ("HACKING.md", "scripts/go`", "scripts/gone`", "gone does not exist"),
        (".github/workflows/test.yml", "jobs:", "jobs: {", "expected"),
        (".github/workflows/test.yml", "scripts/**", "script/**", "no file is like script/**"),
        (".github/workflows/test.yml", "contents: read", "contents: write", "may only read"),
        (".github/workflows/test.yml", "    timeout-minutes: 10\n", "", "may run for hours"),
        (".github/workflows/test.yml", "ubuntu-24.04", "ubuntu-latest", "the latest system"),
        (".github/workflows/test.yml", "checkout@v4", "checkout@main", "has no version"),
        (".github/workflows/test.yml", "checkout@v4", "checkout", "has no version"),
        (".github/workflows/test.yml", "style tidy", "style tidi", "no suite is called tidi"),
        (".github/workflows/test.yml", "scripts/go ", "scripts/gone ", "gone does not exist"),
        (".github/workflows/test.yml", "scripts/go ", "scripts/ready ", "ready cannot be run"),
        (".github/workflows/test.yml", "- uses: actions", "- user: actions", "either uses"),
        (".github/ISSUE_TEMPLATE/bug.yml", "name: Bug\n", "", "it has no name"),
        (".github/ISSUE_TEMPLATE/bug.yml", "type: input", "type: line", "line is no part"),
        (".github/ISSUE_TEMPLATE/bug.yml", "    id: version\n", "", "the id is missing"),
        (".github/ISSUE_TEMPLATE/bug.yml", "label: Version", "label:", "has no label"),
        (".github/ISSUE_TEMPLATE/bug.yml", "value: Read this.", "value:", "a text is empty"),
        (".pre-commit-config.yaml", "repo: local", "repo: https://example.org/x", "is downloaded"),
        (".pre-commit-config.yaml", "language: system", "language: python", "an environment"),
        (".pre-commit-config.yaml", "scripts/go", "scripts/gone", "gone does not exist"),
    ],
)
def test_breach_is_found(check, name, old, new, complaint):
    assert FILES[name].count(old) == 1
    problems = check(name, FILES[name].replace(old, new))
    assert complaint in "\n".join(problems)
