"""What the server does with more than it can do: goals and figures, measured with `pixpool bench`.

One 600x400 JPEG, default options of the server, 16 connections. In each round:

- the peak: the closed loop, 8 and 32 callers;
- the open loop at 0.8, 1.5, 2 and 10 times the peak, with deadlines of 0.25, 1 and 5 s;
- a server that refuses everything at 10 times the peak, which tells what the cores have left;
- all cores, then one, then all, at twice the peak;
- bulk beside interactive calls, and one caller with 1,000 calls beside one with one;
- calls that are given up, and what work they cost after that;
- the peak once more, which tells whether anything else ran on the machine.

Warm-ups do not count. Ratios are to the peak as it was just before and after, since a machine's own
rate moves. --quick is one short round and shows whether something is broken; with few calls its p99
is hardly more than the slowest call. Server and load share the machine. bench/overload sets up what
this needs, --server compares builds, and --docs writes the plot and the table of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import models
import overload_goals
import overload_mixed
import overload_runs
import plot
import report
from contestants import ROOT

MARKS = ("<!-- measured: bench/overload --docs -->\n", "<!-- end of overload -->\n")
DRIFT = 0.1  # of the peak that is put up with
SERVER = ROOT / "build/release/bin/pixpool-server"


def one_round(lab: overload_runs.Lab) -> dict[str, Any]:
    with lab.server() as server:
        most = overload_runs.peak(lab, server)
        rate = most["rate"]
        out: dict[str, Any] = {
            "peak": most,
            "offered": overload_runs.offered(lab, server, most),
            "classes": overload_mixed.classes(lab, server, rate),
            "fairness": overload_mixed.fairness(lab, server),
            "waste": overload_mixed.waste(lab, server, rate),
            "cores": overload_mixed.cores(lab, server, most),
        }
        out["peak_after"] = overload_runs.peak(lab, server)
    out["refusing"] = overload_runs.refusing(lab, rate)
    out["left"] = overload_goals.left(out, len(lab.cores))
    share = 100 * out["left"] / rate
    print(f"  the cores have {share:.0f} % of the peak left beside ten times the peak")
    return out


def drift(results: dict[str, Any]) -> str:
    """Whether the machine was the same from beginning to end of a round."""
    moved = [one["peak_after"]["rate"] / one["peak"]["rate"] for one in results["rounds"]]
    text = "peak at the end of a round, of that at its beginning: "
    text += ", ".join(f"{100 * share:.0f} %" for share in moved)
    if any(abs(share - 1) > DRIFT for share in moved):
        text += "; something else runs on this machine, so the figures say little"
    return text


def write_docs(results: dict[str, Any]) -> None:
    plot.overload(results, ROOT / "docs" / "figures" / "scaling-overload.svg")
    page = ROOT / "docs" / "scaling.md"
    before, rest = page.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    text = overload_goals.table(results)
    page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")
    print(f"wrote {page} and its figure")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/overload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_arguments(parser)
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round, less than three minutes")
    add("--rounds", type=int, default=2, help="how often all is measured")
    add("--seconds", type=float, default=8, help="that count, of each load")
    add("--server", type=Path, default=SERVER, help="the pixpool-server that is measured")
    add("--out", type=Path, default=models.BENCH, help="folder of overload.json and the plot")
    add("--docs", action="store_true", help="write docs/scaling.md's plot and table, too")
    args = parser.parse_args()
    if len(args.model) > 1 or len(args.precision) > 1:
        parser.error("one model and one precision at a time")
    repository = models.repository(args.model[0], args.precision[0])
    results: dict[str, Any] = {
        "machine": report.machine(),
        "model": args.model[0],
        "precision": args.precision[0],
        "server": str(args.server),
        "rounds": [],
    }
    with tempfile.TemporaryDirectory() as name:
        lab = overload_runs.Lab(
            Path(name),
            repository,
            args.model[0],
            args.server.resolve(),
            2.5 if args.quick else args.seconds,
            args.quick,
        )
        results["cores"] = len(lab.cores)
        for number in range(1 if args.quick else args.rounds):
            print(f"round {number + 1}", flush=True)
            results["rounds"].append(one_round(lab))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "overload.json").write_text(json.dumps(results, indent=1) + "\n")
    plot.overload(results, args.out / "overload.svg")
    print("\n" + overload_goals.table(results))
    print(drift(results))
    print(f"wrote overload.json and overload.svg in {args.out}")
    if args.docs:
        write_docs(results)
    sys.exit(any(goal.met() is False for goal in overload_goals.goals(results)))


if __name__ == "__main__":
    main()
