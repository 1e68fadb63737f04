"""Runs clang-tidy on the C++ files of the project, several at a time.

A file that passed is not looked at again until it changes, or a project header that it includes,
the .proto files, the compile command, .clang-tidy or clang-tidy itself do: a mark named after the
hash of all these is kept in the build folder. A file that includes LibTorch takes some eight
seconds and half a gigabyte.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = pathlib.Path(sys.executable).parent / "clang-tidy"  # of requirements/test.txt
FOLDERS = ("server", "client", "bench", "tests")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


@functools.cache
def includes(path):
    """Names that a project file includes."""
    return tuple(INCLUDE.findall(path.read_text(encoding="utf-8")))


def closure(path):
    """The file, and the project headers it includes directly or not."""
    files, todo = {path}, [path]
    while todo:
        for name in includes(todo.pop()):
            header = ROOT / name
            if header.is_file() and header not in files:
                files.add(header)
                todo.append(header)
    return files


def file_key(files, command, common):
    digest = hashlib.sha256(common + json.dumps(command, sort_keys=True).encode())
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def common_key(tool):
    """What every file's result depends on."""
    digest = hashlib.sha256(
        subprocess.run([tool, "--version"], capture_output=True, check=True).stdout
    )
    digest.update((ROOT / ".clang-tidy").read_bytes())
    for proto in sorted((ROOT / "proto").rglob("*.proto")):
        digest.update(proto.read_bytes())
    return digest.digest()


def project_sources(commands, folders):
    """Compile commands of the .cc files in our own folders, by path."""
    found = {}
    for command in commands:
        path = pathlib.Path(command["directory"], command["file"]).resolve()
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in folders:
            found[path] = command
    return dict(sorted(found.items()))


def run_tidy(tool, build, path):
    done = subprocess.run(
        [tool, "--quiet", "-p", str(build), str(path)], capture_output=True, text=True, check=False
    )
    # Standard error only counts suppressed warnings, unless clang-tidy itself fails.
    return done.returncode, done.stdout.strip() or (done.stderr.strip() if done.returncode else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--build", type=pathlib.Path, required=True, help="build folder with compile_commands.json"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--junit", type=pathlib.Path, help="report, a case per file")
    parser.add_argument("--folders", nargs="+", choices=FOLDERS, default=FOLDERS)
    parser.add_argument("--tool", type=pathlib.Path, default=TOOL, help="the clang-tidy to run")
    args = parser.parse_args()

    common = common_key(args.tool)
    marks = args.build / "tidy"
    marks.mkdir(parents=True, exist_ok=True)
    suite = ET.Element("testsuite", name="tidy")
    cases, pending = {}, {}
    for path, command in project_sources(
        json.loads((args.build / "compile_commands.json").read_text()), args.folders
    ).items():
        cases[path] = ET.SubElement(
            suite, "testcase", classname="tidy", name=str(path.relative_to(ROOT))
        )
        mark = marks / file_key(closure(path), command, common)
        if not mark.exists():
            pending[path] = mark
    print(
        f"{len(cases)} files, {len(cases) - len(pending)} unchanged since they passed", flush=True
    )

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(run_tidy, args.tool, args.build, path): path for path in pending}
        for count, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            path = jobs[job]
            status, output = job.result()
            print(f"[{count}/{len(jobs)}] {path.relative_to(ROOT)}", flush=True)
            if status:
                failed += 1
                print(output, flush=True)
                found = [
                    line for line in output.splitlines() if re.search(r": (error|warning):", line)
                ]
                ET.SubElement(
                    cases[path], "failure", message=(found or [output or "failed"])[0]
                ).text = output
            else:
                pending[path].touch()
    if args.junit:
        ET.ElementTree(suite).write(args.junit)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
