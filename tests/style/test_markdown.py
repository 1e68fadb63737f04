"""Markdown: its format, by mdformat and .mdformat.toml, and links that lead somewhere."""

import subprocess
import sys

import pytest

import markdown_links
from project_tree import ROOT


def mdformat_check(*paths):
    command = [sys.executable, "-m", "mdformat", "--check", *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_format():
    files = markdown_links.markdown_files()
    assert len(files) > 10
    done = mdformat_check(*files)
    assert done.returncode == 0, f"run: python -m mdformat FILES\n{done.stderr}"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("A line.\n", True),
        ("A line that ends early\nand goes on.\n", False),
        ("word " * 30 + "\n", False),
        ("| a | b |\n| -- | -- |\n| 1 | 2 |\n", True),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", False),
        ("| a   | b   |\n| --- | --- |\n| 100 | 200 |\n", False),
        ("* an item\n", False),
        ("1. one\n1. two\n", True),
    ],
)
def test_a_badly_formatted_file_is_found(tmp_path, text, right):
    (tmp_path / ".mdformat.toml").write_text((ROOT / ".mdformat.toml").read_text())
    (tmp_path / "a.md").write_text(text)
    done = mdformat_check(tmp_path / "a.md")
    assert (done.returncode == 0) == right, done.stderr


@pytest.mark.parametrize("path", markdown_links.markdown_files(), ids=str)
def test_links_lead_somewhere(path):
    assert not list(markdown_links.problems(path))


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[a](b.md)", None),
        ("[a](sub)", None),
        ("[a](b.md#what-a-b-is)", None),
        ("[a](b.md#twice-1)", None),
        ("[a](#here)", None),
        ("![a](sub/c%20d.png)", None),
        ("[a](https://example.org/none.md#none)", None),
        ("`[a](none.md)`", None),
        ("[a](none.md)", "no such file"),
        ("![a](none.png)", "no such file"),
        ("| a |\n| --- |\n| [a](none.md) |", "no such file"),
        ("[a][b]\n\n[b]: none.md", "no such file"),
        ("[a](b.md#none)", "no such heading"),
        ("[a](b.md#twice-2)", "no such heading"),
        ("[a](#none)", "no such heading"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path, link, complaint):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c d.png").touch()
    (tmp_path / "b.md").write_text("# What a `b` is?\n\n## Twice\n\n## Twice\n\n```\n# none\n```\n")
    (tmp_path / "a.md").write_text(f"# Here\n\n{link}\n")
    found = list(markdown_links.problems("a.md", tmp_path))
    assert len(found) == (complaint is not None), found
    if complaint:
        assert complaint in found[0]
