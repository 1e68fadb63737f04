"""--help of the built server, the options that its sources declare, and the limits in the docs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import server_options

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@pytest.fixture(scope="module", name="groups")
def groups_of_help(bin_dir: Path) -> dict[str, dict[str, str]]:
    """--help as {heading: {flag: text}}."""
    text = subprocess.run(
        [bin_dir / "pixpool-server", "--help"], capture_output=True, text=True, check=True, env={}
    ).stdout
    groups: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"(\S.*):", line):
            entries = groups.setdefault(heading[1], {})
        elif option := re.fullmatch(r"  (--\S+)(?: [A-Z]+)?(?:  +(.*))?", line):
            flag = option[1].replace("[no-]", "")
            entries[flag] = option[2] or ""
        elif line.startswith(" " * 32):
            entries[flag] += " " + line.strip()
    return groups


def default_of(text: str) -> str:
    (value,) = re.findall(r"Default: (.*)\.$", text)
    return value


def documented_limits() -> dict[str, int]:
    """The table of docs/configuration.md: {flag: default}."""
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| ([0-9,]+)( [KMG]iB)? +\| `(--\S+)` +\|$", text, re.M)
    return {
        flag: int(number.replace(",", "")) * UNITS.get(unit.strip(), 1)
        for number, unit, flag in rows
    }


def test_every_declared_option_is_in_help_and_no_other(groups):
    """A struct of options that Config does not hold would be missing here."""
    actions = groups.pop("This command", {})
    assert "--print-config" in actions
    shown = [flag for entries in groups.values() for flag in entries]
    assert sorted(shown) == sorted(server_options.declared_flags())


def test_the_defaults_in_the_docs_are_those_of_help(groups):
    limits = documented_limits()
    texts = {flag: text for entries in groups.values() for flag, text in entries.items()}
    assert {flag: int(default_of(texts[flag])) for flag in limits} == limits


def test_every_limit_on_a_request_is_in_the_docs(groups):
    limits = {flag for flag in groups["Limits on a request"] if not flag.endswith("-ms")}
    assert limits
    assert limits <= documented_limits().keys()


def test_print_heads_prints_the_table_that_docs_and_clients_are_made_from(bin_dir: Path):
    command = [bin_dir / "pixpool-server", "--print-heads"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    assert done.stdout == (ROOT / "docs" / "heads.json").read_text()
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stdout=full, check=False, env={}).returncode == 1
