"""How close vectors of scaled decoding are to exact ones, on photographs of yours, and what it
saves.

    python bench/scaled_fidelity.py FOLDER [--target HOST:PORT] [--head gem]

Asks a running server for each JPEG below FOLDER twice and prints the cosines, and the times that
the server took to decode and resize. Needs the generated API on the path, as bench/run has it, or
`pip install ./client/python`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np

from pixpool import Client, InputOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", default="127.0.0.1:50051")
    parser.add_argument("--head", default="global_avg")
    args = parser.parse_args()
    files = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        parser.error(f"no .jpg below {args.folder}")
    cosines, times = [], {"exact": [], "scaled": []}
    with Client(args.target, timeout=60) as client:
        for path in files:
            vectors = {}
            for decode in times:
                options = InputOptions(decode=decode)
                result = client.extract(path, args.head, input_options=options)[0]
                vectors[decode] = np.ravel(result[0].values)
                spent = result.stage_times
                times[decode].append(spent.decode + spent.preprocess)
            a, b = vectors["exact"], vectors["scaled"]
            if np.array_equal(a, b):
                continue  # too small to be scaled
            cosines.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
            print(
                f"{cosines[-1]:.5f}  {times['exact'][-1] * 1e3:7.1f} ms  "
                f"{times['scaled'][-1] * 1e3:7.1f} ms  {path.name}"
            )
    if not cosines:
        raise SystemExit("no picture was large enough to be scaled")
    worst = min(cosines)
    print(
        f"{len(cosines)} of {len(files)} pictures were scaled: "
        f"cosine {statistics.median(cosines):.5f} (median), {worst:.5f} (worst)"
    )
    print(
        f"decode and resize: {sum(times['exact']):.2f} s exact, {sum(times['scaled']):.2f} s scaled"
    )


if __name__ == "__main__":
    main()
