"""Writes the table of docs/models.md: what becomes of one small member of each family of timm.

    scripts/py scripts/make_models.py [FAMILY ...]

Exports each with random weights, or those of the named families alone (the other rows stay), and
writes what the bundle holds, or why there is none. `./test zoo` does the same and compares.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from torchvision_operators import declare_torchvision_operators  # noqa: E402
from zoo_members import MEMBERS, PAGE, page_with, rows_of, tried  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="default: all")
    wanted = parser.parse_args().families or sorted(MEMBERS)
    if unknown := sorted(set(wanted) - set(MEMBERS)):
        parser.error(f"no family is called {', '.join(unknown)}; see tests/support/zoo_members.py")
    declare_torchvision_operators()
    import torch

    from pixpool.export.__main__ import main as export_main

    def export(arguments: list[str]) -> tuple[int, str]:
        torch.manual_seed(0)
        error = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
            return export_main(arguments), error.getvalue()

    for family in wanted:
        with tempfile.TemporaryDirectory() as out:
            row = tried(family, export, Path(out))
        print(row.line(), flush=True)
        # At once, so that what was tried is kept if the rest is interrupted.
        page = PAGE.read_text(encoding="utf-8")
        rows = {f: r for f, r in rows_of(page).items() if f in MEMBERS} | {family: row}
        PAGE.write_text(page_with(page, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
