"""Counts the cases of JUnit files as GoogleTest, CTest and pytest write them.

usage: report.py DIR    prints "PASSED FAILED SKIPPED", then a line a failed or skipped case.
"""

import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

Case = collections.namedtuple("Case", "name outcome reason")


def first_line(text):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[0] if lines else ""


def read_case(element):
    """One testcase element as a Case."""
    name = ".".join(filter(None, (element.get("classname"), element.get("name"))))
    for tag in ("failure", "error"):
        bad = element.find(tag)
        if bad is not None:
            return Case(name, "failed", first_line(bad.get("message") or bad.text) or tag)
    skipped = element.find("skipped")
    if skipped is not None:
        # GoogleTest writes "file:line", then the message.
        text = re.sub(r"\A\S[^\n]*:\d+\n", "", skipped.get("message") or skipped.text or "")
        return Case(name, "skipped", " ".join(text.split()) or "no reason given")
    if (
        element.get("status") == "notrun"
    ):  # GoogleTest: DISABLED_ in the name, or left out by a filter
        return Case(name, "skipped", "disabled")
    return Case(name, "passed", "")


def read_file(path):
    return [read_case(element) for element in ET.parse(path).getroot().iter("testcase")]


def read_ctest(path, cases_by_binary):
    """Adds to GoogleTest's own cases the binaries that failed without a failed case: crashed, hung
    or missing.
    """
    extra = []
    for element in ET.parse(path).getroot().iter("testcase"):
        name, status = element.get("name"), element.get("status")
        known = cases_by_binary.get(name, [])
        if status == "run":
            if not known:
                extra.append(Case(name, "passed", ""))
        elif status == "disabled":
            extra.append(Case(name, "skipped", "disabled"))
        elif not any(case.outcome == "failed" for case in known):
            detail = element.find("skipped" if status == "notrun" else "failure")
            reason = detail.get("message") if detail is not None else ""
            extra.append(Case(name, "failed", reason or "crashed, or ran out of time; see the log"))
    return extra


def collect(folder):
    """All cases of a folder: *.xml, and where there is a ctest.xml the others are GoogleTest's, one
    a program.
    """
    cases_by_binary = {}
    cases = []
    for path in sorted(folder.glob("*.xml")):
        if path.name == "ctest.xml":
            continue
        try:
            cases_by_binary[path.stem] = read_file(path)
        except ET.ParseError as error:
            cases_by_binary[path.stem] = [Case(path.stem, "failed", f"unreadable report: {error}")]
        cases += cases_by_binary[path.stem]
    if (folder / "ctest.xml").exists():
        cases += read_ctest(folder / "ctest.xml", cases_by_binary)
    return cases


def main(folder):
    cases = collect(pathlib.Path(folder))
    print(
        *(sum(case.outcome == kind for case in cases) for kind in ("passed", "failed", "skipped"))
    )
    for case in cases:
        if case.outcome != "passed":
            print(f"{case.outcome}: {case.name}: {case.reason}")


if __name__ == "__main__":
    main(sys.argv[1])
