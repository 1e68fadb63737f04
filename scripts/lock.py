#!/usr/bin/env python3
"""Writes requirements/lock-cpu.txt and lock-cuda.txt: every Python package that the build takes, by
version and SHA-256.

    scripts/lock.py cpu|cuda [PIP_OPTION ...]

pip resolves requirements/runtime.txt and nodeps.txt and tells what it would fetch; nothing is
installed. A lock is for the platform that it names in its second line, Debian 12's Python on
x86-64, so run this there. `cpu` takes torch's CPU wheel, which is not on the Python Package Index:
add --extra-index-url with the index that PyTorch's install page names, or --find-links. `cuda`
takes the wheel of the Python Package Index, with NVIDIA's libraries.
"""

import json
import pathlib
import platform
import re
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).resolve().parent.parent / "requirements"
KINDS = ("cpu", "cuda")
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s\\;]+)")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path):
    """Name -> version of the lines `name==version` of a file."""
    lines = (line.split("#")[0] for line in path.read_text(encoding="utf-8").splitlines())
    return {canonical(found[1]): found[2] for line in lines if (found := PIN.match(line))}


def read_lock(path):
    """Name -> (version, hashes) of a lock."""
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    found = {}
    for line in text.splitlines():
        if match := PIN.match(line):
            found[canonical(match[1])] = (
                match[2],
                re.findall(r"--hash=sha256:([0-9a-f]{64})(?![0-9a-f])", line),
            )
    return found


def platform_line():
    major, minor = sys.version_info[:2]
    return f"# Platform: Python {major}.{minor}, {platform.machine()}, {platform.system()}"


def problems(folder=REQUIREMENTS):
    """Where the locks and the pins of runtime.txt and nodeps.txt differ."""
    pins = read_pins(folder / "runtime.txt") | read_pins(folder / "nodeps.txt")
    for kind in KINDS:
        path = folder / f"lock-{kind}.txt"
        lock = read_lock(path)
        for name, version in pins.items():
            wanted = f"{version}+cpu" if (name, kind) == ("torch", "cpu") else version
            there = lock.get(name, ("none", []))[0]
            if there != wanted:
                yield f"{path.name}: {name} is {there}, not {wanted}: run scripts/lock.py {kind}"
        for name, (_, hashes) in lock.items():
            if not hashes:
                yield f"{path.name}: {name} has no SHA-256"
        if not re.search(
            r"^# Platform: Python \d+\.\d+, \w+, \w+$", path.read_text(encoding="utf-8"), re.M
        ):
            yield f"{path.name}: names no platform"


def resolve(options, requirements):
    """What pip would fetch: lines of a lock."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--dry-run",
        "--ignore-installed",
        "--only-binary=:all:",
        "--report",
        "-",
        *options,
        *requirements,
    ]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for item in report["install"]:
        name, version = canonical(item["metadata"]["name"]), item["metadata"]["version"]
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        yield f"{name}=={version} \\\n    --hash=sha256:{digest}"


def main(arguments):
    if not arguments or arguments[0] not in KINDS:
        sys.exit(__doc__)
    kind, *options = arguments
    runtime, nodeps = (
        read_pins(REQUIREMENTS / "runtime.txt"),
        read_pins(REQUIREMENTS / "nodeps.txt"),
    )
    # "===" takes that very version; "==2.13.0" would take 2.13.0+cpu as well.
    torch = runtime.pop("torch")
    wanted = [f"torch=={torch}+cpu" if kind == "cpu" else f"torch==={torch}"]
    lines = list(
        resolve(options, [*wanted, *(f"{name}=={version}" for name, version in runtime.items())])
    )
    lines += resolve(
        [*options, "--no-deps"], [f"{name}=={version}" for name, version in nodeps.items()]
    )
    head = (
        f"# Made by scripts/lock.py {kind}; installed with --no-deps --require-hashes, "
        "since every dependency is here."
    )
    text = "\n".join([head, platform_line(), *sorted(lines)]) + "\n"
    (REQUIREMENTS / f"lock-{kind}.txt").write_text(text, encoding="utf-8")
    print(f"requirements/lock-{kind}.txt: {len(lines)} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
