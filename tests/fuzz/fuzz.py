#!/usr/bin/env python3
"""Runs the fuzz targets of a build with libFuzzer, several at a time. See --help.

Each begins with its seeds, with what it once found (tests/fuzz/cases/NAME) and with what earlier
runs have collected in BUILD/corpus/NAME. A finding is a file in BUILD/findings; with it goes the
command that repeats it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass

CASES = pathlib.Path(__file__).resolve().parent / "cases"
TIMEOUT_S = 20  # of one input; a finding
MEMORY_MB = 2048  # of a target; a finding


@dataclass
class Outcome:
    name: str
    seconds: float
    executions: int
    coverage: int  # places of the code that were reached
    log: str
    findings: list[pathlib.Path]
    failed: bool

    @property
    def line(self) -> str:
        rate = self.executions / max(self.seconds, 0.001)
        text = f"{self.name:14} {self.executions:>12,} executions, {rate:>7,.0f}/s,"
        text += f" {self.coverage:>6,} places"
        return text + (
            f"; FAILED, {', '.join(map(str, self.findings)) or 'see its log'}"
            if self.failed
            else ""
        )


def targets(build: pathlib.Path) -> dict[str, pathlib.Path]:
    """The programs by the names of what they feed."""
    found = sorted((build / "tests/fuzz").glob("fuzz_*"))
    return {p.name.removeprefix("fuzz_"): p for p in found if p.is_file() and os.access(p, os.X_OK)}


def make_seeds(build: pathlib.Path) -> pathlib.Path:
    subprocess.run(
        ["ctest", "--test-dir", build, "--output-on-failure", "-R", "^make_fuzz_seeds$"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return build / "tests/fuzz/seeds"


def last(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def run_target(
    name: str, program: pathlib.Path, build: pathlib.Path, seeds: pathlib.Path, limits: list[str]
) -> Outcome:
    corpus, findings = build / "corpus" / name, build / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    folders = [corpus, seeds / name]
    if (CASES / name).is_dir():
        folders.append(CASES / name)
    before = set(findings.iterdir())
    log = build / "findings" / f"{name}.log"
    began = time.monotonic()
    with open(log, "wb") as out:
        done = subprocess.run(
            [
                program,
                *limits,
                f"-timeout={TIMEOUT_S}",
                f"-rss_limit_mb={MEMORY_MB}",
                f"-artifact_prefix={findings}/{name}-",
                "-print_final_stats=1",
                *folders,
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1"},
        )
    text = log.read_text(errors="replace")
    made = sorted(
        path for path in set(findings.iterdir()) - before if path.name.startswith(f"{name}-")
    )
    return Outcome(
        name,
        time.monotonic() - began,
        last(r"stat::number_of_executed_units:\s+(\d+)", text),
        last(r" cov: (\d+)", text),
        text,
        made,
        done.returncode != 0,
    )


def report(outcomes: list[Outcome], path: pathlib.Path) -> None:
    suite = ET.Element("testsuite", name="fuzz")
    for outcome in outcomes:
        case = ET.SubElement(suite, "testcase", name=outcome.name, time=f"{outcome.seconds}")
        if outcome.failed:
            found = re.search(
                r"^.*(?:ERROR: |runtime error: |does not hold: ).*$", outcome.log, re.M
            )
            ET.SubElement(case, "failure", message=found[0].strip() if found else outcome.line)
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=pathlib.Path, help="folder of a build of the preset fuzz")
    parser.add_argument("targets", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each; default: %(default)s")
    parser.add_argument(
        "--runs", type=int, help="executions of each, in place of a time; goes on where it ended"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: a core each")
    parser.add_argument("--junit", type=pathlib.Path, metavar="FILE", help="report to write")
    options = parser.parse_args()
    every = targets(options.build)
    if not every:
        parser.error(f"{options.build} has no fuzz targets: ninja -C {options.build} fuzz_targets")
    if unknown := set(options.targets) - set(every):
        parser.error(
            f"no target is called {', '.join(sorted(unknown))}; there are {', '.join(every)}"
        )
    wanted = options.targets or list(every)
    seeds = make_seeds(options.build)
    limits = [f"-runs={options.runs}"] if options.runs else [f"-max_total_time={options.seconds}"]
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as threads:
        runs = [
            threads.submit(run_target, name, every[name], options.build, seeds, limits)
            for name in wanted
        ]
        for done, future in enumerate(concurrent.futures.as_completed(runs), 1):
            outcomes.append(future.result())
            print(f"[{done}/{len(runs)}] {outcomes[-1].line}", flush=True)
    if options.junit:
        report(outcomes, options.junit)
    failed = [outcome for outcome in outcomes if outcome.failed]
    for outcome in failed:
        print(f"\n{outcome.name}:")
        print("\n".join(outcome.log.splitlines()[-60:]))
        for path in outcome.findings:
            print(f"repeat: {every[outcome.name]} {path}")
        print(f"keep what is mended: tests/fuzz/cases/{outcome.name}/")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
